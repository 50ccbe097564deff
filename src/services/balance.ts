/**
 * Which instance gets the next request. Pure: a table of what is known in, a choice out.
 *
 * Expected wait of an instance = rows that stand before a new request x time per row. The rows are the larger of what
 * the instance last reported and what this client has outstanding there: a report is late, and other clients exist.
 *
 * Invariants:
 *   L1  Only a READY instance is chosen.
 *   L2  None is chosen while every READY instance has `outstandingRowsMax` of this client's rows: they wait here,
 *       where a new instance can still take them.
 *   L3  Equal waits go to the instance that has waited longest for work.
 */
import type { InstanceId } from "../base/ids.js";
import type { LifeCycle } from "../wire/frames.js";

export interface InstanceView {
  readonly instance: InstanceId;
  readonly state: LifeCycle;
  /** Rows queued and running there, as last reported. */
  readonly reportedRows: number;
  /** Smoothed service time per row in ms; 0: none yet. */
  readonly rowMs: number;
  /** Rows this client has sent there and not had an answer for. */
  readonly outstandingRows: number;
  /** Number of the last request this client sent there; 0: none. */
  readonly lastSent: number;
}

export function chooseInstance(
  instances: Iterable<InstanceView>,
  outstandingRowsMax: number,
): InstanceView | undefined {
  let best: InstanceView | undefined;
  let bestWait = 0;
  for (const instance of instances) {
    if (instance.state !== "READY" || instance.outstandingRows >= outstandingRowsMax) continue;
    const wait = expectedWaitMs(instance);
    if (best === undefined || wait < bestWait || (wait === bestWait && instance.lastSent < best.lastSent)) {
      best = instance;
      bestWait = wait;
    }
  }
  return best;
}

/** An instance that has served nothing yet counts 1 ms a row: its depth then still orders it. */
export function expectedWaitMs(instance: InstanceView): number {
  const rows = Math.max(instance.reportedRows, instance.outstandingRows);
  return rows * (instance.rowMs > 0 ? instance.rowMs : 1);
}
