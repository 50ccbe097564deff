/** What the API tells of jobs, services and workers, as text. Pure. */
import type * as told from "../../coordinator/describe.js";
import { bytes, type Column, duration, percent, plain, rate, table, time } from "./tables.js";

/** As the API gives it: its actors are a list of their own. */
export type Job = Omit<told.JobDetail, "actors">;
export type Checkpoint = told.CheckpointDetail & { readonly region: string };

export const isOver = ({ state }: { readonly state: string }): boolean =>
  state === "FINISHED" || state === "FAILED" || state === "CANCELLED";

/** Rows that are through, of those that are known of. */
export function progress({ rowsRead, rowsTotal }: told.JobSummary): string {
  return `${rowsRead}/${rowsTotal === 0 ? "?" : rowsTotal}`;
}

const JOB_COLUMNS: readonly Column<told.JobSummary>[] = [
  { title: "JOB", of: ({ job }) => job },
  { title: "STATE", of: ({ state }) => state },
  { title: "SUBMITTED", of: ({ submittedMs }) => time(submittedMs) },
  { title: "ROWS", of: progress },
  { title: "DEAD", of: ({ deadLetters }) => deadLetters },
  { title: "ACTORS", of: ({ counts }) => `${counts.actorsRunning}/${counts.actors}` },
  { title: "INSTANCES", of: ({ counts }) => `${counts.instancesReady}/${counts.instancesWanted}` },
  { title: "RESTARTS", of: ({ counts }) => counts.restarts },
  { title: "MESSAGE", of: ({ code, message }) => [code, message].filter((text) => text !== "").join(": ") },
];

export const jobsText = (jobs: readonly told.JobSummary[]): string =>
  table(
    JOB_COLUMNS,
    [...jobs].sort((a, b) => b.submittedMs - a.submittedMs),
    "no jobs; submit one with `millrace submit <topology>`",
  );

export const OPERATOR_COLUMNS: readonly Column<told.OperatorDetail>[] = [
  { title: "OPERATOR", of: ({ operator }) => operator },
  { title: "KIND", of: ({ kind, service }) => (service === "" ? kind : `${kind} ${service}`) },
  { title: "x", of: ({ parallelism }) => parallelism },
  { title: "IN/S", of: ({ rowsInPerSecond }) => rate(rowsInPerSecond) },
  { title: "OUT/S", of: ({ rowsOutPerSecond }) => rate(rowsOutPerSecond) },
  { title: "BUSY", of: ({ busy }) => percent(busy) },
  { title: "HELD UP", of: ({ backPressured }) => percent(backPressured) },
  { title: "IN FLIGHT", of: ({ rowsInFlight }) => rowsInFlight },
  { title: "QUEUED", of: ({ queuedBytes }) => bytes(queuedBytes) },
];

export const INSTANCE_COLUMNS: readonly Column<told.InstanceDetail>[] = [
  { title: "SERVICE", of: ({ service }) => service },
  { title: "INSTANCE", of: ({ instance }) => instance },
  { title: "STATE", of: ({ state }) => state },
  { title: "WORKER", of: ({ worker }) => (worker === "" ? "-" : worker) },
  { title: "ROWS/S", of: ({ rowsPerSecond }) => rate(rowsPerSecond) },
  { title: "QUEUED", of: ({ queuedRows }) => queuedRows },
  { title: "RUNNING", of: ({ runningRows }) => runningRows },
  { title: "P50 MS", of: ({ callMsP50 }) => rate(callMsP50) },
  { title: "P99 MS", of: ({ callMsP99 }) => rate(callMsP99) },
  { title: "ERRORS", of: ({ errors }) => errors },
  { title: "MEMORY", of: ({ memoryBytes }) => bytes(memoryBytes) },
  { title: "MESSAGE", of: ({ code, message }) => [code, message].filter((text) => text !== "").join(": ") },
];

export function servicesText(job: string, services: readonly told.ServiceDetail[]): string {
  if (services.length === 0) return `job ${job} has no services\n`;
  const wanted = services.map(
    ({ service, instancesWanted, instances }) =>
      `${service}: ${instances.filter(({ state }) => state === "READY").length} of ${instancesWanted} instances ready\n`,
  );
  const instances = services.flatMap((service) => service.instances);
  return `${wanted.join("")}\n${table(INSTANCE_COLUMNS, instances, "no instances yet")}`;
}

const REGION_COLUMNS: readonly Column<told.RegionDetail>[] = [
  { title: "REGION", of: ({ region }) => region },
  { title: "PHASE", of: ({ phase }) => phase },
  { title: "ATTEMPT", of: ({ attempt }) => attempt },
  { title: "ACTORS", of: ({ actors }) => actors },
  { title: "CHECKPOINT", of: ({ committed }) => committed },
  { title: "LAST RESTART", of: ({ restarts: [last] }) => (last === undefined ? "-" : `${last.code} ${last.message}`) },
];

export function jobText(job: Job): string {
  const { topology, state, code, message, submittedMs, startedMs, finishedMs, rowsWritten, deadLetters, unit } = job;
  const over = finishedMs === 0 ? "" : `, ended ${time(finishedMs)} after ${duration(finishedMs - startedMs)}`;
  const params = Object.entries(job.params).map(([name, value]) => `${name}=${value}`);
  const lines = [
    `job ${job.job}  ${state}${code === "" ? "" : `  ${code}`}${message === "" ? "" : `: ${message}`}`,
    `  topology ${topology}${params.length === 0 ? "" : `, ${params.join(", ")}`}`,
    `  submitted ${time(submittedMs)}, started ${time(startedMs)}${over}`,
    `  ${progress(job)} ${unit} read, ${rowsWritten} rows written, ${deadLetters} bad records; ${rate(job.rowsReadPerSecond)} read and ${rate(job.rowsWrittenPerSecond)} written per second`,
  ].map(plain);
  const services = job.services.length === 0 ? "" : `\n${servicesText(job.job, job.services)}`;
  return `${lines.join("\n")}\n\n${table(OPERATOR_COLUMNS, job.operators, "no operators")}\n${table(REGION_COLUMNS, job.regions, "no regions")}${services}`;
}

const CHECKPOINT_COLUMNS: readonly Column<Checkpoint>[] = [
  { title: "ENDED", of: ({ endedMs }) => time(endedMs) },
  { title: "REGION", of: ({ region }) => region },
  { title: "NUMBER", of: ({ number }) => number },
  { title: "STATE", of: ({ state }) => state },
  { title: "TOOK", of: ({ durationMs }) => (durationMs === 0 ? "-" : duration(durationMs)) },
  { title: "SIZE", of: ({ bytes: size }) => bytes(size) },
  { title: "ACTORS", of: ({ actors }) => actors },
  { title: "REMARKS", of: ({ asked, unaligned, reason }) => remarks({ "asked for": asked, unaligned }, reason) },
];

function remarks(of: Readonly<Record<string, boolean>>, reason: string): string {
  const names = Object.entries(of).flatMap(([name, is]) => (is ? [name] : []));
  return [...names, ...(reason === "" ? [] : [reason])].join(", ");
}

export const checkpointsText = (job: string, checkpoints: readonly Checkpoint[]): string =>
  table(CHECKPOINT_COLUMNS, checkpoints, `no checkpoint of job ${job} has ended since its coordinator began to lead`);

const WORKER_COLUMNS: readonly Column<told.WorkerDetail>[] = [
  { title: "WORKER", of: ({ worker }) => worker },
  { title: "STATE", of: ({ draining }) => (draining ? "DRAINING" : "UP") },
  { title: "CPUS", of: ({ cpus, cpusUsed }) => `${rate(cpusUsed)}/${cpus}` },
  { title: "MEMORY", of: ({ memoryBytes, memoryUsedBytes }) => `${bytes(memoryUsedBytes)} of ${bytes(memoryBytes)}` },
  { title: "GPUS", of: ({ gpus }) => gpus.length },
  { title: "PROCESSES", of: ({ processes }) => processes.length },
];

export const workersText = (workers: readonly told.WorkerDetail[]): string =>
  table(WORKER_COLUMNS, workers, "no worker was heard of lately; start one with `millrace worker`");
