/**
 * Telemetry of one process, as the standard variables of OpenTelemetry say (docs/telemetry.md). Where they name no receiver
 * nothing is sent, and no package of it is loaded.
 */
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { METRICS } from "../base/metrics.js";
import type { Ports } from "../base/ports.js";
import { type Attributes, noTelemetry, type Telemetry } from "../base/telemetry.js";
import type { OpenTelemetry, TelemetrySettings } from "../telemetry/open.js";

type Environment = Readonly<Record<string, string | undefined>>;

const INTERVAL_MS = 60_000;
const DEFAULT_NAME = "millrace";
/** For what ends a process with another status to do so. */
const GIVEN_UP_MS = 1_000;

/** What this process is, and its id: two of one kind are told apart by it. */
export interface ProcessName {
  readonly role: "coordinator" | "worker" | "host" | "instance" | "embedded";
  readonly id: string;
  /** Metrics are kept also where they are not sent: they can be asked for. */
  readonly keepMetrics?: boolean;
  readonly version?: string;
}

export function telemetrySettings(env: Environment, name: ProcessName): TelemetrySettings {
  const on = env.OTEL_SDK_DISABLED?.toLowerCase() !== "true";
  const sends = (kind: "TRACES" | "METRICS") => {
    const exporter = given(env[`OTEL_${kind}_EXPORTER`]) ?? "otlp";
    const endpoint = given(env[`OTEL_EXPORTER_OTLP_${kind}_ENDPOINT`]) ?? given(env.OTEL_EXPORTER_OTLP_ENDPOINT);
    return on && endpoint !== undefined && exporter.split(",").some((one) => one.trim() === "otlp");
  };
  const interval = Number(given(env.OTEL_METRIC_EXPORT_INTERVAL));
  return {
    traces: sends("TRACES"),
    metrics: sends("METRICS"),
    keepMetrics: name.keepMetrics === true,
    samplerGiven: given(env.OTEL_TRACES_SAMPLER) !== undefined,
    metricIntervalMs: Number.isFinite(interval) && interval > 0 ? interval : INTERVAL_MS,
    resource: resourceOf(env, name),
  };
}

/** What the variables say, then what only this process knows. */
function resourceOf(env: Environment, { role, id, version }: ProcessName): Attributes {
  const told: Record<string, string> = {};
  for (const pair of (env.OTEL_RESOURCE_ATTRIBUTES ?? "").split(",")) {
    const at = pair.indexOf("=");
    if (at > 0) told[pair.slice(0, at).trim()] = decoded(pair.slice(at + 1).trim());
  }
  return {
    "service.name": DEFAULT_NAME,
    ...(version === undefined ? {} : { "service.version": version }),
    ...told,
    ...(given(env.OTEL_SERVICE_NAME) === undefined ? {} : { "service.name": env.OTEL_SERVICE_NAME! }),
    "service.instance.id": id,
    "millrace.role": role,
    "process.pid": process.pid,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** An empty variable is as good as none. */
function given(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === "" ? undefined : text.trim();
}

/** Of what a process is made with: its ports know its telemetry. */
export interface ProcessTelemetry {
  readonly ports: Ports;
  /** undefined: it keeps no metrics. */
  readonly metrics: OpenTelemetry["metrics"] | undefined;
  close(): Promise<void>;
}

export async function withTelemetry(ports: Ports, env: Environment, name: ProcessName): Promise<ProcessTelemetry> {
  const settings = telemetrySettings(env, name);
  const { traces, metrics, keepMetrics } = settings;
  if (!traces && !metrics && !keepMetrics) {
    return { ports: { ...ports, telemetry: noTelemetry }, metrics: undefined, close: async () => {} };
  }
  const { openTelemetry } = await import("../telemetry/open.js");
  const opened = await openTelemetry(settings, ports);
  const stop = observeProcess(opened.telemetry);
  return {
    ports: { ...ports, telemetry: opened.telemetry },
    metrics: opened.metrics,
    async close() {
      const closed = await opened.close();
      stop();
      // Tries that are under way must not keep a process that has nothing else to do.
      if (!closed) setTimeout(() => process.exit(), GIVEN_UP_MS).unref();
    },
  };
}

/** For `GET /metrics`. */
export async function metricsText({ metrics }: Pick<ProcessTelemetry, "metrics">, ports: Ports): Promise<string> {
  if (metrics === undefined) return "";
  const { prometheusText } = await import("../telemetry/prometheus.js");
  return prometheusText(metrics, ports.clock);
}

/** @returns how to stop */
function observeProcess(telemetry: Telemetry): () => void {
  if (!telemetry.on) return () => {};
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const seconds = (nanoseconds: number) => (Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
  telemetry.observe(METRICS.eventLoopDelayP50, {}, () => seconds(delay.percentile(50)));
  telemetry.observe(METRICS.eventLoopDelayP99, {}, () => seconds(delay.percentile(99)));
  // The last of the three that is read: the next look begins anew.
  telemetry.observe(METRICS.eventLoopDelayMax, {}, () => {
    const max = seconds(delay.max);
    delay.reset();
    return max;
  });
  let before = performance.eventLoopUtilization();
  telemetry.observe(METRICS.eventLoopUtilization, {}, () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return Number.isFinite(utilization) ? utilization : 0;
  });
  telemetry.observe(METRICS.cpuTime, { "cpu.mode": "user" }, () => process.cpuUsage().user / 1e6);
  telemetry.observe(METRICS.cpuTime, { "cpu.mode": "system" }, () => process.cpuUsage().system / 1e6);
  telemetry.observe(METRICS.memoryUsage, {}, () => process.memoryUsage.rss());
  telemetry.observe(METRICS.heapUsed, {}, () => process.memoryUsage().heapUsed);
  return () => delay.disable();
}
