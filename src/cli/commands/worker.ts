/** `millrace worker`. */
import { hostname } from "node:os";
import type { Command } from "commander";
import { id, type WorkerId } from "../../base/ids.js";
import { realPorts } from "../../base/real/ports.js";
import { sizeText } from "../../topology/resources.js";
import { findResources, type Offer } from "../../worker/resources.js";
import { Worker } from "../../worker/worker.js";
import { joinCluster, untilTold } from "../cluster.js";
import { clusterLauncher } from "../launchers.js";
import { type LogLevel, openLog } from "../logging.js";
import { thisMachine } from "../machine.js";
import { countOf } from "../outputs.js";
import { machineUsed } from "../process-usage.js";
import { cacheFolder, clusterSettings } from "../settings.js";
import { withTelemetry } from "../telemetry.js";
import type { ClusterFlags } from "./coordinator.js";

export interface WorkerFlags extends ClusterFlags {
  readonly name?: string;
  readonly cpus?: number;
  /** Bytes. */
  readonly memory?: number;
  readonly gpus?: number;
  readonly gpuKind?: string;
  readonly gpuMemory?: number;
}

export async function workerCommand(flags: WorkerFlags, command: Command): Promise<void> {
  const logLevel = command.optsWithGlobals().logLevel as LogLevel;
  const plain = realPorts(openLog(logLevel));
  const settings = clusterSettings(flags, process.env);
  const name = id<WorkerId>(
    "worker",
    flags.name ?? `${hostname().replace(/[^a-zA-Z0-9]+/g, "-")}-${plain.random.id(4)}`,
  );
  const telemetry = await withTelemetry(plain, process.env, { role: "worker", id: name });
  const { ports } = telemetry;
  const told = { ...flags, memoryBytes: flags.memory, gpuMemoryBytes: flags.gpuMemory };
  const offer = await findResources(thisMachine(process.env), told, ports.log);
  const cluster = await joinCluster(`worker ${name}`, settings, ports);
  let onDrainAsked: () => void = () => {};
  const drainAsked = new Promise<void>((resolve) => {
    onDrainAsked = resolve;
  });
  const worker = new Worker({
    bus: cluster.bus,
    ports,
    namespace: settings.namespace,
    worker: name,
    ...offer,
    onDrainAsked: () => onDrainAsked(),
    launcher: clusterLauncher(settings, cluster.store, cacheFolder(process.env), ports, logLevel),
    used: machineUsed,
  });
  await worker.open();
  const asked = untilTold(() => void worker.close());
  process.stdout.write(
    `worker ${name} is up on ${settings.nats.servers} and ${settings.store}, with ${offerText(offer)}\n`,
  );
  await Promise.race([asked, drainAsked]);
  if (worker.holds > 0)
    process.stdout.write(
      `worker ${name} takes nothing new and waits for ${worker.holds} processes; signal again to stop them\n`,
    );
  await worker.drain();
  await cluster.close();
  await telemetry.close();
}

function offerText({ cpus, memoryBytes, gpus }: Offer): string {
  const kinds = [...new Set(gpus.map(({ kind }) => kind || "unknown kind"))].join(" and ");
  const devices = gpus.length === 0 ? "no gpus" : `${countOf(gpus.length, "gpu")} (${kinds})`;
  return `${countOf(cpus, "core")}, ${sizeText(memoryBytes)} and ${devices}`;
}
