import assert from "node:assert/strict";
import { METRICS } from "../../../src/base/metrics.js";
import { realClock } from "../../../src/base/real/ports.js";
import { prometheusText } from "../../../src/telemetry/prometheus.js";
import { Registry } from "../../../src/telemetry/registry.js";

describe("telemetry/prometheus: metrics as text", () => {
  it("has each series once, in the names of Prometheus, with unit and kind", async () => {
    const registry = new Registry();
    const named = { "millrace.job": "j", "millrace.region": "r" };
    registry.counter(METRICS.restarts, named).add(2);
    registry.histogram(METRICS.checkpointDuration, named).record(0.3);
    registry.counter(METRICS.busBytes, {}).add(7);
    registry.observe(METRICS.memoryUsage, {}, () => 1_024);
    const lines = (await prometheusText(registry, realClock)).split("\n");
    for (const line of [
      "# TYPE millrace_region_restarts_total counter",
      'millrace_region_restarts_total{millrace_job="j",millrace_region="r"} 2',
      'millrace_checkpoint_duration_seconds_count{millrace_job="j",millrace_region="r"} 1',
      'millrace_checkpoint_duration_seconds_bucket{millrace_job="j",millrace_region="r",le="0.25"} 0',
      'millrace_checkpoint_duration_seconds_bucket{millrace_job="j",millrace_region="r",le="0.5"} 1',
      "process_memory_usage_bytes 1024",
      "millrace_bus_bytes_total 7",
    ]) {
      assert.equal(lines.filter((one) => one === line).length, 1, `${line}\n${lines.join("\n")}`);
    }
  });
});
