/** Commands that change what runs, over the HTTP API: scale, drain, pause, resume, cancel. Each says what was noted, not that it is done. */
import { MillraceError } from "../../base/errors.js";
import { ApiClient, type ApiFlags, apiSettings, part } from "../api/client.js";
import { countOf } from "../outputs.js";

const clientOf = (flags: ApiFlags) => new ApiClient(apiSettings(flags, process.env));
const say = (text: string) => void process.stdout.write(`${text}\n`);

export async function scaleCommand(job: string, service: string, instances: number, flags: ApiFlags): Promise<void> {
  await clientOf(flags).patch(`/v1/jobs/${part(job)}/services/${part(service)}`, { instances });
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
    await clientOf(flags).post(`/v1/workers/${part(name)}/drain`);
    return say(`worker ${name} takes nothing new, hands over what it has, and leaves`);
  }
  await clientOf(flags).post(`/v1/jobs/${part(job)}/services/${part(service)}/instances/${part(name)}/drain`);
  say(`instance ${name} finishes what it has; another takes its place`);
}

const SAID = {
  pause: "rests behind a checkpoint",
  resume: "goes on",
  cancel: "is stopped; nothing of its open work is published",
} as const;

export async function pauseCommand(job: string, flags: ApiFlags): Promise<void> {
  await change("pause", job, flags);
}
export async function resumeCommand(job: string, flags: ApiFlags): Promise<void> {
  await change("resume", job, flags);
}
export async function cancelCommand(job: string, flags: ApiFlags): Promise<void> {
  await change("cancel", job, flags);
}

async function change(verb: keyof typeof SAID, job: string, flags: ApiFlags): Promise<void> {
  await clientOf(flags).post(`/v1/jobs/${part(job)}/${verb}`);
  say(`job ${job} ${SAID[verb]}`);
}
