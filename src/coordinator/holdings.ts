/**
 * All that is promised in the cluster, for `placement.ts`. Pure.
 *
 * Two sources, and what either knows counts: what workers report that they hold, also of jobs and leaders that nobody here knows; and
 * what jobs have asked for, which no report may show yet.
 */
import type { WorkerReport } from "../wire/control.js";
import type { Holding } from "./placement.js";

/** An instance that was asked for, or actors (which are named by nobody). */
export interface Promised extends Holding {
  readonly job: string;
  readonly instance: string;
}

export function holdingsOf(reports: readonly WorkerReport[], promised: readonly Promised[]): readonly Holding[] {
  const reported = reports.flatMap(({ worker, instances }) => instances.map((one) => ({ ...one, worker })));
  const told = new Set(reported.map(({ worker, job, instance }) => `${worker} ${job} ${instance}`));
  return [
    ...reported.filter(({ state }) => state !== "STOPPED" && state !== "FAILED"),
    ...promised.filter(({ worker, job, instance }) => !told.has(`${worker} ${job} ${instance}`)),
  ];
}
