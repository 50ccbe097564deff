/**
 * A failure stays in its region, and what is no failure of a region touches none.
 *
 *   ISO1  While nothing has struck but what regions are not to feel (a service's instances, a coordinator that stands
 *         still, a slow store, order, delay and duplicates, what is lost on a channel), no region begins another attempt. A region that another
 *         coordinator has taken over is not judged: it may begin anew what was not yet at work.
 */
import { regionRecordFrame } from "../../../src/wire/stored.js";
import { UNFELT } from "../faults.js";
import type { CheckedRun, Checker } from "./checker.js";
import { REGION_KEY } from "./region-log.js";

export function isolationChecker({ world, felt }: CheckedRun): Checker {
  const terms = new Map<string, bigint>();
  const newest = new Map<string, bigint>();
  return {
    onStore({ key, bytes }) {
      const [, region] = REGION_KEY.exec(key) ?? [];
      if (region === undefined || bytes === undefined) return;
      const { attempt, term, number } = regionRecordFrame.decode(bytes).header;
      if (term === 0n) return; // what a job begins with that goes on from a savepoint
      if (number <= (newest.get(region) ?? 0n)) return; // of a number that was deleted (LOG9)
      newest.set(region, number);
      const first = terms.get(region) ?? term;
      terms.set(region, first);
      if (attempt === 1 || term !== first || !felt().every((kind) => UNFELT.has(kind))) return;
      const seen = `attempt ${attempt}, and only ${felt().join(", ") || "nothing"} has struck`;
      world.found("isolation (ISO1)", `${region} to stay in its first attempt`, seen);
    },
  };
}
