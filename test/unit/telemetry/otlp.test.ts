import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { METRICS } from "../../../src/base/metrics.js";
import type { Log } from "../../../src/base/ports.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { openTelemetry } from "../../../src/telemetry/open.js";
import { OtlpReceiver } from "../../servers/otlp.js";

const NAMES = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"];

describe("telemetry/otlp: what is sent", () => {
  let receiver: OtlpReceiver;
  before(async () => {
    receiver = await OtlpReceiver.start();
  });
  after(() => receiver.stop());
  afterEach(() => {
    for (const name of NAMES) delete process.env[name];
  });

  function open(about: { readonly url?: string; readonly samplerGiven?: boolean; readonly log?: Log } = {}) {
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = about.url ?? receiver.url;
    const settings = { traces: true, metrics: true, keepMetrics: false, metricIntervalMs: 60_000, resource: {} };
    const samplerGiven = about.samplerGiven ?? false;
    return openTelemetry({ ...settings, samplerGiven }, realPorts(about.log));
  }

  it("one trace in a hundred, where the variables name no sampler", async () => {
    const opened = await open();
    let recorded = 0;
    for (let i = 0; i < 20_000; i++) if (opened.telemetry.root("batch") !== undefined) recorded += 1;
    await opened.close();
    // 200 expected; beyond these bounds once in 10^12 runs.
    assert.ok(recorded > 100 && recorded < 310, `${recorded} of 20,000`);
  });

  it("all traces, where the variables name that sampler; what is left goes out at the end, metrics too (E2)", async () => {
    process.env.OTEL_TRACES_SAMPLER = "always_on";
    const opened = await open({ samplerGiven: true });
    for (let i = 0; i < 20; i++) opened.telemetry.root(`last-${i}`)!.end();
    opened.telemetry.counter(METRICS.deadLetters, { "millrace.operator": "o" }).add(3);
    await opened.close();
    assert.equal(receiver.spans.filter(({ name }) => name.startsWith("last-")).length, 20);
    const sent = receiver.metrics.filter(({ name }) => name === METRICS.deadLetters.name);
    assert.deepEqual(sent[0]!.points, [{ attributes: { "millrace.operator": "o" }, value: 3 }]);
  });

  it("is given up after a short while where nobody takes it, with one line in the log (E1, E2)", async function () {
    this.timeout(20_000);
    const gone = await OtlpReceiver.start();
    const { url } = gone;
    await gone.stop();
    const lines: string[] = [];
    const log: Log = { ...silentLog, warn: (message) => lines.push(message) };
    process.env.OTEL_TRACES_SAMPLER = "always_on";
    const opened = await open({ url, samplerGiven: true, log });
    for (let i = 0; i < 5_000; i++) opened.telemetry.root("unheard")!.end();
    const startMs = performance.now();
    await opened.close();
    assert.ok(performance.now() - startMs < limits.telemetryFlushMs + 5_000);
    assert.ok(lines.length <= 1, lines.join("\n"));
  });
});
