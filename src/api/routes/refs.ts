/** Object references: the content that a job owns, what keeps each object, and its bytes. */
import { Readable } from "node:stream";
import Type from "typebox";
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { refsOf } from "../../coordinator/job-refs.js";
import { jobKeys } from "../../storage/keys.js";
import { servedAs } from "../dead-letter-content.js";
import { pageOf } from "../paging.js";
import type { Routes } from "../routing.js";
import {
  answers,
  Count,
  Id,
  JobPath,
  List,
  listQuery,
  OneOf,
  pageOfItems,
  Sha256,
  Text,
  TimeMs,
} from "../schemas/basics.js";

/** Readings of what keeps content that one coordinator does at a time: each reads all of a job's checkpoints and logs. */
const READINGS_MAX = 2;

const Ref = Type.Object(
  {
    sha256: Sha256("Of its bytes."),
    sizeBytes: Count("Its size."),
    sinceMs: TimeMs("Since when it is where it is, by the store's clock."),
    place: OneOf(["content", "trash"], "In its place, or on its way out."),
    rootedBy: List(Type.String(), "What refers to it; nothing: it goes, once it is old enough."),
  },
  { title: "ObjectRef" },
);
const Collected = Type.Object(
  {
    contents: Count("Objects in their place."),
    trash: Count("Objects in the trash."),
    rooted: Count("Those of both that something refers to."),
    broughtBack: Count("Back from the trash."),
    putAway: Count("To the trash."),
    purged: Count("Deleted from the trash."),
    recordsDeleted: Count("Records of published files that are gone."),
    left: Count("Objects that nothing refers to, and that are there still."),
    heldBy: Text("Why nothing can go."),
  },
  { title: "Collected" },
);
const RefPath = Type.Object({ job: Id("Id of a job."), sha256: Sha256("Of an object.") });
const Collect = Type.Object(
  { dryRun: Type.Optional(Type.Boolean({ description: "Say what would be done, and do nothing. Default false." })) },
  { additionalProperties: false },
);
const Bytes = Type.Unsafe<Readable>({ description: "The bytes.", contentMediaType: "application/octet-stream" });

export const refRoutes: Routes = (app, { bus, store, contents = store, ports, namespace, outputs, leader }) => {
  let readings = 0;

  const read = async (name: string) => {
    const job = id<JobId>("job", name);
    if ((await store.head(jobKeys(job).spec)) === undefined)
      throw new MillraceError("MILL_JOB_UNKNOWN", `there is no job "${job}". Check its name and the namespace.`, {
        job,
      });
    if (readings >= READINGS_MAX)
      throw new MillraceError(
        "MILL_REQUEST_TOO_MANY",
        "what keeps content is being read already. Ask again in some seconds.",
      );
    readings++;
    try {
      return await refsOf(job, { bus, store, contents, ports, namespace, outputAt: (url) => outputs?.at(url) });
    } finally {
      readings--;
    }
  };

  app.get(
    "/v1/jobs/:job/refs",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "listRefs",
        tags: ["content"],
        summary: "Content that a job owns, and what keeps it",
        params: JobPath,
        querystring: listQuery({ place: Type.Optional(OneOf(["content", "trash"], "Only those there.")) }),
        response: answers({ 200: pageOfItems(Ref) }),
      },
    },
    async ({ params, query }) => {
      const some = (await read(params.job)).filter(({ place }) => query.place === undefined || place === query.place);
      return pageOf(some, ({ sha256, place }) => `${sha256} ${place}`, query);
    },
  );

  app.get(
    "/v1/jobs/:job/refs/:sha256",
    {
      config: { role: "viewer" },
      schema: {
        operationId: "explainRef",
        tags: ["content"],
        summary: "What keeps one object, in its place and in the trash",
        params: RefPath,
        response: answers({ 200: Type.Object({ items: List(Ref) }) }),
      },
    },
    async ({ params: { job, sha256 } }) => {
      const items = (await read(job)).filter((ref) => ref.sha256 === sha256);
      if (items.length > 0) return { items };
      throw new MillraceError(
        "MILL_REQUEST_NOT_FOUND",
        `job ${job} does not own ${sha256}: it never did, or it was collected.`,
      );
    },
  );

  app.post(
    "/v1/jobs/:job/refs/collect",
    {
      config: { role: "operator", leader: true },
      schema: {
        operationId: "collectRefs",
        tags: ["content"],
        summary: "Collect a job's content that nothing refers to, now",
        params: JobPath,
        body: Collect,
        response: answers({ 200: Collected }),
      },
    },
    async ({ params: { job }, body: { dryRun = false } }) => leader()!.collect({ job, dryRun }),
  );

  app.get(
    "/v1/jobs/:job/content/:sha256",
    {
      config: { role: "operator" },
      schema: {
        operationId: "readContent",
        tags: ["content"],
        summary: "The bytes of an object that a job owns",
        params: RefPath,
        response: answers({ 200: Bytes }),
      },
    },
    async ({ params: { job, sha256 } }, reply) => {
      const key = jobKeys(id<JobId>("job", job)).content(sha256);
      const found = await contents.head(key);
      if (found === undefined)
        throw new MillraceError("MILL_REQUEST_NOT_FOUND", `job ${job} has no content ${sha256} in its place.`);
      const stop = new AbortController();
      reply.raw.once("close", () => stop.abort());
      const pieces = contents.stream(key, { signal: stop.signal })[Symbol.asyncIterator]();
      const first = await pieces.next(); // what cannot be read is said before the answer has begun
      const { mediaType, inline } = servedAs("", first.done ? new Uint8Array() : first.value);
      return reply
        .header("content-security-policy", "default-src 'none'; sandbox; frame-ancestors 'none'")
        .header("cross-origin-resource-policy", "same-origin")
        .header("content-disposition", `${inline ? "inline" : "attachment"}; filename="${sha256}"`)
        .header("content-length", found.sizeBytes)
        .type(mediaType)
        .send(Readable.from(whole(first, pieces)));
    },
  );
};

async function* whole(first: IteratorResult<Uint8Array>, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (let piece = first; piece.done !== true; piece = await rest.next()) yield piece.value;
}
