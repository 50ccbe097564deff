/**
 * Two of the totals that somebody reports, with some seconds between them: rates and shares of time are what changed from one to the other.
 * Totals are kept as they came; nothing is computed before somebody asks.
 *
 * Invariants:
 *   R1  The two are between one and two times `limits.rateWindowMs` apart (and one report), once there are reports for so long.
 *   R2  Of what has been told once, or not at all, no rate is known.
 */
import { limits } from "../base/limits.js";

interface At<T> {
  readonly atMs: number;
  readonly totals: T;
}

export interface Change<T> {
  readonly from: T;
  readonly to: T;
  /** Above 0. */
  readonly ms: number;
}

export class RateWindow<T> {
  #from: At<T> | undefined;
  #mark: At<T> | undefined;
  #newest: At<T> | undefined;

  /** @param atMs by any clock that does not step back */
  add(totals: T, atMs: number): void {
    const told = { atMs, totals };
    this.#newest = told;
    this.#from ??= told;
    this.#mark ??= told;
    if (atMs - this.#mark.atMs < limits.rateWindowMs) return;
    this.#from = this.#mark;
    this.#mark = told;
  }

  get newest(): T | undefined {
    return this.#newest?.totals;
  }

  /** R2 */
  get change(): Change<T> | undefined {
    const ms = (this.#newest?.atMs ?? 0) - (this.#from?.atMs ?? 0);
    return ms <= 0 ? undefined : { from: this.#from!.totals, to: this.#newest!.totals, ms };
  }
}
