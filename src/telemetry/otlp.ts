/**
 * Sends traces and metrics by OTLP over HTTP. Where to, with which headers, how long to try and how much to keep is what the
 * standard variables say: the packages read them. Only the command line imports this, and only when there is somewhere to send to.
 *
 * Invariants:
 *   E1  A receiver that is away or slow costs memory up to the bounds of the SDK (2,048 spans by default; metrics are sent as they
 *       stand) and a line in the log from time to time, nothing else.
 *   E2  `close` sends what is left, and gives up after `limits.telemetryFlushMs`.
 */
import { type DiagLogger, DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { AlwaysOnSampler, BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { limits } from "../base/limits.js";
import type { Log, Ports } from "../base/ports.js";
import type { Attributes } from "../base/telemetry.js";
import { RegistryProducer, SCOPE } from "./metric-data.js";
import type { Registry } from "./registry.js";
import { SpanTracer } from "./spans.js";
import type { Tracer } from "./telemetry.js";

/** Of a thousand batches of a source, ten: enough to see where time goes, and too few to cost any. */
export const SAMPLED_RATIO = 0.01;

export interface OtlpSettings {
  readonly traces: boolean;
  readonly metrics: boolean;
  /** The sampler is what the standard variables say; false: they say nothing. */
  readonly samplerGiven: boolean;
  readonly metricIntervalMs: number;
  readonly resource: Attributes;
}

export interface Otlp {
  readonly tracer: Tracer | undefined;
  /** @returns false: it was given up, and the packages may go on trying for as long as they are let */
  close(): Promise<boolean>;
}

export function openOtlp(
  settings: OtlpSettings,
  registry: Registry,
  { clock, log, random }: Pick<Ports, "clock" | "log" | "random">,
): Otlp {
  diag.setLogger(diagnostics(log, clock), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const resource = resourceFromAttributes(settings.resource);
  const closing: (() => Promise<void>)[] = [];
  let tracer: Tracer | undefined;
  if (settings.traces) {
    const { samplerGiven } = settings;
    const provider = new BasicTracerProvider({
      resource,
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
      ...(samplerGiven ? {} : { sampler: new AlwaysOnSampler() }), // of what begins, and of what goes on
    });
    tracer = new SpanTracer(provider.getTracer(SCOPE.name), clock, () => samplerGiven || random.next() < SAMPLED_RATIO);
    closing.push(() => provider.shutdown());
  }
  if (settings.metrics) {
    const reader = new PeriodicExportingMetricReader({
      exporter: new OTLPMetricExporter(),
      exportIntervalMillis: settings.metricIntervalMs,
      exportTimeoutMillis: Math.min(settings.metricIntervalMs, limits.telemetryExportTimeoutMs),
      metricProducers: [new RegistryProducer(registry, clock)],
    });
    const provider = new MeterProvider({ resource, readers: [reader] });
    closing.push(() => provider.shutdown());
  }
  return {
    tracer,
    // E2
    async close() {
      const all = Promise.allSettled(closing.map((close) => close())).then(() => true);
      const late = new AbortController();
      const never = () => false;
      const ended = await Promise.race([all, clock.sleep(limits.telemetryFlushMs, late.signal).then(never, never)]);
      late.abort();
      return ended;
    },
  };
}

/** E1. What the packages complain about; the same again and again while a receiver is away. */
function diagnostics(log: Log, clock: Pick<Ports["clock"], "monotonicMs">): DiagLogger {
  let saidMs = Number.NEGATIVE_INFINITY;
  const complain = (message: string, ...about: unknown[]): void => {
    const nowMs = clock.monotonicMs();
    if (nowMs - saidMs < limits.telemetryComplaintMs) return;
    saidMs = nowMs;
    log.warn("telemetry could not be sent; the job goes on", { message: [message, ...about.map(textOf)].join(" ") });
  };
  const silent = () => {};
  return { error: complain, warn: complain, info: silent, debug: silent, verbose: silent };
}

function textOf(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}
