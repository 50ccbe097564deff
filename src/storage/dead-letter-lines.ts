/**
 * Lines of a file of JSON Lines, read by ranges: the newest first, or the one at a byte. A file is never read as a whole where a part will do.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { ObjectStore } from "./object-store.js";

export interface Line {
  /** Of its first byte in the file. */
  readonly offset: number;
  /** Without the line's end. */
  readonly bytes: Uint8Array;
}

type Reads = Pick<ObjectStore, "get">;

const CHUNK = 256 * 1024;
const END = 10;

/** Lines that begin before `end`, which is where one begins, or the file's size. The last comes first. */
export async function* linesBackwards(store: Reads, key: string, end: number): AsyncGenerator<Line> {
  let at = end; // what is in `rest` begins here in the file
  let rest = Buffer.alloc(0);
  for (let chunk = CHUNK; at > 0 || rest.length > 0; ) {
    const before = rest.length < 2 ? -1 : rest.lastIndexOf(END, rest.length - 2);
    if (before >= 0 || (at === 0 && rest.length > 0)) {
      yield { offset: at + before + 1, bytes: withoutEnd(rest.subarray(before + 1)) };
      rest = rest.subarray(0, before + 1);
      chunk = CHUNK;
      continue;
    }
    checkLength(key, rest.length);
    const length = Math.min(chunk, at);
    at -= length;
    rest = Buffer.concat([await store.get(key, { range: { offset: at, length } }), rest]);
    chunk *= 2; // a long line is not put together from very many pieces
  }
}

/** @param size of the file @returns undefined: none begins there */
export async function lineAt(store: Reads, key: string, offset: number, size: number): Promise<Line | undefined> {
  let bytes = Buffer.alloc(0);
  for (let chunk = CHUNK; offset + bytes.length < size; chunk *= 2) {
    checkLength(key, bytes.length);
    const from = offset + bytes.length;
    const more = await store.get(key, { range: { offset: from, length: Math.min(chunk, size - from) } });
    const end = more.indexOf(END);
    if (end >= 0) return { offset, bytes: Buffer.concat([bytes, more.subarray(0, end)]) };
    bytes = Buffer.concat([bytes, more]);
  }
  return bytes.length === 0 ? undefined : { offset, bytes };
}

function withoutEnd(line: Buffer): Buffer {
  return line.at(-1) === END ? line.subarray(0, -1) : line;
}

function checkLength(key: string, bytes: number): void {
  if (bytes <= limits.deadLetterBytesMax) return;
  const message = `${key} holds a line longer than ${limits.deadLetterBytesMax} bytes, which no dead letter is. Move the file out of the folder.`;
  throw new MillraceError("MILL_STORE_CORRUPT", message, { key });
}
