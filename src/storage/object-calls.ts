/** What the implementations of the object store share: keys, ranges, and errors that name the object. */
import { MillraceError } from "../base/errors.js";
import type { ByteRange, ObjectBody } from "./object-store.js";

/** @throws {MillraceError} `MILL_STORE_KEY` */
export function checkKey(key: string): void {
  const bad =
    key === "" || key.includes("\0") || key.split("/").some((part) => part === "" || part === "." || part === "..");
  if (!bad && Buffer.byteLength(key) <= 1024) return;
  throw new MillraceError(
    "MILL_STORE_KEY",
    `"${key}" is not a valid object key. Use parts separated by "/", none of them empty, "." or "..", 1024 bytes in all.`,
    { key },
  );
}

export function notFound(url: string, key: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_STORE_NOT_FOUND",
    `there is no object ${key} in ${url}. Check the name, and that it was not removed.`,
    { url, key },
    { cause },
  );
}

/** The bytes of a body, all in memory. */
export async function collect(body: ObjectBody, signal: AbortSignal | undefined): Promise<Uint8Array> {
  signal?.throwIfAborted();
  if (body instanceof Uint8Array) return body.slice();
  const pieces: Uint8Array[] = [];
  for await (const piece of body) {
    signal?.throwIfAborted();
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

export function cut(bytes: Uint8Array, range: ByteRange | undefined): Uint8Array {
  return range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length);
}

/** Order of UTF-8 bytes, which is S3's, and not that of UTF-16. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
