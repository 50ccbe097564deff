/** Hashes of content as snapshots keep them: 32 bytes each, one behind the other, sorted. */
import { MillraceError } from "../base/errors.js";
import { actorSnapshotFrame } from "./stored.js";

const HASH_BYTES = 32;

/** @param hashes SHA-256, lower-case hex */
export function packHashes(hashes: Iterable<string>): Uint8Array {
  return Buffer.concat([...hashes].sort().map((hash) => Buffer.from(hash, "hex")));
}

export function unpackHashes(bytes: Uint8Array): string[] {
  if (bytes.length % HASH_BYTES !== 0) throw corrupt(`${bytes.length} bytes are no list of hashes`);
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex");
  return hex.match(/.{64}/g) ?? [];
}

/** What a frame of kind `actor-snapshot` says that it refers to. */
export function contentsOfSnapshot(frame: Uint8Array): string[] {
  const { header, payload } = actorSnapshotFrame.decode(frame);
  const { blobs, contents } = header;
  if (contents < 0) return [];
  if (contents >= blobs.length) throw corrupt(`its list is blob ${contents}, which it does not have`);
  const start = blobs.slice(0, contents).reduce((sum, length) => sum + Number(length), 0);
  return unpackHashes(payload.subarray(start, start + Number(blobs[contents])));
}

function corrupt(what: string): MillraceError {
  return new MillraceError("MILL_STORE_CORRUPT", `what a snapshot says of owned content cannot be read: ${what}.`);
}
