/** What is told of a job's hosts (`describe.ts`), and what they and their workers tell of others. Pure. */
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { ProcessUsage, Standing } from "../wire/control.js";
import type { HostDetail } from "./describe.js";
import { used } from "./describe-job.js";
import type { HostFacts, WatchedHost } from "./job.js";
import type { RegionBook } from "./region-book.js";

export interface HeardHost extends Pick<HostFacts, "host" | "worker" | "state" | "failure"> {
  readonly gpus: HostDetail["gpus"];
  readonly wasUp: boolean;
  /** By the monotonic clock. */
  readonly heardMs: number;
  readonly standings: readonly Standing[];
}

export type Usages = ReadonlyMap<string, ProcessUsage>;

/** Of the hosts and instances of a job by their names. @param all what processes use, of all jobs, by worker */
export function usagesOf(job: string, all: ReadonlyMap<string, readonly ProcessUsage[]>): Usages {
  const own = [...all.values()].flatMap((processes) => processes.filter((one) => one.job === job));
  return new Map(own.map((usage) => [usage.name, usage]));
}

/** How many hosts have put each instance aside, or on probation. */
export function standingsOf(
  hosts: Iterable<HeardHost>,
): ReadonlyMap<string, { readonly aside: number; readonly probation: number }> {
  const counts = new Map<string, { aside: number; probation: number }>();
  for (const { instance, probation } of [...hosts].flatMap(({ standings }) => standings)) {
    const count = counts.get(instance) ?? { aside: 0, probation: 0 };
    count[probation ? "probation" : "aside"] += 1;
    counts.set(instance, count);
  }
  return counts;
}

export function hostDetails(
  hosts: Iterable<HeardHost>,
  regions: Iterable<Pick<RegionBook, "placed">>,
  usages: Usages,
  clock: Clock,
): HostDetail[] {
  const ago = clock.nowMs() - clock.monotonicMs();
  const actors = new Map<string, number>();
  for (const { placed } of regions) {
    for (const { host } of placed.values()) actors.set(host, (actors.get(host) ?? 0) + 1);
  }
  return [...hosts].map(({ host, worker, state, failure, heardMs, wasUp, gpus }) => ({
    ...{ host, worker, state, gpus, message: failure?.message ?? "" },
    heardMs: wasUp ? heardMs + ago : 0,
    actors: actors.get(host) ?? 0,
    ...used(usages.get(host)),
  }));
}

/** What has happened to a host that ran and was given up because of that (J11 of `job.ts`). */
export const NEVER_REPORTED = `it has not reported within ${limits.processStartTimeoutMs} ms, and is stopped. See that worker's log: whether it can reach NATS, and what its topology waits for while it is loaded`;

/** Of the newest of them; empty: there is none. */
export function lateReason(hosts: Iterable<Pick<WatchedHost, "neverReported" | "failure">>): string {
  return [...hosts].findLast(({ neverReported }) => neverReported)?.failure?.message ?? "";
}
