/** Dead letters of a job: records that its operators refused. What they are and how they are replayed: decision 0013. */
import { Readable } from "node:stream";
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { limits } from "../../base/limits.js";
import { withoutSecrets } from "../../base/secrets.js";
import { checkReplayable } from "../../coordinator/replay-plan.js";
import { demandOpen, Replays } from "../../coordinator/replays.js";
import { type DeadLetter, DeadLetterFolder, recordOf } from "../../storage/dead-letters.js";
import { jobKeys } from "../../storage/keys.js";
import type { ObjectRef } from "../../types/content-types.js";
import { type JobSpec, jobSpecFrame } from "../../wire/control.js";
import type { ApiOptions } from "../api-options.js";
import { contentsOf, servedAs } from "../dead-letter-content.js";
import type { JobOutputs } from "../job-outputs.js";
import { PAGE_ITEMS } from "../paging.js";
import type { Routes } from "../routing.js";
import { answers, JobPath, listQuery, OneOf, pageOfItems } from "../schemas/basics.js";
import {
  ContentPath,
  DeadLetterDetail,
  DeadLetterSummary,
  DiscardAnswer,
  LETTER_STATES,
  LetterFilters,
  LetterPath,
  ManyBody,
  ReplayAnswer,
} from "../schemas/dead-letters.js";

const read = { role: "viewer" } as const;
/** A record is more than its operator's name: it is what passes through the job. */
const readRecord = { role: "operator" } as const;
const change = { role: "operator" } as const;
const replay = { role: "operator", leader: true } as const;

interface Filter {
  readonly operator?: string;
  readonly code?: string;
}

/** The dead letters of one job, for one request. */
interface Opened {
  readonly spec: JobSpec;
  readonly folder: DeadLetterFolder;
  readonly replays: Replays;
  readonly outputs: JobOutputs;
}

export const deadLetterRoutes: Routes = (app, options) => {
  const { ports } = options;

  app.get(
    "/v1/jobs/:job/dead-letters",
    {
      config: read,
      schema: {
        operationId: "listDeadLetters",
        tags: ["dead letters"],
        summary:
          "Dead letters that are published where the job puts them, newest first; a page may be short and have a next one",
        params: JobPath,
        querystring: listQuery({
          ...LetterFilters,
          state: OneOfState("Only those of which this was decided. Default: open, those of which nothing was."),
        }),
        response: answers({ 200: pageOfItems(DeadLetterSummary) }),
      },
    },
    async ({ params, query }) => {
      const opened = await open(options, params.job);
      const { limit = PAGE_ITEMS, after, state = "open" } = query;
      const wanted = async (letter: DeadLetter) => fits(letter, query) && (await stateOf(opened, letter)) === state;
      const page = await opened.folder.page({ limit, wanted, ...(after === undefined ? {} : { after }) });
      return { ...page, items: page.items.map((letter) => summaryOf(letter, state)) };
    },
  );

  app.get(
    "/v1/jobs/:job/dead-letters/:letter",
    {
      config: readRecord,
      schema: {
        operationId: "showDeadLetter",
        tags: ["dead letters"],
        summary: "One dead letter with its record",
        params: LetterPath,
        response: answers({ 200: DeadLetterDetail }),
      },
    },
    async ({ params }) => {
      const opened = await open(options, params.job);
      const letter = await opened.folder.find(params.letter);
      const hindrance = hindranceOf(opened.spec, letter);
      const contents = contentsOf(letter, await rowOf(opened, letter));
      return {
        ...summaryOf(letter, await stateOf(opened, letter)),
        record: withoutLogins(recordOf(letter)),
        replayable: hindrance === "",
        hindrance,
        contents: contents.map(({ path, ref: { uri, mediaType, sizeBytes }, bytes }) => {
          const size = bytes === undefined ? Number(sizeBytes) : bytes.length;
          return { path, uri: shown(uri), mediaType, sizeBytes: size };
        }),
      };
    },
  );

  app.get(
    "/v1/jobs/:job/dead-letters/:letter/content/:path",
    {
      config: readRecord,
      schema: {
        operationId: "readDeadLetterContent",
        tags: ["dead letters"],
        summary: "Content that the record of a dead letter names or holds; not from the web",
        params: ContentPath,
        response: answers({ 200: Content }),
      },
    },
    async ({ params: { job, letter, path } }, reply) => {
      const opened = await open(options, job);
      const found = await opened.folder.find(letter);
      const content = contentsOf(found, await rowOf(opened, found)).find((one) => one.path === path);
      if (content === undefined)
        throw new MillraceError("MILL_REQUEST_NOT_FOUND", `the record of ${letter} has no content at "${path}".`);
      const { ref, bytes } = content;
      const stop = new AbortController();
      reply.raw.once("close", () => stop.abort());
      const pieces = (bytes === undefined ? opened.outputs.read(ref, stop.signal) : whole(bytes))[
        Symbol.asyncIterator
      ]();
      const first = await pieces.next(); // what cannot be read is said before the answer has begun
      const { mediaType, inline } = servedAs(ref.mediaType, first.done === true ? new Uint8Array() : first.value);
      return reply
        .header("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
        .header("cross-origin-resource-policy", "same-origin")
        .header("content-disposition", inline ? "inline" : "attachment")
        .type(mediaType)
        .send(Readable.from(going(first, pieces)));
    },
  );

  app.post(
    "/v1/jobs/:job/dead-letters/:letter/discard",
    {
      config: change,
      schema: {
        operationId: "discardDeadLetter",
        tags: ["dead letters"],
        summary: "Set a dead letter aside for good; the published file is not changed",
        params: LetterPath,
        response: answers({ 200: DeadLetterSummary }),
      },
    },
    async ({ params, principal }) => {
      const opened = await open(options, params.job);
      const letter = await opened.folder.find(params.letter);
      const mark = await opened.folder.mark(letter.id, discardedBy(principal?.name));
      demandOpen({ ...letter, mark }, mark.kind === "discarded"); // again is no conflict
      return summaryOf({ ...letter, mark }, "discarded");
    },
  );

  app.post(
    "/v1/jobs/:job/dead-letters/discard",
    {
      config: change,
      schema: {
        operationId: "discardDeadLetters",
        tags: ["dead letters"],
        summary: `Discard all that fit a filter, up to ${limits.discardsMax} at a time`,
        params: JobPath,
        body: ManyBody,
        response: answers({ 200: DiscardAnswer }),
      },
    },
    async ({ params, body, principal }) => {
      const opened = await open(options, params.job);
      const { letters, more } = await someOf(opened, body.filter ?? {}, limits.discardsMax);
      let discarded = 0;
      for (const letter of letters)
        if ((await opened.folder.mark(letter.id, discardedBy(principal?.name))).kind === "discarded") discarded++;
      return { discarded, more };
    },
  );

  app.post(
    "/v1/jobs/:job/dead-letters/:letter/replay",
    {
      config: replay,
      schema: {
        operationId: "replayDeadLetter",
        tags: ["dead letters"],
        summary: "Give a dead letter back to the operator that refused it, in a job of its own",
        params: LetterPath,
        response: answers({ 202: ReplayAnswer }),
      },
    },
    async ({ params, principal }, reply) => {
      const opened = await open(options, params.job);
      const letter = await opened.folder.find(params.letter);
      const isOpen = await opened.replays.isOpen(letter);
      // Asked again after an answer that was lost: it is where it was put.
      if (!isOpen && letter.mark?.kind === "replayed")
        return reply.code(202).send(answerOf([{ job: letter.mark.job, ids: [letter.id] }], 0, false));
      demandOpen(letter, isOpen);
      checkReplayable(opened.spec, letter);
      const replays = await opened.replays.replay(opened.spec, [letter], principal?.name ?? "unknown");
      return reply.code(202).send(answerOf(replays, 0, false));
    },
  );

  app.post(
    "/v1/jobs/:job/dead-letters/replay",
    {
      config: replay,
      schema: {
        operationId: "replayDeadLetters",
        tags: ["dead letters"],
        summary: `Replay all that fit a filter in one job, up to ${limits.replayRowsMax} at a time`,
        params: JobPath,
        body: ManyBody,
        response: answers({ 202: ReplayAnswer }),
      },
    },
    async ({ params, body, principal }, reply) => {
      const opened = await open(options, params.job);
      let bytes = 0;
      const { letters, more, left } = await someOf(opened, body.filter ?? {}, limits.replayRowsMax, (letter) => {
        if (hindranceOf(opened.spec, letter) !== "") return "leave";
        bytes += letter.bytes;
        return bytes > limits.replayBytesMax && bytes > letter.bytes ? "stop" : "take";
      });
      const replays = await opened.replays.replay(opened.spec, letters, principal?.name ?? "unknown");
      return reply.code(202).send(answerOf(replays, left, more));
    },
  );

  const discardedBy = (by = "unknown") => {
    return { kind: "discarded", job: "", by, atMs: Math.trunc(ports.clock.nowMs()) } as const;
  };
};

const Content = {
  description: "The content, as what it is where a browser shows that and runs nothing; else to be saved.",
  content: { "*/*": { schema: Type.Unsafe<Readable>({ type: "string", format: "binary" }) } },
};

const OneOfState = (description: string) => Type.Optional(OneOf(LETTER_STATES, description));

async function open({ store, outputs, ports, leader }: ApiOptions, job: string): Promise<Opened> {
  const spec = await specOf(store, job);
  const published = spec.deadLetters === "" ? undefined : outputs?.at(spec.deadLetters);
  if (published === undefined || outputs === undefined) {
    const where =
      spec.deadLetters === "" ? "a place that is not known: it was submitted by an earlier version" : spec.deadLetters;
    const message = `the dead letters of job ${job} are at ${where}; this coordinator cannot read there. Give the topology a place in S3.`;
    throw new MillraceError("MILL_REQUEST_CONFLICT", message, { job });
  }
  const folder = new DeadLetterFolder(published, store);
  const replays = new Replays({
    ...{ folder, store, ports },
    read: (ref) => readAll(outputs, ref),
    submit: (replayed) => leader()!.submit(replayed),
  });
  return { spec, folder, replays, outputs };
}

async function specOf(store: ApiOptions["store"], job: string): Promise<JobSpec> {
  try {
    return jobSpecFrame.decode(await store.get(jobKeys(id<JobId>("job", job)).spec)).header;
  } catch (cause) {
    if (!MillraceError.is(cause) || cause.code !== "MILL_STORE_NOT_FOUND") throw cause;
    throw new MillraceError("MILL_JOB_UNKNOWN", `there is no job "${job}". Submit it, or check the namespace.`, {
      job,
    });
  }
}

async function readAll(outputs: JobOutputs, ref: ObjectRef): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of outputs.read(ref)) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function rowOf({ outputs }: Opened, { row }: DeadLetter): Promise<Uint8Array | undefined> {
  return row === undefined || row instanceof Uint8Array ? row : readAll(outputs, row);
}

const fits = (letter: DeadLetter, { operator, code }: Filter): boolean =>
  (operator === undefined || letter.operator === operator) && (code === undefined || letter.code === code);

async function stateOf({ replays }: Opened, letter: DeadLetter): Promise<(typeof LETTER_STATES)[number]> {
  return (await replays.isOpen(letter)) ? "open" : letter.mark!.kind;
}

function hindranceOf(spec: JobSpec, letter: DeadLetter): string {
  try {
    checkReplayable(spec, letter);
    return "";
  } catch (error) {
    if (MillraceError.is(error) && error.code === "MILL_REPLAY_IMPOSSIBLE") return error.message;
    throw error;
  }
}

interface Some {
  readonly letters: readonly DeadLetter[];
  /** Passed over. */
  readonly left: number;
  readonly more: boolean;
}

/** Open ones, as far as one request goes. */
async function someOf(
  { folder, replays }: Opened,
  filter: Filter,
  most: number,
  judge: (letter: DeadLetter) => "take" | "leave" | "stop" = () => "take",
): Promise<Some> {
  const letters: DeadLetter[] = [];
  let left = 0;
  const wanted = async (letter: DeadLetter) => fits(letter, filter) && (await replays.isOpen(letter));
  for (let after: string | undefined; ; ) {
    const page = await folder.page({ limit: 1_000, wanted, ...(after === undefined ? {} : { after }) });
    for (const letter of page.items) {
      const what = judge(letter);
      if (what === "stop" || letters.length === most) return { letters, left, more: true };
      if (what === "take") letters.push(letter);
      else left++;
    }
    if (page.next === undefined) return { letters, left, more: false };
    after = page.next;
  }
}

function summaryOf(letter: DeadLetter, state: (typeof LETTER_STATES)[number]) {
  const { id: letterId, operator, code, message, atMs, mark } = letter;
  const decided = state === "open" ? undefined : mark;
  return { id: letterId, operator, code, message, atMs, state, job: decided?.job ?? "", by: decided?.by ?? "" };
}

function answerOf(
  replays: readonly { readonly job: string; readonly ids: readonly string[] }[],
  left: number,
  more: boolean,
) {
  return { replays: replays.map(({ job, ids }) => ({ job, records: ids.length })), left, more };
}

/** Of a `data:` address, which is as long as its content, the beginning. */
const shown = (uri: string): string => withoutSecrets(uri.length > 1_024 ? `${uri.slice(0, 1_024)}...` : uri);

/** Addresses in a row may let in whoever sees them. A replay takes the row as it is in the store. */
const withoutLogins = <T>(record: T): T => JSON.parse(withoutSecrets(JSON.stringify(record))) as T;

async function* whole(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* going(first: IteratorResult<Uint8Array>, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (let next = first; next.done !== true; next = await rest.next()) yield next.value;
}
