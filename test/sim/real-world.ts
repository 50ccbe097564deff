/**
 * Keeps the real world out of a simulation: while a guard is held, real timers, clocks and random numbers throw where
 * they are called, and rejected promises that nobody looks after are reported to the simulation instead of ending the
 * process. One simulation runs at a time in a process.
 *
 * Not kept out, because nothing of it reaches a decision: garbage collection (`AbortSignal.any` uses weak references) and
 * hashes of `node:crypto`.
 */

export interface RealWorldGuard {
  /** Resolves when all microtasks have run. */
  settle(): Promise<void>;
  /** Names of real input and output that is under way and was not when the guard was made; empty: none. */
  openIo(): string;
  release(): void;
}

const real = {
  setTimeout: globalThis.setTimeout,
  setInterval: globalThis.setInterval,
  setImmediate: globalThis.setImmediate,
  dateNow: Date.now,
  performanceNow: performance.now,
  mathRandom: Math.random,
};

/** What a step of the simulation itself, a terminal and a test runner keep open. */
const HARMLESS = new Set(["Immediate", "Timeout", "TTYWrap", "PipeWrap", "TickObject", "ConsoleWrap"]);

export function guardRealWorld(onUnhandled: (error: unknown) => void): RealWorldGuard {
  const listeners = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", onUnhandled);
  const forbidden = (name: string) => () => {
    throw new Error(`${name} was called inside a simulation: take the port (src/base/ports.ts)`);
  };
  globalThis.setTimeout = forbidden("setTimeout") as unknown as typeof setTimeout;
  globalThis.setInterval = forbidden("setInterval") as unknown as typeof setInterval;
  globalThis.setImmediate = forbidden("setImmediate") as unknown as typeof setImmediate;
  Date.now = forbidden("Date.now");
  performance.now = forbidden("performance.now");
  Math.random = forbidden("Math.random");
  const before = new Set(process.getActiveResourcesInfo());
  return {
    settle: () => new Promise((resolve) => real.setImmediate(resolve)),
    openIo: () =>
      process
        .getActiveResourcesInfo()
        .filter((name) => !before.has(name) && !HARMLESS.has(name))
        .join(", "),
    release() {
      globalThis.setTimeout = real.setTimeout;
      globalThis.setInterval = real.setInterval;
      globalThis.setImmediate = real.setImmediate;
      Date.now = real.dateNow;
      performance.now = real.performanceNow;
      Math.random = real.mathRandom;
      process.removeAllListeners("unhandledRejection");
      for (const listener of listeners) process.on("unhandledRejection", listener);
    },
  };
}
