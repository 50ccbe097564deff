/**
 * A failure stays in its region, and what is no failure of a region touches none.
 *
 *   ISO1  While nothing has struck but what regions are not to feel (a service's instances, a coordinator that stands
 *         still, a slow store, order, delay and duplicates, what is lost on a channel), no region begins another attempt. A region that another
 *         coordinator has taken over is not judged: it may begin anew what was not yet at work.
 *   ISO2  The same where actors have failed by themselves: a region begins another attempt only when one of its own actors has failed in the one
 *         before.
 */
import type { HostReport } from "../../../src/wire/control.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { regionRecordFrame } from "../../../src/wire/stored.js";
import { CRASH } from "../actor-crashes.js";
import { UNFELT } from "../faults.js";
import { classOfSubject } from "../sim-network.js";
import type { CheckedRun, Checker } from "./checker.js";
import { REGION_KEY, regionName } from "./region-log.js";

export function isolationChecker({ world, felt }: CheckedRun): Checker {
  const terms = new Map<string, bigint>();
  const newest = new Map<string, bigint>();
  /** Attempts of regions in which an actor has failed by itself. */
  const failed = new Set<string>();
  return {
    onMessage({ subject, payload }) {
      if (classOfSubject(subject) !== "report") return;
      const { kind, header } = decodeFrame(payload);
      if (kind !== "host-report") return;
      const { job, actors } = header as HostReport;
      for (const { region, attempt, state, message } of actors) {
        if (state === "FAILED" && message.includes(CRASH)) failed.add(`${regionName(job, region)} ${attempt}`);
      }
    },
    onStore({ key, bytes }) {
      const [, region] = REGION_KEY.exec(key) ?? [];
      if (region === undefined || bytes === undefined) return;
      const { attempt, term, number } = regionRecordFrame.decode(bytes).header;
      if (term === 0n) return; // what a job begins with that goes on from a savepoint
      if (number <= (newest.get(region) ?? 0n)) return; // of a number that was deleted (LOG9)
      newest.set(region, number);
      const first = terms.get(region) ?? term;
      terms.set(region, first);
      const others = felt().filter((kind) => kind !== "actor-crash");
      if (attempt === 1 || term !== first || !others.every((kind) => UNFELT.has(kind))) return;
      if (failed.has(`${region} ${attempt - 1}`)) return;
      const seen = `attempt ${attempt}, and only ${felt().join(", ") || "nothing"} has struck`;
      if (others.length === felt().length) {
        world.found("isolation (ISO1)", `${region} to stay in its first attempt`, seen);
      } else
        world.found("isolation (ISO2)", `${region} to stay in attempt ${attempt - 1}: none of its actors failed`, seen);
    },
  };
}
