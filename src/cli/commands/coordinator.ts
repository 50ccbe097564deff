/** `millrace coordinator`. */
import { hostname } from "node:os";
import type { Command } from "commander";
import type { Api } from "../../api/server.js";
import type { Namespace } from "../../base/ids.js";
import type { Ports } from "../../base/ports.js";
import { realPorts } from "../../base/real/ports.js";
import { Coordinator } from "../../coordinator/coordinator.js";
import { Leadership } from "../../coordinator/leadership.js";
import { ApiSubmissions } from "../api-submissions.js";
import { joinCluster, untilTold } from "../cluster.js";
import { outputsAt } from "../content.js";
import { type HttpFlags, httpSettings, serveApi } from "../http-api.js";
import { jobOutputs } from "../job-outputs.js";
import { type LogLevel, openLog } from "../logging.js";
import { clusterSettings } from "../settings.js";
import { metricsText, withTelemetry } from "../telemetry.js";

export interface ClusterFlags {
  readonly nats?: string;
  readonly store?: string;
  readonly namespace?: string;
}

export async function coordinatorCommand(flags: ClusterFlags & HttpFlags, command: Command): Promise<void> {
  const log = openLog(command.optsWithGlobals().logLevel as LogLevel);
  const telemetry = await withTelemetry(realPorts(log), process.env, {
    role: "coordinator",
    id: `${hostname()}-${process.pid}`,
    keepMetrics: true,
  });
  const { ports } = telemetry;
  const settings = clusterSettings(flags, process.env);
  const http = httpSettings(flags, process.env, "127.0.0.1:8080");
  const cluster = await joinCluster("coordinator", settings, ports);
  const { namespace } = settings;
  const outputAt = outputsAt(settings.s3, false, ports);
  let leadership: Leadership<Coordinator> | undefined;
  const leader = () => leadership?.leader();
  const outputs = jobOutputs({ s3: settings.s3, root: settings.store, files: false, ports });
  const metrics = () => metricsText(telemetry, ports);
  const submissions = new ApiSubmissions({ ...cluster, ports, namespace, s3: settings.s3 });
  const served = { ...cluster, ports, namespace, leader, metrics, outputs, submissions };
  const api = http === undefined ? undefined : await serveApi(http, served);
  const holder = `${hostname()}-${ports.random.id(8)}`;
  leadership = new Leadership({
    ...{ bus: cluster.bus, ports, namespace, holder },
    http: api?.url ?? "",
    make: (lease, onDeposed) => new Coordinator({ ...cluster, ports, namespace, outputAt, lease, onDeposed }),
  });
  const sayNoMore = sayWhoLeads(leadership, holder, { ports, namespace, api });
  await leadership.open();
  const told = untilTold(); // before it says that it is up: who is told then gives its lease back
  process.stdout.write(
    `coordinator of namespace ${settings.namespace} is up on ${settings.nats.servers} and ${settings.store}\n`,
  );
  if (api !== undefined) process.stdout.write(`HTTP API and dashboard at ${api.url}\n`);
  await told;
  sayNoMore();
  await api?.close();
  await leadership.close();
  await cluster.close();
  await telemetry.close();
}

interface Surroundings {
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly api: Api | undefined;
}

/** Also to the API: the leader alone answers what those of others pass on. @returns ends that */
function sayWhoLeads(leadership: Leadership<Coordinator>, self: string, { ports, namespace, api }: Surroundings) {
  let telling = Promise.resolve();
  return leadership.onChange(() => {
    const leads = leadership.leader() !== undefined;
    const { holder, term, http } = leadership.known() ?? {};
    const at = http === undefined || http === "" ? "" : ` at ${http}`;
    if (leads) process.stdout.write(`leads namespace ${namespace}, term ${term}\n`);
    else if (holder === undefined) process.stdout.write(`knows nobody who leads namespace ${namespace}\n`);
    else if (holder !== self) process.stdout.write(`follows ${holder}${at}, term ${term}\n`);
    // One after the other: a change may come while the one before is being told.
    telling = telling
      .then(() => api?.lead(leads))
      .catch((error: unknown) => ports.log.error("requests to other coordinators do not reach this one", { error }));
  });
}
