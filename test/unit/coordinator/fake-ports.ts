/**
 * Ports whose time stands still until a test moves it: no test that uses them sleeps. Randomness counts up.
 * Not faked: the event loop. Promises and immediates run as always, which is what `settle` waits for.
 */
import type { Clock, Log, LogFields, Ports, Timer } from "../../../src/base/ports.js";

interface FakeTimer {
  readonly dueMs: number;
  readonly fn: () => void;
}

/** Immediates that may stand between a message and what comes of it. */
const TURNS = 8;

export class FakeClock implements Clock {
  #ms = 0;
  #timers = new Set<FakeTimer>();

  nowMs(): number {
    return 1_700_000_000_000 + this.#ms;
  }
  monotonicMs(): number {
    return this.#ms;
  }
  after(delayMs: number, fn: () => void): Timer {
    const timer = { dueMs: this.#ms + delayMs, fn };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = this.after(delayMs, () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Timers that are set. */
  get waiting(): number {
    return this.#timers.size;
  }

  /** Lets everything run that can run now; time does not move. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < TURNS; quiet++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#fireDue()) quiet = 0;
    }
  }

  /** Moves time on, and lets everything run that comes of it, in the order in which it is due. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    await this.settle();
    for (;;) {
      const next = Math.min(endMs, ...[...this.#timers].map((timer) => timer.dueMs));
      this.#ms = next;
      await this.settle();
      if (next >= endMs) return;
    }
  }

  /** Moves time on with nothing running in between: the process stood still. */
  async freeze(ms: number): Promise<void> {
    this.#ms += ms;
    await this.settle();
  }

  #fireDue(): boolean {
    const due = [...this.#timers].filter((timer) => timer.dueMs <= this.#ms).sort((a, b) => a.dueMs - b.dueMs);
    for (const timer of due) {
      if (this.#timers.delete(timer)) timer.fn();
    }
    return due.length > 0;
  }
}

export interface FakePorts extends Ports {
  readonly clock: FakeClock;
  readonly lines: { readonly level: string; readonly message: string; readonly fields: LogFields | undefined }[];
}

export function fakePorts(): FakePorts {
  const lines: FakePorts["lines"] = [];
  const level = (name: string) => (message: string, fields?: LogFields) => {
    lines.push({ level: name, message, fields });
  };
  const log: Log = {
    debug: level("debug"),
    info: level("info"),
    warn: level("warn"),
    error: level("error"),
    child: () => log,
  };
  let count = 0;
  const random = { next: () => 0, id: (length: number) => `${count++}`.padStart(length, "0") };
  return { clock: new FakeClock(), random, log, lines };
}
