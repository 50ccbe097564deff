/**
 * A snapshot on its way to the store. It may be as large as all that an actor has under way, so it is copied and hashed
 * a chunk at a time, and other work has its turn in between: an actor that stands still keeps its instances waiting.
 *
 * Invariants:
 *   K1  Chunks are copies, made once: whatever becomes of the batches afterwards, the hash is that of what is stored, also
 *       when a snapshot that could not be saved is saved again.
 *   K2  At most `limits.snapshotChunkBytes` are copied, or hashed, at a time.
 */
import { createHash } from "node:crypto";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";

/** The pieces one behind the other; at least one chunk, and all but the last full. */
export async function chunksOf(pieces: readonly Uint8Array[], clock: Clock): Promise<readonly Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  let left = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const nextChunk = () => {
    const chunk = new Uint8Array(Math.min(left, limits.snapshotChunkBytes));
    left -= chunk.length;
    chunks.push(chunk);
    return chunk;
  };
  let chunk = nextChunk();
  let filled = 0;
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      if (filled === chunk.length) {
        await clock.sleep(0);
        chunk = nextChunk();
        filled = 0;
      }
      const taken = piece.subarray(at, at + chunk.length - filled);
      chunk.set(taken, filled);
      at += taken.length;
      filled += taken.length;
    }
  }
  return chunks;
}

/** All of it again, without a copy where it is one chunk. */
export function joined(chunks: readonly Uint8Array[]): Uint8Array {
  const [only] = chunks;
  return only !== undefined && chunks.length === 1 ? only : Buffer.concat(chunks);
}

export async function sha256Of(chunks: readonly Uint8Array[], clock: Clock): Promise<string> {
  const hash = createHash("sha256");
  for (const [i, chunk] of chunks.entries()) {
    for (let at = 0; at < chunk.length; at += limits.snapshotChunkBytes) {
      if (i + at > 0) await clock.sleep(0);
      hash.update(chunk.subarray(at, at + limits.snapshotChunkBytes));
    }
  }
  return hash.digest("hex");
}
