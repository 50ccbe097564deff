/** Opens what a process keeps of traces and metrics, and where it sends them. */
import type { Ports } from "../base/ports.js";
import { noTelemetry, type Telemetry } from "../base/telemetry.js";
import type { OtlpSettings } from "./otlp.js";
import { Registry } from "./registry.js";
import { ProcessTelemetry } from "./telemetry.js";

export interface TelemetrySettings extends OtlpSettings {
  /** Metrics are kept also where they are not sent: somebody may ask for them. */
  readonly keepMetrics: boolean;
}

export interface OpenTelemetry {
  readonly telemetry: Telemetry;
  /** For `prometheusText`. */
  readonly metrics: Registry;
  /** Sends what is left, for a short while. @returns false: it was given up, and tries of it may still be under way */
  close(): Promise<boolean>;
}

export async function openTelemetry(
  settings: TelemetrySettings,
  ports: Pick<Ports, "clock" | "log" | "random">,
): Promise<OpenTelemetry> {
  const { traces, metrics: sent, keepMetrics } = settings;
  const metrics = new Registry();
  if (!traces && !sent) {
    const telemetry = keepMetrics ? new ProcessTelemetry(metrics, undefined) : noTelemetry;
    return { telemetry, metrics, close: async () => true };
  }
  const { openOtlp } = await import("./otlp.js");
  const otlp = openOtlp(settings, metrics, ports);
  return { telemetry: new ProcessTelemetry(metrics, otlp.tracer), metrics, close: () => otlp.close() };
}
