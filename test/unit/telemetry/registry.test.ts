import assert from "node:assert/strict";
import type { Metric } from "../../../src/base/metrics.js";
import { METRICS } from "../../../src/base/metrics.js";
import { Registry } from "../../../src/telemetry/registry.js";
import { ProcessTelemetry } from "../../../src/telemetry/telemetry.js";

const rows: Metric = { name: "rows", unit: "{row}", kind: "counter", description: "", attributes: ["job", "operator"] };
const waits: Metric = { ...rows, name: "waits", unit: "s", kind: "histogram", bounds: [1, 10] };
const depth: Metric = { ...rows, name: "depth", kind: "gauge" };

function countOf(registry: Registry, metric: string, attributes: object) {
  const points = registry.collect().find((one) => one.metric.name === metric)?.points ?? [];
  return points.find((point) => JSON.stringify(point.attributes) === JSON.stringify(attributes))?.value;
}

describe("telemetry/registry: instruments of one process", () => {
  it("the same metric and attributes, in whatever order, are one series; others are others (Z1)", () => {
    const registry = new Registry();
    registry.counter(rows, { job: "a", operator: "x" }).add(2);
    registry.counter(rows, { operator: "x", job: "a" }).add(3);
    registry.counter(rows, { job: "b", operator: "x" }).add(7);
    assert.equal(countOf(registry, "rows", { job: "a", operator: "x" }), 5);
    assert.equal(countOf(registry, "rows", { job: "b", operator: "x" }), 7);
  });

  it("a histogram counts each value in the first bucket that it does not exceed", () => {
    const registry = new Registry();
    const histogram = registry.histogram(waits, {});
    for (const value of [0, 1, 1.5, 10, 11]) histogram.record(value);
    assert.deepEqual(countOf(registry, "waits", {}), {
      buckets: { boundaries: [1, 10], counts: [2, 2, 1] },
      ...{ sum: 23.5, count: 5, min: 0, max: 11 },
    });
  });

  it("what several observe of one series is added up, and a gauge forgets who has stopped", () => {
    const registry = new Registry();
    registry.observe(depth, {}, () => 4);
    const other = registry.observe(depth, {}, () => 3);
    assert.equal(countOf(registry, "depth", {}), 7);
    other.stop();
    assert.equal(countOf(registry, "depth", {}), 4);
  });

  it("a counter keeps what an observer had come to when it stopped: sums do not go back", () => {
    const registry = new Registry();
    const observed = registry.observe(rows, {}, () => 5);
    observed.stop();
    observed.stop();
    assert.equal(countOf(registry, "rows", {}), 5);
  });

  it("an instrument that nothing was added to is there (Z4)", () => {
    const registry = new Registry();
    registry.counter(rows, { job: "a" });
    registry.histogram(waits, {});
    assert.equal(countOf(registry, "rows", { job: "a" }), 0);
    assert.deepEqual(countOf(registry, "waits", {}), {
      buckets: { boundaries: [1, 10], counts: [0, 0, 0] },
      ...{ sum: 0, count: 0 },
    });
  });

  it("above its bound a metric counts what is left together (Z2)", () => {
    const registry = new Registry(3);
    for (const job of ["a", "b", "c", "d"]) registry.counter(rows, { job }).add(1);
    const points = registry.collect()[0]!.points;
    assert.equal(points.length, 3);
    assert.equal(countOf(registry, "rows", { "otel.metric.overflow": true }), 2);
    registry.counter(rows, { job: "a" }).add(1);
    assert.equal(countOf(registry, "rows", { job: "a" }), 2);
  });

  it("an attribute that the metric does not list is refused (Z3)", () => {
    assert.throws(() => new Registry().counter(rows, { row: 7 }), /no attribute row/);
  });

  it("what is forgotten is told once more, and makes room", () => {
    const registry = new Registry(3);
    registry.counter(rows, { job: "a", operator: "x" }).add(1);
    registry.counter(rows, { job: "b", operator: "x" }).add(1);
    registry.forget({ job: "a" });
    assert.equal(registry.collect()[0]!.points.length, 2);
    assert.deepEqual(
      registry.collect()[0]!.points.map(({ attributes }) => attributes),
      [{ job: "b", operator: "x" }],
    );
  });
});

describe("telemetry/telemetry: attributes in common", () => {
  it("go to the metrics that list them, and to no other", () => {
    const registry = new Registry();
    const telemetry = new ProcessTelemetry(registry, undefined).with({ "millrace.job": "j" });
    telemetry.counter(METRICS.operatorRowsIn, { "millrace.operator": "o" }).add(1);
    telemetry.counter(METRICS.busBytes, { "network.io.direction": "receive" }).add(1);
    const attributes = registry.collect().map(({ points }) => points[0]!.attributes);
    assert.deepEqual(attributes, [
      { "millrace.job": "j", "millrace.operator": "o" },
      { "network.io.direction": "receive" },
    ]);
  });
});
