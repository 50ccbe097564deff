/** Puts together what is told of workers (`describe.ts`), from their reports. Pure. */
import type { Clock } from "../base/ports.js";
import type { GpuShare, WorkerReport } from "../wire/control.js";
import type { ProcessDetail, WorkerDetail } from "./describe.js";
import { used } from "./describe-job.js";

export interface HeardWorker {
  readonly report: WorkerReport;
  /** By the monotonic clock. */
  readonly heardMs: number;
}

export function workerDetails(workers: Iterable<HeardWorker>, clock: Clock): WorkerDetail[] {
  const ago = clock.nowMs() - clock.monotonicMs();
  return [...workers].map(({ report, heardMs }) => workerOf(report, heardMs + ago));
}

function workerOf(report: WorkerReport, heardMs: number): WorkerDetail {
  const { worker, cpus, memoryBytes, draining, usage } = report;
  const promised = new Map<string, number>();
  for (const { uuid, thousandths } of promisedBy(report)) {
    promised.set(uuid, (promised.get(uuid) ?? 0) + thousandths);
  }
  return {
    ...{ worker, cpus, draining, heardMs, memoryBytes: Number(memoryBytes) },
    gpus: report.gpus.map((gpu) => ({
      ...gpu,
      memoryBytes: Number(gpu.memoryBytes),
      promisedThousandths: promised.get(gpu.uuid) ?? 0,
    })),
    memoryUsedBytes: Number(usage?.memoryBytes ?? 0n),
    cpusUsed: usage?.cpus ?? 0,
    processMemoryBytes: Number(usage?.rssBytes ?? 0n),
    processes: processesOf(report),
  };
}

function promisedBy({ hosts, instances }: WorkerReport): GpuShare[] {
  return [
    ...hosts.filter(({ state }) => state !== "EXITED").flatMap(({ gpus }) => gpus),
    ...instances.filter(({ state }) => state === "PROVISIONING").flatMap(({ granted }) => granted.gpus),
  ];
}

/** Those that run: a worker remembers some that have ended. */
function processesOf({ hosts, instances, usage }: WorkerReport): ProcessDetail[] {
  const usages = new Map(usage?.processes.map((one) => [`${one.job} ${one.name}`, one]));
  const usedBy = (job: string, name: string) => used(usages.get(`${job} ${name}`));
  return [
    ...hosts
      .filter(({ state }) => state !== "EXITED")
      .map(({ job, host, state }) => {
        return { kind: "host" as const, job, service: "", name: host, state, ...usedBy(job, host) };
      }),
    ...instances
      .filter(({ state }) => state === "PROVISIONING")
      .map(({ job, service, instance }) => {
        return { kind: "instance" as const, job, service, name: instance, state: "RUNNING", ...usedBy(job, instance) };
      }),
  ];
}
