/**
 * All that is promised in the cluster, for `placement.ts`. Pure.
 *
 * Two sources, and what either knows counts: what workers report that they hold, also of jobs and leaders that nobody here knows; and
 * what jobs have asked for, which no report may show yet.
 */
import type { WorkerReport } from "../wire/control.js";
import { type Holding, NOTHING } from "./placement.js";

/** An instance or a host that was asked for, or actors (which are named by nobody). */
export interface Promised extends Holding {
  readonly job: string;
  readonly instance: string;
  readonly host: string;
}

export function holdingsOf(reports: readonly WorkerReport[], promised: readonly Promised[]): readonly Holding[] {
  const reported = reports.flatMap(({ worker, instances }) => instances.map((one) => ({ ...one, worker })));
  const hosts = reports.flatMap(({ worker, hosts: own }) => own.map((one) => ({ ...one, worker })));
  const told = new Set(reported.map(({ worker, job, instance }) => `${worker} ${job} instance ${instance}`));
  for (const { worker, job, host } of hosts) told.add(`${worker} ${job} host ${host}`);
  const nameOf = ({ worker, job, instance, host }: Promised) =>
    `${worker} ${job} ${host === "" ? `instance ${instance}` : `host ${host}`}`;
  return [
    ...reported.filter(({ state }) => state !== "STOPPED" && state !== "FAILED"),
    ...hosts
      .filter(({ state, gpus }) => state !== "EXITED" && gpus.length > 0)
      .map(({ worker, gpus }) => ({ worker, granted: { ...NOTHING, gpus } })),
    ...promised.filter((one) => !told.has(nameOf(one))),
  ];
}
