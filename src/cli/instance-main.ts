/** The program of one service instance: its own process, because a model's call blocks its thread and may crash. */

import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { realPorts } from "../base/real/ports.js";
import type { Bus } from "../bus/bus.js";
import { connectLink } from "../bus/link-bus.js";
import { connectNats } from "../bus/nats-bus.js";
import { commandOf } from "../services/handlers/command.js";
import { Instance } from "../services/instance.js";
import type { ObjectStore } from "../storage/object-store.js";
import { runChild } from "./child-main.js";
import { LINK_FD, logOfChild } from "./child-pipes.js";
import { answersMovedOut, lazyContent } from "./instance-content.js";
import { portsOfJob } from "./job-telemetry.js";
import { type LoadOptions, loadTopology } from "./load-topology.js";
import type { LogLevel } from "./logging.js";
import { startProgram } from "./program-instance.js";
import type { ContentSettings, NatsSettings, S3Settings } from "./settings.js";
import { sayAlive } from "./silence.js";
import { withTelemetry } from "./telemetry.js";

export interface InstanceConfig {
  /** undefined: over the pipe to the parent, whose bus it then shares. */
  readonly nats: NatsSettings | undefined;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly service: string;
  readonly instance: InstanceId;
  readonly bundleFile: string;
  readonly load: LoadOptions;
  /** The job's object store; undefined: it is in another process' memory. */
  readonly store: { readonly url: string; readonly s3: S3Settings } | undefined;
  readonly content: ContentSettings & { readonly s3: S3Settings };
  /** Local path of each asset by name. */
  readonly assets: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
}

runChild<InstanceConfig>(async (config, fail) => {
  const { job, service: serviceId, instance: id, logLevel } = config;
  const log = logOfChild(logLevel, { job, service: serviceId, instance: id });
  const telemetry = await withTelemetry(realPorts(log), process.env, { role: "instance", id });
  const ports = portsOfJob(telemetry.ports, config.job);
  const { topology } = await loadTopology(config.bundleFile, config.load);
  const service = topology.services.find((candidate) => candidate.id === config.service);
  if (service === undefined) {
    throw new MillraceError("MILL_PLAN_MISMATCH", `the topology has no service "${config.service}".`);
  }
  const command = commandOf(service.handler, (name) => config.assets[name]);
  if (command !== undefined) return startProgram({ ...config, command, service }, fail);
  const bus: Bus =
    config.nats === undefined
      ? connectLink(new Socket({ fd: LINK_FD }) as Duplex, ports)
      : await connectNats({ ...config.nats, name: `instance ${config.instance}` }, ports);
  const content = lazyContent(async () => {
    const { openContent } = await import("./content.js");
    return openContent({ settings: config.content, s3: config.content.s3, job: config.job, ports });
  });
  const instance = new Instance({
    bus,
    content,
    ports,
    namespace: config.namespace,
    job: config.job,
    instance: config.instance,
    service: answersMovedOut(service, content, topology.inlineLimitBytes),
    asset(name) {
      const path = config.assets[name];
      if (path !== undefined) return path;
      throw new MillraceError(
        "MILL_MODEL_MISSING",
        `service "${service.id}": its handler asks for the asset "${name}" but declares only ${Object.keys(config.assets).join(", ")}.`,
      );
    },
    ...(config.store && { openStore: () => openJobStore(config.store!, ports) }),
    env: (name) => process.env[name],
    yieldToMessages: () => new Promise((resolve) => setImmediate(resolve)),
    // The call goes on whatever this thread does; its clients must not wait for it.
    onHung: (error) => void bus.flush().finally(() => fail(error)),
  });
  await instance.start();
  const { timeoutMs } = service;
  const quiet = timeoutMs > 0 ? sayAlive(timeoutMs + limits.callHungMs) : () => {};
  return async () => {
    await instance.drain();
    quiet();
    await bus.close();
    await telemetry.close();
  };
});

/** Not before it is needed: its libraries take as long to load as all the rest. */
async function openJobStore({ url, s3 }: NonNullable<InstanceConfig["store"]>, ports: Ports): Promise<ObjectStore> {
  const { openStore } = await import("../storage/open-store.js");
  return openStore(url, { s3 }, ports);
}
