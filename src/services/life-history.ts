/**
 * The states that one instance has been in, as far as whoever keeps this has heard.
 *
 * Invariants:
 *   H1  A life goes one way, so each state is there once at most and in the order of life, in whatever order it is heard of.
 *   H2  The first time that is heard counts. The reason is the newest that says something, until a later state is there: that
 *       an instance waits, and why, is known long before it goes on.
 *   H3  Nothing comes after STOPPED or FAILED, and the first of them counts: an instance that was given up and drains has failed.
 */
import type { Transition } from "../wire/control.js";
import type { LifeCycle } from "../wire/frames.js";

const ORDER: readonly LifeCycle[] = ["REQUESTED", "PROVISIONING", "LOADING", "WARMING", "READY", "DRAINING", "STOPPED"];

export class LifeHistory {
  #transitions = new Map<number, Transition>();

  get transitions(): readonly Transition[] {
    return [...this.#transitions].sort(([a], [b]) => a - b).map(([, transition]) => transition);
  }

  note(state: LifeCycle | string, enteredMs: number | bigint, reason = "", code = ""): void {
    const at = placeOf(state);
    const known = this.#transitions.get(at);
    if (known === undefined) {
      if (at < LAST ? !this.#ended("FAILED") || at < DRAINING : !this.#transitions.has(LAST)) {
        this.#transitions.set(at, { state, enteredMs: BigInt(Math.round(Number(enteredMs))), code, reason });
      }
    } else if (reason !== "" && known.state === state && at < LAST && at === Math.max(...this.#transitions.keys())) {
      this.#transitions.set(at, { ...known, reason });
    }
  }

  #ended(state: LifeCycle): boolean {
    return this.#transitions.get(LAST)?.state === state;
  }
}

const LAST = ORDER.indexOf("STOPPED");
const DRAINING = ORDER.indexOf("DRAINING");

/** FAILED can follow any. */
function placeOf(state: string): number {
  const at = ORDER.indexOf(state as LifeCycle);
  return at < 0 ? LAST : at;
}
