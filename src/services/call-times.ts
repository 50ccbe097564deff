/**
 * How long calls took lately, and how many rows they had: a histogram of fixed buckets, each a tenth wider than the one before, in a few
 * slots of time that are used in turn. A call changes three numbers; a report reads a few hundred. Pure.
 *
 * Invariants:
 *   Q1  A quantile is at most a tenth above the time that it stands for, and never below it.
 *   Q2  What is older than the window is not counted; what is younger than the window but for one slot is.
 */
import { limits } from "../base/limits.js";

const SLOTS = 6;
const SLOT_MS = limits.callTimesMs / SLOTS;
/** Of the first bucket, and from one to the next. Up to about two hours. */
const FIRST_MS = 0.1;
const FACTOR = 1.1;
const BUCKETS = 192;

interface Slot {
  /** Number of its time since the clock's start; -1: none yet. */
  time: number;
  calls: number;
  rows: number;
  readonly buckets: Uint32Array;
}

export interface CallTimesView {
  /** Milliseconds; 0: there was no call. */
  readonly callMsP50: number;
  readonly callMsP99: number;
  readonly batchRowsMean: number;
}

export class CallTimes {
  #slots: Slot[] = Array.from({ length: SLOTS }, () => ({
    ...{ time: -1, calls: 0, rows: 0 },
    buckets: new Uint32Array(BUCKETS),
  }));

  add(tookMs: number, rows: number, nowMs: number): void {
    const slot = this.#slotAt(Math.floor(nowMs / SLOT_MS));
    slot.calls += 1;
    slot.rows += rows;
    slot.buckets[bucketOf(tookMs)]! += 1;
  }

  view(nowMs: number): CallTimesView {
    const oldest = Math.floor(nowMs / SLOT_MS) - SLOTS + 1;
    const young = this.#slots.filter(({ time }) => time >= Math.max(oldest, 0));
    const calls = young.reduce((sum, slot) => sum + slot.calls, 0);
    if (calls === 0) return { callMsP50: 0, callMsP99: 0, batchRowsMean: 0 };
    const rows = young.reduce((sum, slot) => sum + slot.rows, 0);
    const quantile = (share: number) => quantileOf(young, Math.ceil(calls * share));
    return { callMsP50: quantile(0.5), callMsP99: quantile(0.99), batchRowsMean: rows / calls };
  }

  #slotAt(time: number): Slot {
    const slot = this.#slots[time % SLOTS]!;
    if (slot.time !== time) {
      Object.assign(slot, { time, calls: 0, rows: 0 });
      slot.buckets.fill(0);
    }
    return slot;
  }
}

function bucketOf(ms: number): number {
  if (ms <= FIRST_MS) return 0;
  return Math.min(Math.ceil(Math.log(ms / FIRST_MS) / Math.log(FACTOR)), BUCKETS - 1);
}

/** The upper end of the bucket that holds the call of this rank. */
function quantileOf(slots: readonly Slot[], rank: number): number {
  let seen = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    for (const { buckets } of slots) seen += buckets[bucket]!;
    if (seen >= rank) return FIRST_MS * FACTOR ** bucket;
  }
  return FIRST_MS * FACTOR ** BUCKETS;
}
