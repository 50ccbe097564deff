/** What content must be: its size and its SHA-256, as far as its reference says them. */
import { createHash } from "node:crypto";
import { MillraceError } from "../base/errors.js";
import { hashOf } from "../types/content-refs.js";

/** The parts of an object reference that say where content is and what it must be. */
export interface ContentRef {
  readonly uri: string;
  readonly offset: bigint;
  /** -1n: to the end. */
  readonly sizeBytes: bigint;
  /** Of the content that the reference denotes; empty: not known. */
  readonly sha256: string;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** @throws {MillraceError} `MILL_SOURCE_CHANGED`, `MILL_CONTENT_HASH` */
export function checkContent(ref: ContentRef, bytes: Uint8Array): void {
  checkSize(ref, bytes.length);
  if (hashOf(ref) !== undefined) checkHash(ref, sha256Of(bytes));
}

export function isContent({ sizeBytes, sha256 }: ContentRef, bytes: Uint8Array): boolean {
  return (sizeBytes < 0n || BigInt(bytes.length) === sizeBytes) && sha256Of(bytes) === sha256;
}

/**
 * Hands the pieces on, each when the next one has come: the last one only when all of it is what it must be.
 * @throws {MillraceError} as `checkContent`
 */
export async function* checked(ref: ContentRef, pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const hash = hashOf(ref) === undefined ? undefined : createHash("sha256");
  let sizeBytes = 0;
  let last: Uint8Array | undefined;
  for await (const piece of pieces) {
    // What is too long is not read to its end.
    if (ref.sizeBytes >= 0n && BigInt(sizeBytes + piece.length) > ref.sizeBytes)
      checkSize(ref, sizeBytes + piece.length);
    if (last !== undefined) yield last;
    hash?.update(piece);
    sizeBytes += piece.length;
    last = piece;
  }
  checkSize(ref, sizeBytes);
  if (hash !== undefined) checkHash(ref, hash.digest("hex"));
  if (last !== undefined) yield last;
}

function checkSize({ uri, sizeBytes }: ContentRef, found: number): void {
  if (sizeBytes < 0n || BigInt(found) === sizeBytes) return;
  throw new MillraceError(
    "MILL_SOURCE_CHANGED",
    `${shown(uri)} has changed since it was listed: expected ${sizeBytes} bytes, found ${found} bytes. Run the job again when its input is at rest.`,
    { uri: shown(uri), expected: sizeBytes, found },
  );
}

function checkHash({ uri, sha256 }: ContentRef, found: string): void {
  if (found === sha256) return;
  throw new MillraceError(
    "MILL_CONTENT_HASH",
    `${shown(uri)} has other bytes than its reference says: expected SHA-256 ${sha256}, found ${found}. It was replaced or damaged; bring back what was there, or make the reference anew.`,
    { uri: shown(uri), expected: sha256, found },
  );
}

/** An address may hold all of its content, and more than a message can; user, password and query of a web address may be secret. */
export function shown(uri: string): string {
  const plain = /^https?:/i.test(uri) ? uri.replace(/[?#].*$/s, "").replace(/^([^/]*\/\/)[^/]*@/, "$1") : uri;
  return plain.length > 200 ? `${plain.slice(0, 200)}...` : plain;
}
