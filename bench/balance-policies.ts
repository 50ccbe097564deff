/**
 * The balancers that ours is compared with, as simulations: each arrival goes to an instance at once and waits there, first come
 * first served. All see every arrival, as one client would that is alone.
 */
import { type Arrival, type Load, randomOf } from "./balance-load.js";

/** What a balancer may look at. */
interface Line {
  readonly slowness: number;
  /** All work that it has will be done at that time. */
  freeMs: number;
  /** When each of the requests that it has will be done, in order. */
  readonly endsMs: number[];
}

type Choice = (lines: readonly Line[], arrival: Arrival) => Line;

/** @returns how long each request took from its arrival to its end, in ms */
export type Policy = (load: Load, seed: number) => number[];

const policy =
  (choiceOf: (random: () => number) => Choice): Policy =>
  ({ arrivals, slowness }, seed) => {
    const choose = choiceOf(randomOf(seed));
    const lines: Line[] = slowness.map((slow) => ({ slowness: slow, freeMs: 0, endsMs: [] }));
    return arrivals.map((arrival) => {
      for (const { endsMs } of lines) while (endsMs.length > 0 && endsMs[0]! <= arrival.atMs) endsMs.shift();
      const line = choose(lines, arrival);
      line.freeMs = endOn(line, arrival);
      line.endsMs.push(line.freeMs);
      return line.freeMs - arrival.atMs;
    });
  };

export const roundRobin = policy(() => {
  let next = 0;
  return (lines) => lines[next++ % lines.length]!;
});

export const random = policy((draw) => (lines) => lines[Math.floor(draw() * lines.length)]!);

/** The one of two drawn at random that has fewer requests at this moment. */
export const twoChoices = policy((draw) => (lines) => {
  const first = Math.floor(draw() * lines.length);
  const second = (first + 1 + Math.floor(draw() * (lines.length - 1))) % lines.length;
  const [a, b] = [lines[first]!, lines[second]!];
  return b.endsMs.length < a.endsMs.length ? b : a;
});

/** Each goes where it will be done first: all that is under way and how long this one will take is known. */
export const oracle = policy(() => (lines, arrival) => {
  let best = lines[0]!;
  for (const line of lines) if (endOn(line, arrival) < endOn(best, arrival)) best = line;
  return best;
});

function endOn({ freeMs, slowness }: Line, { atMs, workMs }: Arrival): number {
  return Math.max(freeMs, atMs) + workMs * slowness;
}
