import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { packageRoot } from "../../../src/cli/packages.js";
import { telemetrySettings } from "../../../src/cli/telemetry.js";

const host = { role: "host", id: "host-1" } as const;
const at = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
const sent = (env: Record<string, string>) => {
  const { traces, metrics } = telemetrySettings(env, host);
  return { traces, metrics };
};

describe("cli/telemetry: what the standard variables say", () => {
  it("nothing is sent where none names a receiver, or an empty one", () => {
    assert.deepEqual(sent({}), { traces: false, metrics: false });
    assert.deepEqual(sent({ OTEL_EXPORTER_OTLP_ENDPOINT: " " }), { traces: false, metrics: false });
    assert.deepEqual(sent({ OTEL_TRACES_SAMPLER: "always_on" }), { traces: false, metrics: false });
  });

  it("both are sent to one receiver, or each to its own", () => {
    assert.deepEqual(sent(at), { traces: true, metrics: true });
    assert.deepEqual(sent({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://t" }), { traces: true, metrics: false });
    assert.deepEqual(sent({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://m" }), { traces: false, metrics: true });
  });

  it("either can be left out, and all of it", () => {
    assert.deepEqual(sent({ ...at, OTEL_TRACES_EXPORTER: "none" }), { traces: false, metrics: true });
    assert.deepEqual(sent({ ...at, OTEL_METRICS_EXPORTER: "none" }), { traces: true, metrics: false });
    assert.deepEqual(sent({ ...at, OTEL_METRICS_EXPORTER: "prometheus, otlp" }), { traces: true, metrics: true });
    assert.deepEqual(sent({ ...at, OTEL_SDK_DISABLED: "TRUE" }), { traces: false, metrics: false });
  });

  it("the resource is what they say, but who this process is, it knows itself", () => {
    const told = "team=pages%20and%20words,service.name=a,service.instance.id=x,broken=%zz";
    const env = { ...at, OTEL_RESOURCE_ATTRIBUTES: told, OTEL_SERVICE_NAME: "b" };
    const { resource } = telemetrySettings(env, { ...host, version: "1.2.3" });
    assert.deepEqual(resource, {
      "service.name": "b",
      "service.version": "1.2.3",
      "service.instance.id": "host-1",
      "millrace.role": "host",
      "process.pid": process.pid,
      team: "pages and words",
      broken: "%zz",
    });
    assert.equal(telemetrySettings({}, host).resource["service.name"], "millrace");
  });

  it("the interval is in milliseconds; what is no interval is the default", () => {
    const interval = (text: string) => telemetrySettings({ OTEL_METRIC_EXPORT_INTERVAL: text }, host).metricIntervalMs;
    assert.deepEqual(["500", "", "often", "-1"].map(interval), [500, 60_000, 60_000, 60_000]);
  });

  it("no package of OpenTelemetry is loaded where nothing is sent, and metrics are kept without one", () => {
    const file = join(packageRoot, "dist", "src", "cli", "telemetry.js");
    const program = `
      import { createRequire } from "node:module";
      import { realPorts } from "${join(packageRoot, "dist/src/base/real/ports.js")}";
      import { withTelemetry } from "${file}";
      const env = { ...process.env, OTEL_EXPORTER_OTLP_ENDPOINT: process.env.AT ?? "" };
      const opened = await withTelemetry(realPorts(), env, { role: "coordinator", id: "c", keepMetrics: true });
      const loaded = Object.keys(createRequire("${file}").cache).filter((path) => path.includes("@opentelemetry"));
      process.stdout.write(JSON.stringify({ loaded: loaded.length, metrics: opened.metrics.collect().length }));
      process.exit();
    `;
    const said = (env: Record<string, string>) => {
      const args = ["--input-type=module", "-e", program];
      const { stdout, stderr } = spawnSync(process.execPath, args, {
        env: { ...process.env, ...env },
        encoding: "utf8",
      });
      assert.notEqual(stdout, "", stderr);
      return JSON.parse(stdout) as { loaded: number; metrics: number };
    };
    const silent = said({});
    assert.equal(silent.loaded, 0);
    assert.ok(silent.metrics > 0);
    assert.ok(said({ AT: "http://127.0.0.1:9" }).loaded > 0, "what is looked for would be found");
  });
});
