/**
 * Which instance gets the next request. Pure: a table of what is known in, a choice out.
 *
 * Expected wait of a request = rows that stand before it there, and its own, x time per row. The rows before it are the larger of
 * what the instance last reported, with what this client has sent since, and what it has outstanding there: a report is late, and
 * other clients exist. What the running call has taken already is not waited for.
 *
 * Invariants:
 *   L1  Only a READY instance with room for this client is chosen.
 *   L2  None is chosen while every READY instance has as many of this client's rows as it may: they wait here, where a new instance can
 *       still take them.
 *   L3  Equal waits go to the instance that has waited longest for work.
 *   L4  Up to `limits.balanceAllMax` instances the best of all is chosen. Of more, the better of two drawn at random: many clients that
 *       all know the same would all choose the same one.
 *   L5  One that a request has an affinity to is chosen unless another is better by more than `limits.affinityWaitMs`. Which one
 *       that is depends on the key and on who is READY alone, and changes for few keys when an instance comes or goes.
 */
import { createHash } from "node:crypto";
import type { InstanceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { LifeCycle } from "../wire/frames.js";

export interface InstanceView {
  readonly instance: InstanceId;
  readonly state: LifeCycle;
  /** Rows queued and running there: as last reported, unless that is too old to count, and what this client has sent since. */
  readonly reportedRows: number;
  /** Work on them that is done already, as far as that can be known from here. */
  readonly doneMs: number;
  /** Smoothed service time per row in ms; 0: none yet. */
  readonly rowMs: number;
  /** Rows this client has sent there and not had an answer for. */
  readonly outstandingRows: number;
  /** Number of the last request this client sent there; 0: none. */
  readonly lastSent: number;
  /** Rows this client may have outstanding there; one request more passes while there are fewer. */
  readonly outstandingRowsMax: number;
}

export interface Wish {
  readonly rows: number;
  /** Empty: none. */
  readonly affinity: string;
}

/** @param random uniform in [0, 1) */
export function chooseInstance(
  instances: readonly InstanceView[],
  wish: Wish,
  random: () => number,
): InstanceView | undefined {
  const able = instances.filter(
    ({ state, outstandingRows, outstandingRowsMax }) => state === "READY" && outstandingRows < outstandingRowsMax,
  );
  const best = bestOf(able.length > limits.balanceAllMax ? twoOf(able, random) : able, wish);
  if (best === undefined || wish.affinity === "") return best;
  const preferred = preferredBy(wish.affinity, instances);
  if (preferred === undefined || !able.includes(preferred)) return best;
  const longer = expectedWaitMs(preferred, wish.rows) - expectedWaitMs(best, wish.rows);
  return longer <= limits.affinityWaitMs ? preferred : best;
}

/** An instance that has served nothing yet counts 1 ms a row: its depth then still orders it. */
export function expectedWaitMs(instance: InstanceView, rows: number): number {
  const before = Math.max(instance.reportedRows, instance.outstandingRows);
  return (before + rows) * (instance.rowMs > 0 ? instance.rowMs : 1) - instance.doneMs;
}

function bestOf(instances: readonly InstanceView[], { rows }: Wish): InstanceView | undefined {
  let best: InstanceView | undefined;
  let bestWait = 0;
  for (const instance of instances) {
    const wait = expectedWaitMs(instance, rows);
    if (best === undefined || wait < bestWait || (wait === bestWait && instance.lastSent < best.lastSent)) {
      best = instance;
      bestWait = wait;
    }
  }
  return best;
}

function twoOf(instances: readonly InstanceView[], random: () => number): InstanceView[] {
  const first = Math.floor(random() * instances.length);
  const step = 1 + Math.floor(random() * (instances.length - 1));
  return [instances[first]!, instances[(first + step) % instances.length]!];
}

/** L5: the highest hash of key and instance. */
function preferredBy(affinity: string, instances: readonly InstanceView[]): InstanceView | undefined {
  let preferred: InstanceView | undefined;
  let highest = "";
  for (const instance of instances) {
    if (instance.state !== "READY") continue;
    const hash = createHash("sha256").update(`${instance.instance} ${affinity}`).digest("hex");
    if (hash <= highest) continue;
    preferred = instance;
    highest = hash;
  }
  return preferred;
}

/**
 * Rows that a client may have outstanding at an instance: what runs and as much again, so that there is always something to go on
 * with; more where calls are shorter than the way there and back.
 */
export function outstandingMax(rowsMax: number, concurrency: number, rowMs: number): number {
  const two = 2 * rowsMax * concurrency;
  if (rowMs === 0) return two;
  const hidden = Math.ceil(limits.outstandingMs / rowMs);
  return Math.max(two, Math.min(hidden, limits.outstandingCallsMax * rowsMax));
}
