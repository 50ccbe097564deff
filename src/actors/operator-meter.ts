/**
 * How the time of an operator, and of its actor, is spent, and how many rows pass it.
 *
 * A batch that passes changes a few numbers, and the clock is read where a state changes: nothing is done for a row, and nothing
 * is made where nobody waits.
 *
 * An operator is
 *   - busy while any of its batches is worked on by itself, or, where none is handed on, waits for room that only its own work gives
 *     (a full window of `infer`, the turn of another batch);
 *   - back-pressured while it is not busy and waits until what it hands on is taken: by a channel, a log, or the operator behind it in
 *     its chain;
 *   - idle otherwise: it waits for input.
 * An actor is busy while one of its operators is, else back-pressured while one is.
 *
 * Invariants:
 *   Y1  At every moment an operator, and an actor, is in one of the three; their times add up to the time since it was made.
 *   Y2  What was begun is ended, however it ends: by a result, an error, or later.
 */
import type { RecordBatch } from "apache-arrow";
import type { Clock } from "../base/ports.js";
import type { Gate } from "./gate.js";
import type { Emit } from "./operator.js";

export type Spent = "idle" | "busy" | "backPressured";

/** What a batch that is parked in an operator waits for. */
export type WaitsFor = "own" | "next";

/** Time in each state, for reports. */
class Times {
  #ms = { idle: 0, busy: 0, backPressured: 0 };
  #state: Spent = "idle";
  #sinceMs: number;

  constructor(private readonly clock: Clock) {
    this.#sinceMs = clock.monotonicMs();
  }

  enter(state: Spent, nowMs: number): void {
    this.#ms[this.#state] += nowMs - this.#sinceMs;
    this.#state = state;
    this.#sinceMs = nowMs;
  }

  get ms(): Readonly<Record<Spent, number>> {
    this.enter(this.#state, this.clock.monotonicMs());
    return this.#ms;
  }
}

export class ActorMeter {
  /** Operators in each state. */
  #operators = { idle: 0, busy: 0, backPressured: 0 };
  #state: Spent = "idle";
  #times: Times;

  constructor(private readonly clock: Clock) {
    this.#times = new Times(clock);
  }

  operator(): OperatorMeter {
    this.#operators.idle += 1;
    return new OperatorMeter(this.clock, (before, state, nowMs) => this.#changed(before, state, nowMs));
  }

  get ms(): Readonly<Record<Spent, number>> {
    return this.#times.ms;
  }

  #changed(before: Spent, state: Spent, nowMs: number): void {
    this.#operators[before] -= 1;
    this.#operators[state] += 1;
    const own = this.#operators.busy > 0 ? "busy" : this.#operators.backPressured > 0 ? "backPressured" : "idle";
    if (own === this.#state) return;
    this.#state = own;
    this.#times.enter(own, nowMs);
  }
}

export class OperatorMeter {
  rowsIn = 0;
  rowsOut = 0;
  /** Pieces of work that were begun and have not ended, those that wait included. */
  #begun = 0;
  /** Of them: they wait until what they handed on is taken, or for room of their own. */
  #waiting = { own: 0, next: 0 };
  #state: Spent = "idle";
  #times: Times;

  constructor(
    private readonly clock: Clock,
    private readonly changed: (before: Spent, state: Spent, nowMs: number) => void,
  ) {
    this.#times = new Times(clock);
  }

  get ms(): Readonly<Record<Spent, number>> {
    return this.#times.ms;
  }

  /** The way of a batch into the operator. */
  into(process: Emit): Emit {
    const over = () => this.end();
    return (batch) => {
      this.rowsIn += batch.numRows;
      this.begin();
      return follow(process, batch, over);
    };
  }

  /** The way of a batch out of it. */
  outOf(emit: Emit): Emit {
    const over = () => this.#wait("next", -1);
    return (batch) => {
      this.rowsOut += batch.numRows;
      this.#wait("next", 1);
      return follow(emit, batch, over);
    };
  }

  /** Its gate: what flows of its own do inside is work. */
  gate(gate: Pick<Gate, "flow">): Pick<Gate, "flow"> {
    return { flow: (work) => gate.flow(() => this.#work(work)) };
  }

  begin(): void {
    this.#begun += 1;
    this.#look();
  }

  end(): void {
    this.#begun -= 1;
    this.#look();
  }

  /** For a piece of work that was begun and stops until `waited` ends. */
  async parked(waitsFor: WaitsFor, waited: () => Promise<void>): Promise<void> {
    this.#wait(waitsFor, 1);
    try {
      await waited();
    } finally {
      this.#wait(waitsFor, -1);
    }
  }

  async #work<T>(work: () => T | Promise<T>): Promise<T> {
    this.begin();
    try {
      return await work();
    } finally {
      this.end();
    }
  }

  #wait(what: WaitsFor, change: number): void {
    this.#waiting[what] += change;
    this.#look();
  }

  #look(): void {
    const { own, next } = this.#waiting;
    const state = this.#begun > own + next ? "busy" : next > 0 ? "backPressured" : own > 0 ? "busy" : "idle";
    if (state === this.#state) return;
    const nowMs = this.clock.monotonicMs();
    this.#times.enter(state, nowMs);
    this.changed(this.#state, state, nowMs);
    this.#state = state;
  }
}

/** Y2 */
function follow(way: Emit, batch: RecordBatch, over: () => void): void | Promise<void> {
  let taken: void | Promise<void>;
  try {
    taken = way(batch);
  } catch (error) {
    over();
    throw error;
  }
  if (taken !== undefined) return whenOver(taken, over);
  over();
}

async function whenOver(taken: Promise<void>, over: () => void): Promise<void> {
  try {
    await taken;
  } finally {
    over();
  }
}
