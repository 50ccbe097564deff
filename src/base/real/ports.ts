/** The real clock, randomness and a log that is silent until the command line gives a better one. */
import { randomInt } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock, Log, Ports, Random, Timer } from "../ports.js";
import { noTelemetry, type Telemetry } from "../telemetry.js";

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, fn) {
    const handle = setTimeout(fn, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        timer.cancel();
        reject(signal?.reason);
      };
      const onEnd = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const timer = delayMs > 0 ? realClock.after(delayMs, onEnd) : nextTurn(onEnd);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};

/** A timer would wait for a millisecond. */
function nextTurn(fn: () => void): Timer {
  const handle = setImmediate(fn);
  return { cancel: () => clearImmediate(handle) };
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";

export const realRandom: Random = {
  next: () => Math.random(),
  id: (length) => Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join(""),
};

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLog,
};

export function realPorts(log: Log = silentLog, telemetry: Telemetry = noTelemetry): Ports {
  return { clock: realClock, random: realRandom, log, telemetry };
}
