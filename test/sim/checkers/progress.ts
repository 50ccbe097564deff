/**
 * What is not disturbed gets on.
 *
 *   PRO1  A checkpoint that is opened when no fault has struck for a while is committed, not given up.
 *   PRO2  An attempt that begins when no fault has struck for a while is the last one.
 */
import type { Trigger } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { regionRecordFrame } from "../../../src/wire/stored.js";
import { classOfSubject } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";
import { REGION_KEY, regionName } from "./region-log.js";

/** Longer than the system takes to get over a fault: a silence that is noticed, a question that nobody answers. */
const CALM_MS = 60_000;

export function progressChecker({ world, struckMs }: CheckedRun): Checker {
  /** When the checkpoint was first triggered. */
  const opened = new Map<string, number>();
  const attempts = new Map<string, { readonly attempt: number; readonly atMs: number }>();
  const newest = new Map<string, bigint>();
  const isCalm = (sinceMs: number) => sinceMs - struckMs() > CALM_MS;

  return {
    onMessage({ subject, payload }) {
      if (classOfSubject(subject) !== "command") return;
      const { kind, header } = decodeFrame(payload);
      if (kind !== "trigger") return;
      const { job, region, checkpoint } = header as Trigger;
      const name = `${regionName(job, region)} ${checkpoint}`;
      if (!opened.has(name)) opened.set(name, world.nowMs);
    },
    onStore({ key, bytes }) {
      const [, region] = REGION_KEY.exec(key) ?? [];
      if (region === undefined || bytes === undefined) return;
      const { kind, number, attempt, term } = regionRecordFrame.decode(bytes).header;
      if (term === 0n) return; // what a job begins with that goes on from a savepoint
      if (number <= (newest.get(region) ?? 0n)) return; // of a number that was deleted (LOG9)
      newest.set(region, number);
      const before = attempts.get(region);
      if (before?.attempt !== attempt) {
        if (before !== undefined && isCalm(before.atMs)) {
          const expected = `attempt ${before.attempt} of ${region}, begun when no fault had struck for a while, to be the last`;
          world.found("progress (PRO2)", expected, `attempt ${attempt}`);
        }
        attempts.set(region, { attempt, atMs: world.nowMs });
        return;
      }
      const openedMs = opened.get(`${region} ${number}`);
      if (kind !== "FENCE" || openedMs === undefined || !isCalm(openedMs)) return;
      const expected = `checkpoint ${number} of ${region}, opened when no fault had struck for a while, to be committed`;
      world.found("progress (PRO1)", expected, "it was given up");
    },
  };
}
