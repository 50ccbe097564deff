/**
 * When jobs are looked at, and decided on.
 *
 * Invariants:
 *   T1  A job is looked at soon after something of it has changed, and when its time has come; every job, at all of it, on every heartbeat.
 *   T2  Looks take turns of about `limits.lookTurnMs`, and then half of the time at most: a job of ten thousand actors does not keep the lease
 *       from being renewed, nor reports from being heard. What is left is looked at in the next turn. Where all else has taken longer, so
 *       may a turn, up to `limits.lookTurnMsMax`: a process that is kept busy by a store decides as much as it hears. So may one in which a
 *       checkpoint begins that was asked for: it has as many hosts to tell, and what they answer would come in between.
 *   T3  Jobs take turns, too: none is looked at again while another waits for longer. Those that a checkpoint was asked for go before all
 *       others, once for each question (U3 of `region-turns.ts`): what is to be recorded of others takes longer.
 */
import { limits } from "../base/limits.js";
import type { Clock, Timer } from "../base/ports.js";
import type { JobBook } from "./job-book.js";

export interface LooksOptions {
  readonly clock: Clock;
  jobs(): Iterable<JobBook>;
  /** Whether anything is to be decided here. */
  leads(): boolean;
  /**
   * Decides, and carries out.
   * @param untilMs by the monotonic clock: what is left then is left for the next look
   * @returns when it has to be looked at again, whatever else happens; 0: something is left
   */
  lookAt(book: JobBook, untilMs: number): number;
}

/** Of one thing that takes long by itself. */
const REST_MS_MAX = 200;

export class Looks {
  #waiting = new Set<JobBook>();
  #dueMs = new Map<JobBook, number>();
  #soon: Timer | undefined;
  #due: Timer | undefined;
  /** From the end of the last turn to the next: as long as it took. */
  #restMs = 0;
  #endedMs = Number.NEGATIVE_INFINITY;
  #inTurn = false;
  #closed = false;

  constructor(private readonly options: LooksOptions) {}

  close(): void {
    this.#closed = true;
    this.#soon?.cancel();
    this.#due?.cancel();
  }

  /** Soon. Facts that come together are looked at together. */
  soon(book: JobBook): void {
    this.#waiting.add(book);
    this.#turnSoon();
  }

  /** What has changed may concern every job: there may be room for what had none. */
  allSoon(): void {
    for (const book of this.options.jobs()) {
      book.turns.addUnplaced();
      this.#waiting.add(book);
    }
    this.#turnSoon();
  }

  /** Now. */
  beat(): void {
    for (const book of this.options.jobs()) {
      book.turns.addAll();
      this.#waiting.add(book);
    }
    this.#turn();
  }

  #turnSoon(): void {
    if (this.#inTurn) return; // which sees to it at its end
    const restMs = this.#endedMs + this.#restMs - this.options.clock.monotonicMs();
    this.#soon ??= this.options.clock.after(Math.max(Math.ceil(restMs), 0), () => {
      this.#soon = undefined;
      this.#turn();
    });
  }

  #turn(): void {
    if (this.#closed || !this.options.leads()) return;
    const { clock } = this.options;
    const beginMs = clock.monotonicMs();
    const elseMs = Math.min(beginMs - this.#endedMs, limits.lookTurnMsMax);
    const untilMs = beginMs + Math.max(elseMs, limits.lookTurnMs);
    this.#inTurn = true;
    const [first, others]: [JobBook[], JobBook[]] = [[], []];
    for (const book of this.#waiting) (book.turns.isAsked ? first : others).push(book);
    for (const book of first) {
      if (clock.monotonicMs() < beginMs + limits.lookTurnMsMax) this.#look(book, beginMs + limits.lookTurnMsMax);
    }
    for (const book of others) if (clock.monotonicMs() < untilMs) this.#look(book, untilMs);
    this.#inTurn = false;
    this.#endedMs = clock.monotonicMs();
    this.#restMs = Math.min(Math.ceil(this.#endedMs - beginMs), REST_MS_MAX);
    if (this.#waiting.size > 0) this.#turnSoon();
    this.#setDue();
  }

  #look(book: JobBook, untilMs: number): void {
    this.#waiting.delete(book);
    this.#dueMs.delete(book);
    const dueMs = this.options.lookAt(book, untilMs);
    if (dueMs === 0) this.#waiting.add(book);
    else if (Number.isFinite(dueMs)) this.#dueMs.set(book, dueMs);
  }

  #setDue(): void {
    const { clock } = this.options;
    const firstMs = Math.min(...this.#dueMs.values());
    this.#due?.cancel();
    if (!Number.isFinite(firstMs)) return;
    this.#due = clock.after(Math.max(Math.ceil(firstMs - clock.monotonicMs()), 0), () => {
      const nowMs = clock.monotonicMs();
      for (const [book, dueMs] of this.#dueMs) if (dueMs <= nowMs) this.soon(book);
      if (firstMs > nowMs) this.#setDue(); // timers may be a little early
    });
  }
}
