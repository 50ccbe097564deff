/** The program of one host of a cluster: holds actors of one job. */
import type { HostId, JobId, Namespace } from "../base/ids.js";
import { realPorts } from "../base/real/ports.js";
import { connectNats } from "../bus/nats-bus.js";
import { openStore } from "../storage/open-store.js";
import type { HostGpu } from "../wire/control.js";
import { runChild } from "./child-main.js";
import { logOfChild } from "./child-pipes.js";
import type { LoadOptions } from "./load-topology.js";
import type { LogLevel } from "./logging.js";
import { makeHost } from "./make-host.js";
import type { ContentSettings, NatsSettings, S3Settings } from "./settings.js";
import { withTelemetry } from "./telemetry.js";

export interface HostConfig {
  readonly nats: NatsSettings;
  readonly s3: S3Settings;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly host: HostId;
  /** Devices of its operators. */
  readonly gpus: readonly HostGpu[];
  readonly bundleFile: string;
  readonly load: LoadOptions;
  readonly outputRoot: string;
  readonly content: ContentSettings;
  readonly logLevel: LogLevel;
}

runChild<HostConfig>(async (config) => {
  const { job, host: id, logLevel } = config;
  const log = logOfChild(logLevel, { job, host: id });
  const telemetry = await withTelemetry(realPorts(log), process.env, { role: "host", id });
  const { ports } = telemetry;
  const bus = await connectNats({ ...config.nats, name: `host ${config.host}` }, ports);
  const store = openStore(config.outputRoot, { s3: config.s3 }, ports);
  const host = await makeHost({ ...config, bus, store, ports });
  await host.open();
  return async () => {
    await host.close();
    await bus.close();
    await store.close();
    await telemetry.close();
  };
});
