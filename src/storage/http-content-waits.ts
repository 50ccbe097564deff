/** What a request waits for: its turn at a host, and time that runs out. */
import type { MillraceError } from "../base/errors.js";
import type { Clock } from "../base/ports.js";
import { unlessAborted } from "./object-calls.js";

/** So many answers of one host under way at a time. Who comes first is served first. */
export class HostLanes {
  #hosts = new Map<string, { taken: number; readonly waiting: (() => void)[] }>();

  constructor(private readonly lanes: number) {}

  /** @returns gives the lane back; a second call does nothing */
  async enter(host: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const at = this.#hosts.get(host) ?? { taken: 0, waiting: [] };
    this.#hosts.set(host, at);
    if (at.taken < this.lanes) at.taken++;
    else await this.#turn(at.waiting, signal);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const next = at.waiting.shift();
      if (next !== undefined) return next(); // the lane is handed on
      if (--at.taken === 0) this.#hosts.delete(host);
    };
  }

  #turn(waiting: (() => void)[], signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const take = () => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      const abort = () => {
        waiting.splice(waiting.indexOf(take), 1);
        reject(signal.reason);
      };
      waiting.push(take);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}

/** Time that counts only while it is waited in. When it is over, `signal` is aborted with `late()`. */
export class TimeLeft {
  #late = new AbortController();
  readonly signal: AbortSignal;

  constructor(
    private readonly clock: Clock,
    private leftMs: number,
    outer: AbortSignal | undefined,
    private readonly late: () => MillraceError,
  ) {
    this.signal = outer === undefined ? this.#late.signal : AbortSignal.any([outer, this.#late.signal]);
  }

  get ms(): number {
    return this.leftMs;
  }

  async within<T>(act: () => Promise<T>): Promise<T> {
    const fromMs = this.clock.monotonicMs();
    const timer = this.clock.after(Math.max(0, this.leftMs), () => this.#late.abort(this.late()));
    try {
      return await unlessAborted(act(), this.signal);
    } finally {
      timer.cancel();
      this.leftMs -= this.clock.monotonicMs() - fromMs;
    }
  }
}
