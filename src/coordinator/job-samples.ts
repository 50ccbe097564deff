/**
 * The last half hour of a job in a few numbers, for charts: since this coordinator leads, and no longer than its memory lasts.
 * Taken on heartbeats, so that it costs the same however many look at it.
 */
import { limits } from "../base/limits.js";
import type { JobDetail, JobSample } from "./describe.js";

export class JobSamples {
  #kept: JobSample[] = [];

  /** Takes one, where it is time. @param make called only then */
  take(nowMs: number, make: () => Omit<JobSample, "atMs">): void {
    const last = this.#kept.at(-1);
    if (last !== undefined && nowMs - last.atMs < limits.jobSampleIntervalMs) return;
    this.#kept.push({ atMs: nowMs, ...make() });
    if (this.#kept.length > limits.jobSamplesKept) this.#kept.shift();
  }

  /** Oldest first. */
  get kept(): readonly JobSample[] {
    return this.#kept;
  }
}

export function sampleOf(job: JobDetail): Omit<JobSample, "atMs"> {
  const { rowsReadPerSecond, rowsWrittenPerSecond, rowsInFlight, deadLetters, counts, regions, services, edges } = job;
  const instances = services.flatMap((service) => service.instances);
  return {
    ...{ rowsReadPerSecond, rowsWrittenPerSecond, rowsInFlight, deadLetters },
    queuedBytes: edges.reduce((sum, edge) => sum + edge.queuedBytes, 0),
    instancesReady: counts.instancesReady,
    instanceRows: instances.reduce((sum, { queuedRows, runningRows }) => sum + queuedRows + runningRows, 0),
    checkpointMs: Math.max(0, ...regions.map(({ checkpoints }) => checkpoints[0]?.durationMs ?? 0)),
    restarts: counts.restarts,
  };
}
