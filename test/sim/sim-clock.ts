/**
 * Virtual time: a queue of events, each belonging to a simulated process or to the world between them.
 *
 * Invariants:
 *   V1  Only the queue moves time, and only one event runs at a time. Before the next one, microtasks run to exhaustion,
 *       so whatever an event sets off in memory is over before time goes on.
 *   V2  Nothing of a dead process runs; nothing of a paused one runs before it is resumed, and then all that was due
 *       does, in its order.
 *   V3  While a simulation runs, a real timer, a real clock or a random number is an error at the place of the call, and
 *       real input or output is found after the step that began it (`real-world.ts`).
 *   V4  The order of events at one moment is drawn from the seed.
 */
import type { Clock, Timer } from "../../src/base/ports.js";
import { EventQueue, type QueuedEvent } from "./event-queue.js";
import { guardRealWorld, type RealWorldGuard } from "./real-world.js";
import type { SimProcess } from "./sim-process.js";
import type { SimRandom } from "./sim-random.js";
import type { Trace } from "./trace.js";

export interface SimEvent extends QueuedEvent {
  atMs: number;
  tie: number;
  /** Whose code runs; undefined: the world's (network, store, the fault plan). */
  readonly process: SimProcess | undefined;
  readonly label: string;
  readonly run: () => void;
  cancelled: boolean;
}

/** Something that no real run may do, found while running: a checker's finding, not a bug of the simulator. */
export interface Finding {
  readonly checker: string;
  readonly expected: string;
  readonly seen: string;
}

/** Events that may run without time going on: above it the system is chasing its own tail. */
const EVENTS_AT_ONCE_MAX = 100_000;
/** Virtual time starts here: 2026-01-01. */
const EPOCH_MS = 1_767_225_600_000;

export class SimWorld {
  readonly findings: Finding[] = [];
  /** The process whose code ran last: whose fault an unhandled rejection is. */
  current: SimProcess | undefined;
  /** What one turn of an event loop takes at most: `sleep(0)` lets everything go on that else waits. */
  turnMsMax = 0;
  #queue = new EventQueue<SimEvent>();
  #nowMs = 0;
  #sequence = 0;
  #steps = 0;
  #stepsAtOnce = 0;
  #ties: SimRandom;
  #turns: SimRandom;

  constructor(
    readonly random: SimRandom,
    readonly trace: Trace,
    private readonly makeGuard: typeof guardRealWorld = guardRealWorld,
  ) {
    this.#ties = random.fork("ties");
    this.#turns = random.fork("turns");
  }

  get nowMs(): number {
    return this.#nowMs;
  }
  get steps(): number {
    return this.#steps;
  }

  /** Of the turn that comes next. */
  turnMs(): number {
    return this.turnMsMax * this.#turns.next();
  }

  schedule(process: SimProcess | undefined, delayMs: number, label: string, run: () => void): Timer {
    return this.scheduleAt(process, this.#nowMs + Math.max(delayMs, 0), label, run);
  }

  scheduleAt(process: SimProcess | undefined, atMs: number, label: string, run: () => void): Timer {
    const event: SimEvent = {
      atMs: Math.max(atMs, this.#nowMs),
      tie: this.#ties.next(),
      sequence: this.#sequence++,
      process,
      label,
      run,
      cancelled: false,
    };
    this.#queue.push(event);
    return {
      cancel() {
        event.cancelled = true;
      },
    };
  }

  /** Puts events that were kept back while their process was paused to now, in the order in which they were due. */
  release(events: readonly SimEvent[]): void {
    for (const [i, event] of events.entries()) {
      event.atMs = this.#nowMs;
      event.tie = i - events.length; // before whatever else is due now
      this.#queue.push(event);
    }
  }

  found(checker: string, expected: string, seen: string): void {
    this.findings.push({ checker, expected, seen });
    this.trace.add(this.#nowMs, "checker", `${checker}: expected ${expected}; seen ${seen}`);
  }

  /** Runs until `isOver`, a finding, or the bound. @returns whether `isOver` came true */
  async runUntil(isOver: () => boolean, untilMs: number): Promise<boolean> {
    const guard = this.makeGuard((error) => this.#onUnhandled(error));
    try {
      await guard.settle(); // what was set off before the run, too
      while (this.findings.length === 0) {
        if (isOver()) return true;
        const next = this.#queue.peek();
        if (next === undefined || next.atMs > untilMs) {
          this.#nowMs = Math.max(this.#nowMs, untilMs);
          return false;
        }
        await this.#step(guard);
      }
      return isOver();
    } finally {
      guard.release();
    }
  }

  async #step(guard: RealWorldGuard): Promise<void> {
    const event = this.#queue.pop();
    if (event === undefined || event.cancelled) return;
    this.#tick(event);
    const { process } = event;
    if (process?.state === "dead") return;
    if (process?.state === "paused") {
      process.keepBack(event);
      return;
    }
    this.trace.add(this.#nowMs, process?.name ?? "-", event.label);
    this.current = process;
    try {
      event.run();
    } catch (error) {
      this.found("uncaught", "no exception that nobody catches", `${process?.name}: ${describe(error)}`);
    }
    this.#lookForIo(guard); // it may be over by the time that microtasks have run
    await guard.settle();
    this.#steps += 1;
    this.#lookForIo(guard);
  }

  #tick(event: SimEvent): void {
    if (event.atMs > this.#nowMs) {
      this.#nowMs = event.atMs;
      this.#stepsAtOnce = 0;
      return;
    }
    this.#stepsAtOnce += 1;
    if (this.#stepsAtOnce === EVENTS_AT_ONCE_MAX) {
      this.found("livelock", `time to go on within ${EVENTS_AT_ONCE_MAX} events`, `the last one: ${event.label}`);
    }
  }

  #lookForIo(guard: RealWorldGuard): void {
    const seen = guard.openIo();
    if (seen !== "") this.found("real-io", "no input or output outside the simulation", seen);
  }

  #onUnhandled(error: unknown): void {
    this.found("unhandled-rejection", "every promise to be looked after", `${this.current?.name}: ${describe(error)}`);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** The clock of one process: its timers are its events, and its wall clock may be wrong. */
export function simClock(world: SimWorld, process: SimProcess): Clock {
  return {
    nowMs: () => Math.floor(EPOCH_MS + world.nowMs + process.skewMs),
    monotonicMs: () => world.nowMs,
    after: (delayMs, fn) => world.schedule(process, delayMs, `timer ${delayMs}`, fn),
    sleep: (delayMs, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        const onAbort = () => {
          timer.cancel();
          reject(signal?.reason);
        };
        const timer = world.schedule(process, delayMs > 0 ? delayMs : world.turnMs(), `sleep ${delayMs}`, () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        });
        signal?.addEventListener("abort", onAbort, { once: true });
      }),
  };
}
