/** Commands that show what the coordinator knows, over its HTTP API: jobs, job, checkpoints (also to ask for some), services, workers. */
import type * as told from "../../coordinator/describe.js";
import { type ApiFlags, clientOf, part } from "../api/client.js";
import {
  type Checkpoint,
  checkpointsText,
  type Job,
  jobsText,
  jobText,
  servicesText,
  workersText,
} from "../api/views.js";
import { countOf } from "../outputs.js";

export interface ListFlags extends ApiFlags {
  readonly json?: boolean;
}

/** One JSON value on one line, or text for people. */
export function print(flags: ListFlags, value: object, text: () => string): void {
  process.stdout.write(flags.json ? `${JSON.stringify(value)}\n` : text());
}

export async function jobsCommand(flags: ListFlags & { readonly state?: string }): Promise<void> {
  const jobs = await clientOf(flags).list<told.JobSummary>("/v1/jobs", { state: flags.state?.toUpperCase() });
  print(flags, { jobs }, () => jobsText(jobs));
}

export async function jobCommand(job: string, flags: ListFlags): Promise<void> {
  const found = await clientOf(flags).get<Job>(`/v1/jobs/${part(job)}`);
  print(flags, found, () => jobText(found));
}

export interface CheckpointsFlags extends ListFlags {
  readonly region?: string;
  readonly trigger?: boolean;
}

export async function checkpointsCommand(job: string, flags: CheckpointsFlags): Promise<void> {
  const path = `/v1/jobs/${part(job)}/checkpoints`;
  if (flags.trigger === true) {
    const asked = await clientOf(flags).change<{ readonly regions: readonly unknown[] }>("POST", path);
    return print(flags, asked, () => `${countOf(asked.regions.length, "region")} of job ${job} to take a checkpoint\n`);
  }
  const checkpoints = await clientOf(flags).list<Checkpoint>(path, { region: flags.region });
  print(flags, { job, checkpoints }, () => checkpointsText(job, checkpoints));
}

export async function servicesCommand(job: string, flags: ListFlags): Promise<void> {
  const services = await clientOf(flags).list<told.ServiceDetail>(`/v1/jobs/${part(job)}/services`);
  print(flags, { job, services }, () => servicesText(job, services));
}

export async function workersCommand(flags: ListFlags): Promise<void> {
  const workers = await clientOf(flags).list<told.WorkerDetail>("/v1/workers");
  print(flags, { workers }, () => workersText(workers));
}
