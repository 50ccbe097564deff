/** What arrives in one run of `balance.ts`, by its seed: when, for which client, and how much work it is. */

export interface Arrival {
  readonly atMs: number;
  readonly client: number;
  /** On an instance of usual speed. */
  readonly workMs: number;
}

export interface Load {
  readonly arrivals: readonly Arrival[];
  /** Of each instance: work takes so many times as long. */
  readonly slowness: readonly number[];
  readonly clients: number;
}

/** How the work of requests differs. */
export type Work = "equal" | "varied" | "exponential";

export interface LoadSettings {
  readonly seed: number;
  readonly requests: number;
  readonly clients: number;
  readonly slowness: readonly number[];
  /** Mean work of a request. */
  readonly workMs: number;
  readonly work: Work;
  /** Part of what all instances can do together. */
  readonly utilisation: number;
}

/** Poisson arrivals. */
export function loadOf({ seed, requests, clients, slowness, workMs, work, utilisation }: LoadSettings): Load {
  const random = randomOf(seed);
  const exponential = () => -Math.log(1 - random());
  const perMs = (utilisation * slowness.reduce((sum, slow) => sum + 1 / slow, 0)) / workMs;
  let atMs = 0;
  const arrivals = Array.from({ length: requests }, () => {
    atMs += exponential() / perMs;
    const parts = { equal: () => 1, varied: () => 0.5 + random(), exponential };
    return { atMs, client: Math.floor(random() * clients), workMs: workMs * parts[work]() };
  });
  return { arrivals, slowness, clients };
}

/** mulberry32. @returns a function that gives numbers in [0, 1), the same for the same seed */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
