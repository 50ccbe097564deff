/** `millrace savepoint create` and `millrace savepoint list`. */
import type { Command } from "commander";
import { isErrorCode, MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { realPorts } from "../../base/real/ports.js";
import type { Bus } from "../../bus/bus.js";
import { clusterSubjects } from "../../bus/subjects.js";
import { jobKeys } from "../../storage/keys.js";
import { type CreateSavepoint, createSavepointFrame, type SavepointReport } from "../../wire/control.js";
import { decodeFrame } from "../../wire/frames.js";
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

/** Time between two questions whether the savepoint is there. */
const ASK_INTERVAL_MS = 200;
/** Questions in a row without an answer: the coordinator may be replaced meanwhile. */
const UNANSWERED_MAX = 100;

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
    const subject = clusterSubjects(namespace).coordinatorCommand;
    await untilThere({ job, name, stop }, cluster.bus, subject, (ms) => ports.clock.sleep(ms));
    if (stop) {
      const handle = new JobHandle({ ...cluster, ports, namespace, job, unit: "", close: async () => {} });
      while (!["CANCELLED", "FAILED", "FINISHED"].includes((await handle.report()).state)) {
        await ports.clock.sleep(ASK_INTERVAL_MS);
      }
    }
    process.stdout.write(`savepoint ${job}/${name} is there${stop ? "; the job was stopped" : ""}\n`);
  } finally {
    await cluster.close();
  }
}

/** Asks until the answer is not OPEN. A coordinator that is replaced meanwhile begins anew. */
async function untilThere(
  question: CreateSavepoint,
  bus: Bus,
  subject: string,
  pause: (ms: number) => Promise<void>,
): Promise<void> {
  for (let unanswered = 0; ; ) {
    try {
      const { kind, header } = decodeFrame((await bus.request(subject, createSavepointFrame.encode(question))).payload);
      unanswered = 0;
      const { code, message } = header as { readonly code: string; readonly message: string };
      if (code !== "") throw new MillraceError(isErrorCode(code) ? code : "MILL_JOB_FAILED", message);
      if (kind === "savepoint-report" && (header as SavepointReport).state === "DONE") return;
    } catch (error) {
      const away =
        MillraceError.is(error) && (error.code === "MILL_BUS_NO_RESPONDER" || error.code === "MILL_BUS_TIMEOUT");
      if (!away || ++unanswered > UNANSWERED_MAX) throw error;
    }
    await pause(ASK_INTERVAL_MS);
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
