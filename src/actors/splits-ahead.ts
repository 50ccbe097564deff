/**
 * A reader's splits that were given to it and that it has not begun: so many that it can go on while its source's enumerator
 * moves to another host.
 *
 * Invariants:
 *   P1  One question is asked at a time, for the next number; what is answered is handed out in the order of numbers.
 *   P2  A split that waits here is in no snapshot: `taken` counts those that were begun. So a restored reader asks for it again, and is
 *       given the same (D1 of the enumerator); a savepoint gives it back.
 *   P3  As many wait as last for `splitsReadyMs` at the pace of the last one, but one at least and `splitsReadyMax` at most. The
 *       enumerator gives none ahead of time when there is little left for others (D6 there). They are asked for when a
 *       quarter of them has been begun, so that the enumerator records several at once.
 *   P4  What goes wrong while it asks ahead of time is no failure: it asks again when it needs the split.
 */
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Split } from "../topology/endpoints.js";
import type { SplitRequest } from "../wire/control.js";

/** Splits, of that number and those after it; that there is none, and none after it; or that there is none ahead of time. */
export type GivenSplits = readonly Split[] | "none" | "later";

/** As in the request to the enumerator. */
export type SplitWish = Pick<SplitRequest, "ahead" | "more">;

/** @param wish asked before every message */
export type AskForSplit = (number: bigint, wish: () => SplitWish) => Promise<GivenSplits>;

export class SplitsAhead {
  #ready: Split[] = [];
  #over = false;
  /** Number of the next that is asked for. */
  #next = 0n;
  #waits = false;
  #asking: Promise<GivenSplits> | undefined;
  #filling = false;
  #tookMs = 0;
  #wanted = 1;

  constructor(
    private readonly ask: AskForSplit,
    private readonly clock: Clock,
  ) {}

  /** The assignment of that number, which grows by one. undefined: there is none, and none after it. */
  async take(number: bigint): Promise<Split | undefined> {
    if (this.#next === 0n) this.#next = number;
    else this.#pace();
    this.#waits = true;
    while (this.#ready.length === 0 && !this.#over) await this.#askNeeded();
    this.#waits = false;
    this.#tookMs = this.clock.monotonicMs();
    const split = this.#ready.shift();
    if (this.#ready.length * 4 <= this.#wanted * 3) void this.#fill();
    return split;
  }

  /** P3 */
  #pace(): void {
    const lastedMs = Math.max(this.clock.monotonicMs() - this.#tookMs, 1);
    this.#wanted = Math.max(1, Math.min(Math.ceil(limits.splitsReadyMs / lastedMs), limits.splitsReadyMax));
  }

  async #askNeeded(): Promise<void> {
    const ahead = this.#asking?.catch(() => {}); // P4
    await (ahead ?? this.#askNext());
  }

  /** Asks ahead of time until enough wait, or the enumerator has none to spare. */
  async #fill(): Promise<void> {
    if (this.#filling) return;
    this.#filling = true;
    try {
      // What is begun while it asks is asked for the next time: one record for each split would be written.
      const upTo = this.#next + BigInt(this.#wanted - this.#ready.length);
      while (!this.#over && this.#next < upTo) {
        if ((await (this.#asking ?? this.#askNext())) === "later") break;
      }
    } catch {
      // P4
    }
    this.#filling = false;
  }

  #askNext(): Promise<GivenSplits> {
    this.#asking = this.#askOne().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** P1 */
  async #askOne(): Promise<GivenSplits> {
    const given = await this.ask(this.#next, () => {
      const waiting = this.#ready.length;
      return { ahead: this.#waits ? 0 : waiting + 1, more: Math.max(this.#wanted - waiting - 1, 0) };
    });
    if (given === "none") this.#over = true;
    else if (given !== "later") {
      this.#ready.push(...given);
      this.#next += BigInt(given.length);
    }
    return given;
  }
}
