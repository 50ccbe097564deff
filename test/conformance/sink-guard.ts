/** Stands between a writer and the world: counts what passes, and dies or stands still at one step of it. */
import { gate } from "../unit/actors/support.js";

/**
 * before: the step is not taken. half: it is taken in part, where it has parts. after: it is taken, and nobody learns of it.
 * pause: the process stands still before it, until `resume`.
 */
export type FaultKind = "before" | "half" | "after" | "pause";

export interface Fault {
  /** 1-based. */
  readonly at: number;
  readonly kind: FaultKind;
}

/** The process is dead: nothing that it does from now on happens. */
export class Died extends Error {}

export class Guard {
  #steps = 0;
  #dead = false;
  #underWay = new Set<Promise<unknown>>();
  #paused = gate();
  #resumed = gate();
  last = "no step";
  pausedAt = "no step";

  constructor(private readonly fault?: Fault) {}

  get steps(): number {
    return this.#steps;
  }
  /** Resolves when the faulty step has been reached. */
  get paused(): Promise<void> {
    return this.#paused.promise;
  }
  resume(): void {
    this.#resumed.open();
  }

  /** @param half the first part of `act`, for a step that is not atomic */
  pass(what: string): Promise<void>;
  pass<T>(what: string, act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T>;
  pass<T>(what: string, act?: () => Promise<T>, half?: () => Promise<unknown>): Promise<T | undefined> {
    if (this.#dead) return Promise.reject(new Died());
    this.#steps += 1;
    this.last = `step ${this.#steps} (${what})`;
    const faulty = this.#steps === this.fault?.at ? this.fault.kind : "none";
    return this.follow(this.#take(faulty, act ?? (async () => undefined), half));
  }

  /** Until it has settled, something is under way. */
  follow<T>(passing: Promise<T>): Promise<T> {
    const known: Promise<unknown> = passing.then(
      () => this.#underWay.delete(known),
      () => this.#underWay.delete(known),
    );
    this.#underWay.add(known);
    return passing;
  }

  /** Resolves when nothing is under way any more: what a dead process sent may still arrive. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #take<T>(faulty: FaultKind | "none", act: () => Promise<T>, half?: () => Promise<unknown>): Promise<T> {
    if (faulty === "none") return this.#unlessDead(act());
    if (faulty === "pause") {
      this.pausedAt = this.last;
      this.#paused.open();
      await this.#resumed.promise;
      return act();
    }
    this.#dead = true;
    if (faulty === "half") await half?.();
    if (faulty === "after") await act();
    throw new Died();
  }

  async #unlessDead<T>(acting: Promise<T>): Promise<T> {
    const result = await acting;
    if (this.#dead) throw new Died();
    return result;
  }
}
