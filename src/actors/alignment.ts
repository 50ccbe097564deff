/**
 * Which inputs of an actor a checkpoint still waits for, and when it waits no longer.
 *
 * Invariants:
 *   L1  An actor cuts once for each checkpoint, in order of their numbers; one that was overtaken by a later is given up.
 *   L2  It cuts when its sources were triggered (if any still reads) and every channel is at the barrier or has ended.
 *   L3  After `limits.barrierAlignmentMs` it waits for its channels no longer: it cuts, and what lies before the barriers
 *       of the late ones is captured.
 *   L4  Nothing behind a barrier is taken from its channel before the cut.
 */
import { limits } from "../base/limits.js";
import type { Clock, Timer } from "../base/ports.js";

export interface AlignmentOptions {
  readonly clock: Clock;
  /** Channels that the actor reads. */
  readonly inputs: number;
  /** Whether a source of the actor still reads. */
  sourcesRead(): boolean;
  /** Resolves when the actor works again. @param late channels whose barrier has not been reached */
  cut(checkpoint: bigint, late: readonly number[]): Promise<void>;
  fail(error: unknown): void;
}

export class Alignment {
  /** The one that is being aligned. */
  #checkpoint = 0n;
  /** The newest that was cut, or is being cut now. */
  #newest = 0n;
  #cut: Promise<void> | undefined;
  #triggered = false;
  #overdue = false;
  #timer: Timer | undefined;
  #reached = new Map<number, () => void>();
  #ended = new Set<number>();

  constructor(private readonly options: AlignmentOptions) {}

  /** From the coordinator. */
  trigger(checkpoint: bigint): void {
    if (!this.#begin(checkpoint)) return;
    this.#triggered = true;
    this.#check();
  }

  /** A barrier is known to come. */
  heard(checkpoint: bigint): void {
    this.#begin(checkpoint);
  }

  /** The barrier is next on that channel. Resolves when the channel may be read on (L4). */
  async reached(input: number, checkpoint: bigint): Promise<void> {
    // It may come late, and still before the cut: flows may keep the actor from cutting for a while.
    if (checkpoint === this.#newest) await this.#cut;
    if (!this.#begin(checkpoint)) return;
    await new Promise<void>((resolve) => {
      this.#reached.set(input, resolve);
      this.#check();
    });
  }

  ended(input: number): void {
    this.#ended.add(input);
    this.#check();
  }

  close(): void {
    this.#timer?.cancel();
  }

  /** @returns whether that checkpoint is the one being aligned now */
  #begin(checkpoint: bigint): boolean {
    if (checkpoint <= this.#newest || checkpoint < this.#checkpoint) return false;
    if (checkpoint === this.#checkpoint) return true;
    this.#giveUp();
    this.#checkpoint = checkpoint;
    this.#timer = this.options.clock.after(limits.barrierAlignmentMs, () => {
      this.#overdue = true;
      this.#check();
    });
    return true;
  }

  #check(): void {
    if (this.#checkpoint === 0n || this.#cut !== undefined) return;
    if (this.options.sourcesRead() && !this.#triggered) return;
    const late = Array.from({ length: this.options.inputs }, (_, i) => i).filter(
      (input) => !this.#reached.has(input) && !this.#ended.has(input),
    );
    if (late.length > 0 && !this.#overdue) return;
    const checkpoint = this.#checkpoint;
    this.#newest = checkpoint;
    const waiting = [...this.#reached.values()];
    this.#reached.clear();
    this.#reset();
    this.#cut = this.options.cut(checkpoint, late).then(
      () => {
        this.#cut = undefined;
        for (const goOn of waiting) goOn();
        this.#check();
      },
      (error: unknown) => this.options.fail(error),
    );
  }

  #giveUp(): void {
    for (const goOn of this.#reached.values()) goOn();
    this.#reached.clear();
    this.#reset();
  }

  #reset(): void {
    this.#timer?.cancel();
    this.#checkpoint = 0n;
    this.#triggered = false;
    this.#overdue = false;
  }
}
