/** A process's metrics as Prometheus reads them, for `GET /metrics`. The packages are loaded when it is first asked. */
import type { MetricData } from "@opentelemetry/sdk-metrics";
import type { Clock } from "../base/ports.js";
import type { Registry } from "./registry.js";

/** Prometheus has the unit in the name. The exporter for JavaScript leaves it out; collectors put it there, so dashboards look for it. */
const UNITS: Readonly<Record<string, string>> = { s: "seconds", By: "bytes", "1": "ratio" };

export async function prometheusText(registry: Registry, clock: Clock): Promise<string> {
  const [{ PrometheusSerializer }, { RegistryProducer }] = await Promise.all([
    import("@opentelemetry/exporter-prometheus"),
    import("./metric-data.js"),
  ]);
  const { resourceMetrics } = await new RegistryProducer(registry, clock).collect();
  const scopeMetrics = resourceMetrics.scopeMetrics.map(({ scope, metrics }) => ({
    scope,
    metrics: metrics.map(withUnit),
  }));
  // No prefix, no timestamps (whoever scrapes knows when), nothing of resource and scope: the scraper names its target.
  const serializer = new PrometheusSerializer(undefined, false, undefined, true, true);
  return serializer.serialize({ ...resourceMetrics, scopeMetrics });
}

function withUnit(data: MetricData): MetricData {
  const { name, unit } = data.descriptor;
  const suffix = UNITS[unit];
  if (suffix === undefined || name.endsWith(suffix)) return data;
  return { ...data, descriptor: { ...data.descriptor, name: `${name}.${suffix}` } };
}
