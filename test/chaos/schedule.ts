/**
 * What is to go wrong, and when: a seed's list of faults. Pure.
 *
 * Invariants:
 *   D1  The same seed and count give the same list.
 *   D2  Every kind comes once before any comes twice, so that each run of `KINDS.length` faults or more has all kinds.
 */
import { SimRandom } from "../sim/sim-random.js";

export const KINDS = [
  /** A host's process is killed. */
  "host-kill",
  /** An instance's process is killed. */
  "instance-kill",
  /** A worker's process is killed; its hosts and instances notice. It is started again. */
  "worker-kill",
  /** A host is stopped until it has long been replaced, then continued. */
  "host-pause",
  /** The same for a worker and all it holds: nobody can end the zombies before they go on. */
  "machine-pause",
  /** The coordinator is killed and started again. */
  "coordinator-kill",
  /** The coordinator is stopped; another one takes over; the first is continued. */
  "coordinator-pause",
  /** nats-server is killed and started again with the same port and JetStream folder. */
  "nats-kill",
  /** MinIO does not answer for a while. */
  "store-pause",
  /** MinIO is killed and started again a while later, with the same port and folder. */
  "store-kill",
] as const;
export type FaultKind = (typeof KINDS)[number];

export interface Fault {
  readonly kind: FaultKind;
  /** Time from the fault before to this one. */
  readonly afterMs: number;
  /** Which of the candidates it hits, as a share of their number. */
  readonly victim: number;
  /** How long what is killed or stopped is away, where that is not fixed, as a share of the longest time. */
  readonly away: number;
}

const GAP_MS = { from: 2_000, to: 9_000 };

export function drawSchedule(seed: number, faults: number): readonly Fault[] {
  const random = new SimRandom(`chaos/${seed}`);
  const deck: FaultKind[] = [];
  return Array.from({ length: faults }, () => {
    if (deck.length === 0) deck.push(...KINDS);
    const [kind] = deck.splice(random.below(deck.length), 1);
    const afterMs = Math.round(random.between(GAP_MS.from, GAP_MS.to));
    return { kind: kind!, afterMs, victim: random.next(), away: random.next() };
  });
}
