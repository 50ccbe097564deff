/**
 * Content by its hash in this process's memory: bounded in bytes, the least recently used goes first; of several that want the same at a
 * time, one brings it.
 *
 * Whoever gives up waiting leaves the others waiting. When nobody waits any more, what is under way is aborted.
 */
import { limits } from "../base/limits.js";
import { unlessAborted } from "./object-calls.js";

interface UnderWay {
  readonly bytes: Promise<Uint8Array>;
  readonly abort: AbortController;
  waiting: number;
}

export class ContentMemory {
  /** The least recently used first. */
  #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  #underWay = new Map<string, UnderWay>();

  constructor(private readonly bytesMax: number = limits.contentMemoryBytes) {}

  get(sha256: string): Uint8Array | undefined {
    const bytes = this.#kept.get(sha256);
    if (bytes === undefined) return undefined;
    this.#kept.delete(sha256);
    this.#kept.set(sha256, bytes);
    return bytes;
  }

  /** @param bring called where it is not here and nobody is bringing it */
  async bytes(
    sha256: string,
    bring: (signal: AbortSignal) => Promise<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const kept = this.get(sha256);
    if (kept !== undefined) return kept;
    const one = this.#underWay.get(sha256) ?? this.#bring(sha256, bring);
    one.waiting += 1;
    try {
      return await unlessAborted(one.bytes, signal);
    } finally {
      one.waiting -= 1;
      if (one.waiting === 0) one.abort.abort(signal?.reason);
      if (one.waiting === 0 && this.#underWay.get(sha256) === one) this.#underWay.delete(sha256);
    }
  }

  keep(sha256: string, given: Uint8Array): void {
    if (given.length > this.bytesMax || this.#kept.has(sha256)) return;
    // A view would hold on to all of a batch.
    const bytes = given.buffer.byteLength > 2 * given.length ? new Uint8Array(given) : given;
    this.#kept.set(sha256, bytes);
    this.#keptBytes += bytes.length;
    for (const [oldest, { length }] of this.#kept) {
      if (this.#keptBytes <= this.bytesMax) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= length;
    }
  }

  #bring(sha256: string, bring: (signal: AbortSignal) => Promise<Uint8Array>): UnderWay {
    const abort = new AbortController();
    const bytes = bring(abort.signal).then((brought) => {
      this.keep(sha256, brought);
      return brought;
    });
    const one: UnderWay = { bytes, abort, waiting: 0 };
    bytes.catch(() => {}); // met by those who wait
    this.#underWay.set(sha256, one);
    return one;
  }
}
