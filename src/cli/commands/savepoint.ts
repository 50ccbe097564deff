/** `millrace savepoint create` and `millrace savepoint list`. */
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { realPorts } from "../../base/real/ports.js";
import { jobKeys } from "../../storage/keys.js";
import { savepointFrame } from "../../wire/stored.js";
import { joinCluster } from "../cluster.js";
import { JobHandle } from "../job-handle.js";
import { type LogLevel, openLog } from "../logging.js";
import { clusterSettings } from "../settings.js";
import type { ClusterFlags } from "./coordinator.js";

export interface CreateFlags extends ClusterFlags {
  readonly name?: string;
  readonly stop?: boolean;
}

export async function createSavepointCommand(jobName: string, flags: CreateFlags, command: Command): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const settings = clusterSettings(flags, process.env);
  const job = id<JobId>("job", jobName);
  const stamp = new Date(ports.clock.nowMs()).toISOString().replace(/\D/g, "").slice(0, 14);
  const name = id<never>("savepoint", flags.name ?? `${stamp}-${ports.random.id(4)}`) as string;
  const stop = flags.stop ?? false;
  const { namespace } = settings;
  const cluster = await joinCluster("savepoint", settings, ports);
  try {
    if ((await cluster.store.head(jobKeys(job).savepoint(name))) !== undefined) {
      const message = `job ${job} already has a savepoint "${name}". Choose another --name.`;
      throw new MillraceError("MILL_CONFIG", message, { job, name });
    }
    const handle = new JobHandle({ ...cluster, ports, namespace, job, unit: "", close: async () => {} });
    await handle.savepoint(name, stop);
    process.stdout.write(`savepoint ${job}/${name} is there${stop ? "; the job was stopped" : ""}\n`);
  } finally {
    await cluster.close();
  }
}

export async function listSavepointsCommand(
  jobName: string,
  flags: ClusterFlags & { readonly json?: boolean },
  command: Command,
): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const job = id<JobId>("job", jobName);
  const cluster = await joinCluster("savepoint", clusterSettings(flags, process.env), ports);
  try {
    const savepoints: { name: string; created: string; topology: string; actors: number; sizeBytes: string }[] = [];
    for await (const { key } of cluster.store.list(jobKeys(job).savepoints)) {
      const { name, topology, createdMs, regions } = savepointFrame.decode(await cluster.store.get(key)).header;
      const actors = regions.flatMap((region) => region.actors);
      // In text, as all 64-bit numbers: a reader in JavaScript would round it.
      const sizeBytes = String(actors.reduce((sum, actor) => sum + actor.sizeBytes, 0n));
      const created = new Date(Number(createdMs)).toISOString();
      savepoints.push({ name: `${job}/${name}`, created, topology, actors: actors.length, sizeBytes });
    }
    if (flags.json) {
      process.stdout.write(`${JSON.stringify({ job, savepoints })}\n`);
      return;
    }
    if (savepoints.length === 0) process.stdout.write(`job ${job} has no savepoints\n`);
    for (const { name, created, topology, actors, sizeBytes } of savepoints) {
      process.stdout.write(`${name}  ${created}  ${topology}  ${actors} actors, ${sizeBytes} bytes\n`);
    }
  } finally {
    await cluster.close();
  }
}
