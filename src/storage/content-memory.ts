/**
 * Content by its hash in this process's memory: bounded in bytes, the least recently used goes first; of several that want the same at a
 * time, one brings it.
 *
 * Invariants:
 *   M1  What this machine has, too, is kept from the second time on that it is wanted. Most content passes a process once: to hold on to
 *       it would cost more than to read it again, for its pages could not be used for the next one, and the collector of garbage would
 *       find all of it old.
 *   M2  What this machine does not have is kept from the first time on: to read it again would be another fetch.
 *   M3  Whoever gives up waiting leaves the others waiting. When nobody waits any more, what is under way is aborted.
 */
import { limits } from "../base/limits.js";
import { unlessAborted } from "./object-calls.js";

export interface Brought {
  readonly bytes: Uint8Array;
  /** This machine has it, too: in a file, or in the node's folder. */
  readonly isNear: boolean;
}

interface UnderWay {
  readonly bytes: Promise<Uint8Array>;
  readonly abort: AbortController;
  waiting: number;
}

export class ContentMemory {
  /** The least recently used first. */
  #kept = new Map<string, Uint8Array>();
  #keptBytes = 0;
  /** Wanted once, the longest ago first (M1); a bounded number, for what is forgotten is only read once more. */
  #once = new Set<string>();
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
    bring: (signal: AbortSignal) => Promise<Brought>,
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

  /** @param waiting how many want it now */
  keep(sha256: string, { bytes: given, isNear }: Brought, waiting = 1): void {
    if (given.length > this.bytesMax || this.#kept.has(sha256)) return;
    if (isNear && waiting < 2 && !this.#once.delete(sha256)) {
      this.#remember(sha256);
      return;
    }
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

  #remember(sha256: string): void {
    this.#once.add(sha256);
    if (this.#once.size <= limits.contentOnceKnownMax) return;
    const [oldest] = this.#once;
    this.#once.delete(oldest!);
  }

  #bring(sha256: string, bring: (signal: AbortSignal) => Promise<Brought>): UnderWay {
    const abort = new AbortController();
    const bytes = bring(abort.signal).then((brought) => {
      this.keep(sha256, brought, one.waiting);
      return brought.bytes;
    });
    const one: UnderWay = { bytes, abort, waiting: 0 };
    bytes.catch(() => {}); // met by those who wait
    this.#underWay.set(sha256, one);
    return one;
  }
}
