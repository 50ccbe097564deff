/** A process's metrics as Prometheus reads them, for `GET /metrics`. The packages are loaded when it is first asked. */
import type { Clock } from "../base/ports.js";
import type { Registry } from "./registry.js";

export async function prometheusText(registry: Registry, clock: Clock): Promise<string> {
  const [{ PrometheusSerializer }, { RegistryProducer }] = await Promise.all([
    import("@opentelemetry/exporter-prometheus"),
    import("./metric-data.js"),
  ]);
  const { resourceMetrics } = await new RegistryProducer(registry, clock).collect();
  // No prefix, no timestamps (whoever scrapes knows when), nothing of resource and scope: the scraper names its target.
  return new PrometheusSerializer(undefined, false, undefined, true, true).serialize(resourceMetrics);
}
