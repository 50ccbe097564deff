/**
 * Commands that change what runs, over the HTTP API: scale, drain, pause, resume, cancel. Each says what was noted, not that it is done. Where the
 * API has an ETag, a change holds for what was read just before it: of two people who change a job at once, the second is told.
 */
import { MillraceError } from "../../base/errors.js";
import type { JobWishes } from "../../wire/control.js";
import { type ApiFlags, type ChangeOptions, clientOf, part } from "../api/client.js";
import { countOf } from "../outputs.js";

const say = (text: string) => void process.stdout.write(`${text}\n`);

/** Changes what is wanted of a job. @param path below the job's @returns what was wanted before */
async function changeWishes(
  job: string,
  flags: ApiFlags,
  method: "POST" | "PATCH",
  path: string,
  body: Pick<ChangeOptions, "body"> = {},
): Promise<JobWishes> {
  const client = clientOf(flags);
  const at = `/v1/jobs/${part(job)}`;
  const { value, etag } = await client.getTagged<JobWishes>(`${at}/wishes`);
  await client.change(method, `${at}/${path}`, { ...body, ifMatch: etag });
  return value;
}

export async function scaleCommand(job: string, service: string, instances: number, flags: ApiFlags): Promise<void> {
  await changeWishes(job, flags, "PATCH", `services/${part(service)}`, { body: { instances } });
  say(`service ${service} of job ${job} is to have ${countOf(instances, "instance")}`);
}

export interface DrainFlags extends ApiFlags {
  readonly job?: string;
  readonly service?: string;
}

/** @param name of a worker; with job and service, of an instance */
export async function drainCommand(name: string, { job, service, ...flags }: DrainFlags): Promise<void> {
  if ((job === undefined) !== (service === undefined))
    throw new MillraceError("MILL_CONFIG", "--job and --service go together: they say whose instance it is.");
  if (job === undefined || service === undefined) {
    await clientOf(flags).change("POST", `/v1/workers/${part(name)}/drain`);
    return say(`worker ${name} takes nothing new, hands over what it has, and leaves`);
  }
  const path = `/v1/jobs/${part(job)}/services/${part(service)}/instances/${part(name)}/drain`;
  await clientOf(flags).change("POST", path);
  say(`instance ${name} finishes what it has; another takes its place`);
}

export async function pauseCommand(job: string, flags: ApiFlags): Promise<void> {
  const before = await changeWishes(job, flags, "POST", "pause");
  say(before.paused ? `job ${job} was paused already` : `job ${job} rests behind a checkpoint`);
}

export async function resumeCommand(job: string, flags: ApiFlags): Promise<void> {
  const before = await changeWishes(job, flags, "POST", "resume");
  say(before.paused ? `job ${job} goes on` : `job ${job} was not paused`);
}

export async function cancelCommand(job: string, flags: ApiFlags): Promise<void> {
  await clientOf(flags).change("POST", `/v1/jobs/${part(job)}/cancel`);
  say(`job ${job} is stopped; nothing of its open work is published`);
}
