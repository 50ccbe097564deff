/**
 * Bounds that a seed makes small (or long), so that what they guard happens in runs of a few hundred rows: full windows, channels
 * without credit, snapshots that are objects, unaligned barriers, checkpoints that are given up.
 *
 * Three bounds on patience are out of reach in most seeds: how often a request may be on board of a crashed instance, a region may
 * fail, a service may fail to load. Who reaches one is right to give up, and a fault plan that strikes some dozen times within
 * minutes reaches it sooner or later: the job would fail, rightly, and the rest of the seed would show nothing. Seeds with few
 * faults (`Faults`) keep the real bounds: there, giving up is a failure of the system.
 */
import { limits } from "../../src/base/limits.js";
import type { SimRandom } from "./sim-random.js";

export type Knobs = { -readonly [K in keyof typeof limits]?: number };

const PATIENCE: Knobs = { inferCrashesMax: 1_000, regionFailuresMax: 1_000, serviceLoadAttemptsMax: 1_000 };

/** From and to, by orders of magnitude. */
const RANGES = {
  channelCreditFrames: [1, 16],
  channelCreditBytes: [100, 20_000],
  busPendingBytesMax: [200, 50_000],
  inferWindowRows: [1, 80],
  inferAheadRows: [1, 40],
  inferWindowBytes: [100, 20_000],
  instanceQueueRowsMax: [1, 40],
  instanceQueueBytesMax: [100, 20_000],
  splitsAheadMax: [1, 10],
  snapshotInlineBytesMax: [1, 8_192],
  barrierAlignmentMs: [1, 5_000],
  checkpointTimeoutMs: [20_000, 60_000],
  checkpointsKept: [1, 3],
  retentionSweepCommits: [1, 8],
  exchangeEntryBytesMax: [200, 20_000],
  exchangeUnpublishedBytesMax: [500, 50_000],
  keyedEncodeKeys: [1, 10],
} as const satisfies { [K in keyof Knobs]?: readonly [number, number] };

/** Part of them that a seed turns. */
const TURNED = 0.35;

/** @param isLean few faults strike in this run */
export function drawKnobs(random: SimRandom, isLean: boolean): Knobs {
  const knobs: Knobs = isLean ? {} : { ...PATIENCE };
  for (const [name, [from, to]] of Object.entries(RANGES)) {
    const value = Math.round(random.logBetween(from, to));
    if (random.chance(TURNED)) knobs[name as keyof typeof RANGES] = value;
  }
  return knobs;
}

/** Until the returned function is called. One simulation runs at a time in a process. */
export function turn(knobs: Knobs): () => void {
  const bounds = limits as Record<string, number>;
  const before = { ...limits };
  Object.assign(bounds, knobs);
  return () => void Object.assign(bounds, before);
}

export function describeKnobs(knobs: Knobs): string {
  const turned = Object.entries(knobs).filter(([name]) => Object.hasOwn(RANGES, name));
  return turned.map(([name, value]) => `${name} ${value}`).join(", ") || "none";
}
