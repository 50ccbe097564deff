/** `millrace coordinator`. */
import type { Command } from "commander";
import { realPorts } from "../../base/real/ports.js";
import { Coordinator } from "../../coordinator/coordinator.js";
import { joinCluster, untilTold } from "../cluster.js";
import { outputsAt } from "../content.js";
import { type HttpFlags, httpSettings, serveApi } from "../http-api.js";
import { type LogLevel, openLog } from "../logging.js";
import { clusterSettings } from "../settings.js";

export interface ClusterFlags {
  readonly nats?: string;
  readonly store?: string;
  readonly namespace?: string;
}

export async function coordinatorCommand(flags: ClusterFlags & HttpFlags, command: Command): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const settings = clusterSettings(flags, process.env);
  const http = httpSettings(flags, process.env, "127.0.0.1:8080");
  const cluster = await joinCluster("coordinator", settings, ports);
  let onDeposed: () => void = () => {};
  const deposed = new Promise<"deposed">((resolve) => {
    onDeposed = () => resolve("deposed");
  });
  const coordinator = new Coordinator({
    ...cluster,
    ports,
    namespace: settings.namespace,
    outputAt: outputsAt(settings.s3, false, ports),
    onDeposed,
  });
  await coordinator.open();
  const { namespace } = settings;
  const api =
    http === undefined ? undefined : await serveApi(http, { ...cluster, ports, namespace, leader: () => coordinator });
  await api?.lead(true);
  process.stdout.write(
    `coordinator of namespace ${settings.namespace} is up on ${settings.nats.servers} and ${settings.store}\n`,
  );
  if (api !== undefined) process.stdout.write(`HTTP API and dashboard at ${api.url}\n`);
  // Status 0: whoever would start it again after a failure would depose the other in turn.
  if ((await Promise.race([untilTold(), deposed])) === "deposed")
    process.stdout.write("another coordinator leads this namespace now; this one ends\n");
  await api?.close();
  await coordinator.close();
  await cluster.close();
}
