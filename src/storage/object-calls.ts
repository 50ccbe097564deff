/** What the implementations of the object store share: keys, bodies, ranges, and errors that name the object. */
import { invariant, MillraceError } from "../base/errors.js";
import type { ByteRange, ObjectBody } from "./object-store.js";

/** Parts of keys that start so belong to the stores: files being written, probes. They are refused and never listed. */
export const RESERVED = ".millrace-";

const KEY_BYTES_MAX = 1024;

/** @throws {MillraceError} `MILL_STORE_KEY` */
export function checkKey(key: string): void {
  const parts = key.split("/");
  const bad =
    parts.some((part) => part === "" || part === "." || part === ".." || part.startsWith(RESERVED)) ||
    // Half a surrogate pair has no UTF-8: two such keys would be one.
    /\0|\p{Surrogate}/u.test(key);
  if (!bad && Buffer.byteLength(key) <= KEY_BYTES_MAX) return;
  throw invalidKey(key);
}

export function invalidKey(key: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_STORE_KEY",
    `"${key}" is not a valid object key. Use parts separated by "/", none of them empty, "." or ".." or beginning with "${RESERVED}", 255 bytes each and ${KEY_BYTES_MAX} in all.`,
    { key },
    { cause },
  );
}

export function isReserved(key: string): boolean {
  return key.split("/").some((part) => part.startsWith(RESERVED));
}

export function notFound(url: string, key: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_STORE_NOT_FOUND",
    `there is no object ${key} in ${url}. Check the name, and that it was not removed.`,
    { url, key },
    { cause },
  );
}

/** `promise`, or the signal's reason as soon as it is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/**
 * The pieces of a body. An abort ends it also while the source has nothing to give; the source is then told to
 * close and not waited for.
 */
export async function* piecesOf(body: ObjectBody, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  signal?.throwIfAborted();
  if (body instanceof Uint8Array) {
    yield body;
    return;
  }
  if (inHand(body)) {
    for (const piece of body) {
      signal?.throwIfAborted();
      yield piece;
    }
    return;
  }
  const source = body[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await unlessAborted(source.next(), signal);
      if (next.done === true) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!ended) source.return?.().catch(() => {}); // its reader has a better reason to fail
  }
}

export function inHand(body: ObjectBody): body is Uint8Array | readonly Uint8Array[] {
  return !(Symbol.asyncIterator in body);
}

/** The bytes of a body, all in memory, in an array that nobody else has. */
export async function collect(body: ObjectBody, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  // Copied where the source may fill its piece again.
  for await (const piece of piecesOf(body, signal)) pieces.push(inHand(body) ? piece : new Uint8Array(piece));
  return joined(pieces);
}

/** A copy of its own. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

export function checkRange(range: ByteRange | undefined): void {
  if (range === undefined) return;
  const { offset, length } = range;
  invariant(
    Number.isSafeInteger(offset) && offset >= 0 && Number.isSafeInteger(length) && length >= 0,
    `a byte range has a first byte and a length of at least 0, not ${offset} and ${length}`,
  );
}

export function cut(bytes: Uint8Array, range: ByteRange | undefined): Uint8Array {
  checkRange(range);
  return range === undefined ? bytes : bytes.subarray(range.offset, range.offset + range.length);
}

/** Order of UTF-8 bytes, which is S3's, and not that of UTF-16. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
