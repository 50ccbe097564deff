/** `millrace coordinator`. */
import type { Command } from "commander";
import { realPorts } from "../../base/real/ports.js";
import { Coordinator } from "../../coordinator/coordinator.js";
import { joinCluster, untilTold } from "../cluster.js";
import { type LogLevel, openLog } from "../logging.js";
import { clusterSettings } from "../settings.js";

export interface ClusterFlags {
  readonly nats?: string;
  readonly store?: string;
  readonly namespace?: string;
}

export async function coordinatorCommand(flags: ClusterFlags, command: Command): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const settings = clusterSettings(flags, process.env);
  const cluster = await joinCluster("coordinator", settings, ports);
  const coordinator = new Coordinator({ ...cluster, ports, namespace: settings.namespace });
  await coordinator.open();
  process.stdout.write(
    `coordinator of namespace ${settings.namespace} is up on ${settings.nats.servers} and ${settings.store}\n`,
  );
  await untilTold();
  await coordinator.close();
  await cluster.close();
}
