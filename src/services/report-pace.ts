/**
 * When an instance tells all clients of its load between two heartbeats: at every change, as long as nobody is kept busy by
 * listening. Pure.
 *
 * Invariants:
 *   P1  Whoever listens to all instances of a service hears `limits.loadReportsPerSecond` of them at most, in the long run; a few changes
 *       that come at once are told at once.
 *   P2  What may not be told yet is told as soon as it may.
 *   P3  Nothing is told where nobody would choose otherwise: to a single client, which its answers tell, or of a single instance.
 */
import { limits } from "../base/limits.js";

export class ReportPace {
  /** Reports that may be sent at once. */
  #saved = limits.loadReportsAtOnce as number;
  #savedMs = 0;

  /** @returns time to wait before the change is told; undefined: it need not be told */
  delayMs(nowMs: number, instances: number, clients: number): number | undefined {
    if (instances < 2 || clients < 2) return undefined;
    const everyMs = (instances * 1_000) / limits.loadReportsPerSecond;
    this.#saved = Math.min(this.#saved + (nowMs - this.#savedMs) / everyMs, limits.loadReportsAtOnce);
    this.#savedMs = nowMs;
    return this.#saved >= 1 ? 0 : (1 - this.#saved) * everyMs;
  }

  told(): void {
    this.#saved = Math.max(0, this.#saved - 1);
  }
}
