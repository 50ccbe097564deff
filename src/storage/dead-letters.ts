/**
 * Dead letters as they are published (`actors/dead-letters.ts`), and the marks that people put on them.
 *
 * A published file is never changed. That a record was discarded, or was given back to its operator, is an object of its own.
 *
 * Invariants:
 *   L1  Only published files are read, by ranges: a page costs no more than `limits.deadLetterScanBytesMax` of them and
 *       `limits.deadLetterMarksMax` marks, however much there is.
 *   L2  An id names one record for good: file, byte and hash. Where other records were written in its place, it names nothing.
 *   L3  A record gets one mark at most, and keeps it: who creates it decides.
 */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { ObjectRef } from "../types/content-types.js";
import { type Line, lineAt, linesBackwards } from "./dead-letter-lines.js";
import { deadLetterKeys } from "./keys.js";
import type { ListedObject, ObjectStore } from "./object-store.js";

export interface DeadLetter {
  readonly id: string;
  readonly operator: string;
  readonly code: string;
  readonly message: string;
  /** When it was refused, milliseconds since 1970; for records of earlier versions, when it was published. */
  readonly atMs: number;
  /** JSON, for people. */
  readonly record: string;
  /** Whole, as `wire/arrow-row.ts` has it: the bytes, or where they are; undefined: it cannot be handed to its operator again. */
  readonly row: Uint8Array | ObjectRef | undefined;
  /** Of all of it. */
  readonly bytes: number;
  readonly mark: Mark | undefined;
}

export interface Mark {
  readonly kind: "discarded" | "replayed";
  /** The job that replays it; empty: none does. */
  readonly job: string;
  /** Who asked for it, by name of the access token. */
  readonly by: string;
  readonly atMs: number;
}

export interface DeadLetterQuery {
  readonly limit: number;
  readonly after?: string;
  wanted(letter: DeadLetter): boolean | Promise<boolean>;
}

export interface DeadLetterPage {
  readonly items: DeadLetter[];
  readonly next?: string;
}

/** What is read of where they are published. */
export type PublishedFolder = Pick<ObjectStore, "url" | "list" | "head" | "get">;

interface Place {
  readonly stem: string;
  readonly offset: number;
  readonly hash: string;
}

/** Where a page ends. */
interface Cursor {
  readonly sinceMs: number;
  readonly key: string;
  readonly offset: number;
}

/** As `connectors/file-writer.ts` names them. */
const FILE = /^(dead-letters-[a-zA-Z0-9_-]+-\d+-\d+)\.jsonl$/;
const ID = /^(dead-letters-[a-zA-Z0-9_-]+-\d+-\d+)\.(\d{1,15})\.([0-9a-f]{12})$/;
const PREFIX = "dead-letters-";

export class DeadLetterFolder {
  readonly keys: ReturnType<typeof deadLetterKeys>;

  /** @param marks the cluster's store */
  constructor(
    private readonly published: PublishedFolder,
    private readonly marks: ObjectStore,
  ) {
    this.keys = deadLetterKeys(createHash("sha256").update(published.url).digest("hex").slice(0, 32));
  }

  /** Newest files first, and of a file the last record first. A page may be short, or empty, and have a next one (L1). */
  async page({ limit, after, wanted }: DeadLetterQuery): Promise<DeadLetterPage> {
    const from = after === undefined ? undefined : cursorIn(after);
    const { files, more } = await this.#newest(from);
    const items: DeadLetter[] = [];
    let bytes = 0;
    let marked = 0;
    for (const file of files) {
      const { key, sinceMs } = file;
      const end = from?.key === key ? Math.min(from.offset, file.sizeBytes) : file.sizeBytes;
      const marks = await this.#marksOf(stemOf(key));
      for await (const lines of blocksOf(linesBackwards(this.published, key, end))) {
        const letters = await Promise.all(lines.map((line) => this.#letter(file, line, marks)));
        for (const [i, letter] of letters.entries()) {
          const { offset, bytes: line } = lines[i]!;
          bytes += line.length;
          if (letter.mark !== undefined) marked++;
          if (await wanted(letter)) items.push(letter);
          const enough = bytes >= limits.deadLetterScanBytesMax || marked >= limits.deadLetterMarksMax;
          if (items.length >= limit || enough) return { items, next: tokenOf({ sinceMs, key, offset }) };
        }
      }
    }
    const last = files.at(-1);
    if (!more || last === undefined) return { items };
    return { items, next: tokenOf({ sinceMs: last.sinceMs, key: last.key, offset: 0 }) };
  }

  /** @throws {MillraceError} `MILL_REQUEST_NOT_FOUND` (L2) */
  async find(id: string): Promise<DeadLetter> {
    const place = placeIn(id);
    const key = place === undefined ? "" : `${place.stem}.jsonl`;
    const file = place === undefined ? undefined : await this.published.head(key);
    if (place === undefined || file === undefined) throw unknown(id);
    const line = await lineAt(this.published, key, place.offset, file.sizeBytes);
    if (line === undefined || hashOf(line) !== place.hash) throw unknown(id);
    const mark = await this.#markAt(this.keys.mark(place.stem, place.offset, place.hash));
    const letter = letterIn(place, line, mark);
    return letter.atMs > 0 ? letter : { ...letter, atMs: await this.#publishedMs(key) };
  }

  /** L3 @returns the mark that it has now */
  async mark(id: string, mark: Mark): Promise<Mark> {
    const { stem, offset, hash } = placeIn(id)!;
    const key = this.keys.mark(stem, offset, hash);
    const made = await this.marks.create(key, new TextEncoder().encode(JSON.stringify(mark)));
    return made.created ? mark : markIn(key, made.existing);
  }

  async #publishedMs(key: string): Promise<number> {
    for await (const { key: found, sinceMs } of this.published.list(key)) if (found === key) return Math.trunc(sinceMs);
    return 0;
  }

  /** Those behind the cursor, as many as one page may look into. */
  async #newest(
    from: Cursor | undefined,
  ): Promise<{ readonly files: readonly ListedObject[]; readonly more: boolean }> {
    const most = limits.deadLetterFilesMax;
    let files: ListedObject[] = [];
    let more = false;
    const cut = () => {
      files.sort((a, b) => b.sinceMs - a.sinceMs || (a.key < b.key ? 1 : -1));
      more ||= files.length > most;
      files = files.slice(0, most);
    };
    for await (const file of this.published.list(PREFIX)) {
      if (!FILE.test(file.key) || (from !== undefined && !isBehind(file, from))) continue;
      files.push(file);
      if (files.length >= 2 * most) cut();
    }
    cut();
    return { files, more };
  }

  async #letter(file: ListedObject, line: Line, marks: ReadonlySet<string>): Promise<DeadLetter> {
    const place = { stem: stemOf(file.key), offset: line.offset, hash: hashOf(line) };
    const key = this.keys.mark(place.stem, place.offset, place.hash);
    const letter = letterIn(place, line, marks.has(key) ? await this.#markAt(key) : undefined);
    return letter.atMs > 0 ? letter : { ...letter, atMs: Math.trunc(file.sinceMs) };
  }

  async #marksOf(stem: string): Promise<ReadonlySet<string>> {
    const found = new Set<string>();
    for await (const { key } of this.marks.list(this.keys.marks(stem))) found.add(key);
    return found;
  }

  async #markAt(key: string): Promise<Mark | undefined> {
    try {
      return markIn(key, await this.marks.get(key));
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") return undefined;
      throw error;
    }
  }
}

/** Lines whose marks are read at the same time. */
const BLOCK = 32;

async function* blocksOf(lines: AsyncIterable<Line>): AsyncGenerator<Line[]> {
  let block: Line[] = [];
  for await (const line of lines) {
    if (block.push(line) < BLOCK) continue;
    yield block;
    block = [];
  }
  if (block.length > 0) yield block;
}

function isBehind({ sinceMs, key }: ListedObject, from: Cursor): boolean {
  if (key === from.key) return from.offset > 0;
  return sinceMs === from.sinceMs ? key < from.key : sinceMs < from.sinceMs;
}

const stemOf = (key: string): string => FILE.exec(key)![1]!;

function hashOf({ bytes }: Line): string {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 12);
}

function placeIn(id: string): Place | undefined {
  const [, stem, offset, hash] = ID.exec(id) ?? [];
  return stem === undefined ? undefined : { stem, offset: Number(offset), hash: hash! };
}

function unknown(id: string): MillraceError {
  return new MillraceError("MILL_REQUEST_NOT_FOUND", `there is no dead letter "${id}". List them again.`, { id });
}

function letterIn({ stem, offset, hash }: Place, { bytes }: Line, mark: Mark | undefined): DeadLetter {
  try {
    const { operator, code, message, record, atMs = 0, row = "" } = JSON.parse(new TextDecoder().decode(bytes));
    for (const text of [operator, code, message, record, row])
      if (typeof text !== "string") throw new TypeError("a column is missing");
    const id = `${stem}.${offset}.${hash}`;
    const whole = rowIn(row);
    const size = bytes.length + (whole === undefined || whole instanceof Uint8Array ? 0 : Number(whole.sizeBytes));
    return { id, operator, code, message, atMs: Number(atMs), record, row: whole, bytes: size, mark };
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_STORE_CORRUPT", `${stem}.jsonl holds no dead letter at byte ${offset}`);
  }
}

/** As `actors/dead-letters.ts` writes it. */
function rowIn(text: string): DeadLetter["row"] {
  if (text === "") return undefined;
  const [, uri, sha256, size] = /^(.+:.*\/([0-9a-f]{64}))#(\d{1,15})$/.exec(text) ?? [];
  if (uri === undefined) return Buffer.from(text, "base64");
  return { uri, offset: 0n, sizeBytes: BigInt(size!), sha256: sha256!, mediaType: "" };
}

/** What the record was, for people. @throws {MillraceError} `MILL_STORE_CORRUPT` */
export function recordOf({ id, record }: DeadLetter): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(record);
    if (typeof parsed === "object" && parsed !== null) return parsed as Record<string, unknown>;
    throw new TypeError("it is no object");
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_STORE_CORRUPT", `the record of dead letter ${id} cannot be read`);
  }
}

function markIn(key: string, bytes: Uint8Array): Mark {
  try {
    const { kind, job, by, atMs } = JSON.parse(new TextDecoder().decode(bytes)) as Mark;
    if (kind === "discarded" || kind === "replayed") return { kind, job, by, atMs };
    throw new TypeError(`it says ${String(kind)}`);
  } catch (cause) {
    throw MillraceError.from(cause, "MILL_STORE_CORRUPT", `${key} is no mark of a dead letter`);
  }
}

function tokenOf({ sinceMs, key, offset }: Cursor): string {
  return Buffer.from(`${sinceMs} ${offset} ${key}`).toString("base64url");
}

function cursorIn(token: string): Cursor {
  const text = Buffer.from(token, "base64url").toString();
  const [, sinceMs, offset, key] = /^(\d+(?:\.\d+)?) (\d+) (dead-letters-\S+)$/.exec(text) ?? [];
  if (key !== undefined) return { sinceMs: Number(sinceMs), offset: Number(offset), key };
  const message = "after is no place in this list. Take `next` of the page before, as it is.";
  throw new MillraceError("MILL_REQUEST_INVALID", message);
}
