/**
 * The receiving side of a channel behind all repair: batches, barriers and the end, each known once, in the order of
 * their numbers, to one taker; and captures. Pure: no bus, no clock. Both kinds of channel use it.
 *
 * Invariants:
 *   V1  A batch is handed on when every batch before it is, and every barrier before it is handed on or captured (N1).
 *   V2  A barrier is handed on directly after the last batch before it.
 *   V3  A capture and what was handed on before it are together exactly the batches before the barrier.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { type Deferred, deferred } from "../bus/deferred.js";
import type { ChannelItem } from "./channel.js";

interface Ready {
  readonly batch: RecordBatch;
  readonly bytes: number;
  /** Number of barriers before it. */
  readonly barriers: bigint;
}

interface Barrier {
  readonly checkpoint: bigint;
  /** Number of batches before it. */
  readonly sequence: bigint;
}

interface Capture {
  readonly checkpoint: bigint;
  /** Number of the first of `batches`. */
  readonly from: bigint;
  readonly batches: RecordBatch[];
  readonly result: Deferred<readonly RecordBatch[]>;
}

export class Handover {
  #ready: Ready[] = [];
  #handed = 0n;
  #barriers: Barrier[] = [];
  #barriersPassed = 0n;
  #checkpointPassed = 0n;
  #end: { readonly sequence: bigint; readonly barriers: bigint } | undefined;
  #captures: Capture[] = [];
  #captured = new Set<bigint>();
  #failed: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #heard: ((checkpoint: bigint) => void) | undefined;

  /**
   * @param channel  for messages
   * @param taken  told of every batch that was handed on
   */
  constructor(
    private readonly channel: string,
    private readonly taken: (bytes: number) => void,
  ) {}

  /** Number of batches that were added. */
  get arrived(): bigint {
    return this.#handed + BigInt(this.#ready.length);
  }
  get handed(): bigint {
    return this.#handed;
  }
  /** Number of barriers that were added. */
  get barriers(): bigint {
    return this.#barriersPassed + BigInt(this.#barriers.length);
  }
  get ended(): boolean {
    return this.#end !== undefined;
  }
  /** Batches that wait to be taken. */
  get waiting(): number {
    return this.#ready.length;
  }

  /** @param heard told of barriers, those that are there included */
  listen(heard: (checkpoint: bigint) => void): void {
    this.#heard = heard;
    for (const { checkpoint } of [...this.#barriers]) heard(checkpoint);
  }

  /** The next batch. @param barriers number of barriers before it */
  add(batch: RecordBatch, bytes: number, barriers: bigint): void {
    if (this.#failed !== undefined) return;
    this.#ready.push({ batch, bytes, barriers });
    for (const capture of this.#captures) capture.batches.push(batch);
    this.#changed();
  }

  /**
   * The next barrier, after the batches below `sequence`.
   * @throws {MillraceError} `MILL_FRAME_INVALID`: later batches were handed on, their sender did not count this barrier
   */
  addBarrier(checkpoint: bigint, sequence: bigint): void {
    if (this.#failed !== undefined) return;
    if (sequence < this.#handed) {
      const message = `channel ${this.channel}: barrier ${checkpoint} stands before frame ${sequence}, but ${this.#handed} were handed on. Its sender must count barriers in its data frames.`;
      throw new MillraceError("MILL_FRAME_INVALID", message, { checkpoint, sequence });
    }
    this.#barriers.push({ checkpoint, sequence });
    this.#changed();
    this.#heard?.(checkpoint);
  }

  /** There are `sequence` batches and `barriers` barriers, and no more. */
  addEnd(sequence: bigint, barriers: bigint): void {
    if (this.#end !== undefined || this.#failed !== undefined) return;
    this.#end = { sequence, barriers };
    this.#changed();
  }

  /** The taker and every capture meet the error; the first one counts. */
  fail(error: unknown): void {
    if (this.#failed !== undefined) return;
    this.#failed = { error };
    this.#ready = [];
    for (const capture of this.#captures.splice(0)) capture.result.reject(error);
    this.#wake?.();
  }

  /** @param hold given a batch at the moment from which no capture has it */
  async next(hold?: (batch: RecordBatch) => void): Promise<ChannelItem | undefined> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      const item = this.#takeBarrier() ?? this.#takeBatch(hold);
      if (item !== undefined) return item;
      if (this.#atEnd()) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  async capture(checkpoint: bigint): Promise<readonly RecordBatch[]> {
    if (this.#failed !== undefined) throw this.#failed.error;
    if (checkpoint <= this.#checkpointPassed) return [];
    const batches = this.#ready.map((ready) => ready.batch);
    const capture = { checkpoint, from: this.#handed, batches, result: deferred<readonly RecordBatch[]>() };
    this.#captures.push(capture);
    this.#captured.add(checkpoint);
    this.#changed();
    return capture.result.promise;
  }

  #changed(): void {
    if (this.#captures.length > 0) this.#captures = this.#captures.filter((capture) => !this.#settle(capture));
    this.#wake?.();
  }

  #takeBarrier(): ChannelItem | undefined {
    for (let first = this.#barriers[0]; first?.sequence === this.#handed; first = this.#barriers[0]) {
      this.#barriers.shift();
      this.#barriersPassed += 1n;
      this.#checkpointPassed = first.checkpoint;
      if (!this.#captured.delete(first.checkpoint)) return { kind: "barrier", checkpoint: first.checkpoint };
    }
    return undefined;
  }

  #takeBatch(hold?: (batch: RecordBatch) => void): ChannelItem | undefined {
    const first = this.#ready[0];
    if (first === undefined || first.barriers > this.#barriersPassed) return undefined;
    this.#ready.shift();
    this.#handed += 1n;
    hold?.(first.batch);
    this.taken(first.bytes);
    return { kind: "batch", batch: first.batch };
  }

  #atEnd(): boolean {
    return this.#end?.sequence === this.#handed && this.#end.barriers === this.#barriersPassed;
  }

  /** @returns whether the capture is over */
  #settle({ checkpoint, from, batches, result }: Capture): boolean {
    const barrier = this.#barriers.find((one) => one.checkpoint >= checkpoint);
    if (barrier !== undefined && barrier.checkpoint > checkpoint) {
      const message = `channel ${this.channel}: barrier ${checkpoint} never comes, barrier ${barrier.checkpoint} came in its place.`;
      this.#captured.delete(checkpoint);
      result.reject(new MillraceError("MILL_CHANNEL_GAP", message, { checkpoint, came: barrier.checkpoint }));
      return true;
    }
    const upTo = barrier?.sequence ?? (this.#end?.barriers === this.barriers ? this.#end.sequence : undefined);
    if (upTo === undefined || this.arrived < upTo) return false;
    result.resolve(batches.slice(0, Number(upTo - from)));
    return true;
  }
}
