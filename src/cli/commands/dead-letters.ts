/** `millrace dead-letters`: records that a job refused, over the HTTP API: listed, shown, given back to the job, set aside. */
import { MillraceError } from "../../base/errors.js";
import { type ApiClient, clientOf, part } from "../api/client.js";
import { bytes, type Column, plain, table, time } from "../api/tables.js";
import { consent } from "../consent.js";
import { countOf } from "../outputs.js";
import { type ListFlags, print } from "./jobs.js";

export interface LetterFilterFlags {
  readonly operator?: string;
  readonly code?: string;
}

/** As the API tells of one: `src/api/schemas/dead-letters.ts`. */
interface Letter {
  readonly id: string;
  readonly operator: string;
  readonly code: string;
  readonly message: string;
  readonly atMs: number;
  readonly state: string;
  /** That replays it. */
  readonly job: string;
  readonly by: string;
}

interface LetterDetail extends Letter {
  readonly record: Readonly<Record<string, unknown>>;
  readonly hindrance: string;
  readonly contents: readonly { readonly path: string; readonly mediaType: string; readonly sizeBytes: number }[];
}

interface Discarded {
  readonly discarded: number;
  readonly more: boolean;
}

const lettersOf = (job: string) => `/v1/jobs/${part(job)}/dead-letters`;
const pathOf = (job: string, letter: string) => `${lettersOf(job)}/${part(letter)}`;

const COLUMNS: readonly Column<Letter>[] = [
  { title: "ID", of: ({ id }) => id },
  { title: "REFUSED", of: ({ atMs }) => time(atMs) },
  { title: "OPERATOR", of: ({ operator }) => operator },
  { title: "CODE", of: ({ code }) => code },
  { title: "STATE", of: ({ state, job }) => (job === "" ? state : `${state} ${job}`) },
  { title: "MESSAGE", of: ({ message }) => shortened(message) },
];

export async function listDeadLettersCommand(
  job: string,
  flags: ListFlags & LetterFilterFlags & { readonly state?: string },
): Promise<void> {
  const { operator, code, state } = flags;
  const deadLetters = await clientOf(flags).list<Letter>(lettersOf(job), { operator, code, state });
  const nothing = `job ${job} has no ${state ?? "open"} dead letters${ofFilter(flags)} that are published`;
  print(flags, { job, deadLetters }, () => table(COLUMNS, deadLetters, nothing));
}

export async function showDeadLetterCommand(job: string, letter: string, flags: ListFlags): Promise<void> {
  const found = await clientOf(flags).get<LetterDetail>(pathOf(job, letter));
  print(flags, found, () => letterText(found));
}

function letterText(letter: LetterDetail): string {
  const { id, operator, code, message, atMs, state, job, by, record, hindrance, contents } = letter;
  const decided = [state, job === "" ? "" : `by job ${job}`, by === "" ? "" : `(${by})`].filter((text) => text !== "");
  const lines = [
    `${id}  ${code}: ${message}`,
    `  refused by ${operator} at ${time(atMs)}; ${decided.join(" ")}`,
    ...(hindrance === "" ? [] : [`  cannot be replayed: ${hindrance}`]),
    ...Object.entries(record).map(([name, value]) => `  ${name}: ${JSON.stringify(value)}`),
    ...contents.map(
      ({ path, mediaType, sizeBytes }) =>
        `  content of ${path}: ${mediaType === "" ? "of no known type" : mediaType}${sizeBytes < 0 ? "" : `, ${bytes(sizeBytes)}`}`,
    ),
  ];
  return `${lines.map(plain).join("\n")}\n`;
}

export interface ChangeFlags extends ListFlags, LetterFilterFlags {
  readonly all?: boolean;
  readonly yes?: boolean;
}

interface Replayed {
  readonly replays: readonly { readonly job: string; readonly records: number }[];
  readonly left: number;
  readonly more: boolean;
}

export async function replayCommand(job: string, letters: readonly string[], flags: ChangeFlags): Promise<void> {
  const client = clientOf(flags);
  if (!(await consent(await questionOf("Replay", client, job, letters, flags), flags.yes ?? false))) return;
  const done: Replayed = { replays: [], left: 0, more: false };
  const answers =
    letters.length > 0
      ? await eachOf(letters, (letter) => client.change<Replayed>("POST", `${pathOf(job, letter)}/replay`))
      : [await client.change<Replayed>("POST", `${lettersOf(job)}/replay`, { body: { filter: filterOf(flags) } })];
  const all = answers.reduce((sum, { replays, left, more }) => {
    return { replays: [...sum.replays, ...replays], left: sum.left + left, more: sum.more || more };
  }, done);
  print(flags, { job, ...all }, () => replayText(job, all));
}

function replayText(job: string, { replays, left, more }: Replayed): string {
  const lines = replays.map(({ job: by, records }) => `${countOf(records, "record")} replayed by job ${by}`);
  if (lines.length === 0) lines.push(`nothing of job ${job} was replayed`);
  if (left > 0) lines.push(`${countOf(left, "record")} cannot be replayed; \`millrace dead-letters show\` says why`);
  return `${[...lines, ...moreText(more)].map(plain).join("\n")}\n`;
}

export async function discardCommand(job: string, letters: readonly string[], flags: ChangeFlags): Promise<void> {
  const client = clientOf(flags);
  if (!(await consent(await questionOf("Discard", client, job, letters, flags), flags.yes ?? false))) return;
  if (letters.length > 0) {
    await eachOf(letters, (letter) => client.change("POST", `${pathOf(job, letter)}/discard`));
    return sayDiscarded(job, { discarded: letters.length, more: false }, flags);
  }
  const body = { filter: filterOf(flags) };
  const answer = await client.change<Discarded>("POST", `${lettersOf(job)}/discard`, { body });
  sayDiscarded(job, answer, flags);
}

function sayDiscarded(job: string, { discarded, more }: Discarded, flags: ListFlags): void {
  const lines = [`${countOf(discarded, "dead letter")} of job ${job} discarded`, ...moreText(more)];
  print(flags, { job, discarded, more }, () => `${lines.join("\n")}\n`);
}

/** One after the other; the first that fails ends it. */
async function eachOf<T>(letters: readonly string[], act: (letter: string) => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  for (const letter of letters) all.push(await act(letter));
  return all;
}

/** @throws {MillraceError} `MILL_CONFIG`: it is not said which, or said twice; `MILL_REQUEST_NOT_FOUND`: there is none */
async function questionOf(
  verb: "Replay" | "Discard",
  client: ApiClient,
  job: string,
  letters: readonly string[],
  flags: ChangeFlags,
): Promise<string> {
  const filtered = flags.all === true || flags.operator !== undefined || flags.code !== undefined;
  const how = "Name dead letters by their ids, or give --all, --operator or --code";
  if (letters.length === 0 && !filtered)
    throw new MillraceError("MILL_CONFIG", `it is not said which dead letters of job ${job}. ${how}.`);
  if (letters.length > 0 && filtered)
    throw new MillraceError("MILL_CONFIG", `both ids and a filter say which dead letters of job ${job}. ${how}.`);
  if (letters.length > 0) return `${verb} ${countOf(letters.length, "dead letter")} of job ${job}?`;
  const page = await client.get<{ items: readonly Letter[]; next?: string }>(lettersOf(job), {
    ...filterOf(flags),
    limit: "1000",
  });
  const { length } = page.items;
  if (length === 0) {
    const message = `job ${job} has no open dead letters${ofFilter(flags)} that are published.`;
    throw new MillraceError("MILL_REQUEST_NOT_FOUND", message, { job });
  }
  const count = page.next === undefined ? countOf(length, "dead letter") : `${length} dead letters or more`;
  return `${verb} ${count} of job ${job}${ofFilter(flags)}?`;
}

const filterOf = ({ operator, code }: LetterFilterFlags) => ({
  ...(operator === undefined ? {} : { operator }),
  ...(code === undefined ? {} : { code }),
});

function ofFilter({ operator, code }: LetterFilterFlags): string {
  return `${operator === undefined ? "" : ` of operator ${operator}`}${code === undefined ? "" : ` with ${code}`}`;
}

const moreText = (more: boolean): string[] => (more ? ["there are more: give the command again"] : []);

const MESSAGE_CHARS_MAX = 80;
const shortened = (text: string): string =>
  text.length > MESSAGE_CHARS_MAX ? `${text.slice(0, MESSAGE_CHARS_MAX)}...` : text;
