import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { RegionTelemetry } from "../../../src/coordinator/region-telemetry.js";
import type { RegionRecord } from "../../../src/wire/stored.js";
import { Told } from "../telemetry/told.js";

const record = (kind: RegionRecord["kind"], number: bigint, ...sizes: bigint[]) =>
  ({ kind, number, actors: sizes.map((sizeBytes) => ({ sizeBytes })) }) as unknown as RegionRecord;

describe("coordinator/region-telemetry: checkpoints and restarts", () => {
  let told: Told;
  let regions: RegionTelemetry;
  let nowMs = 0;
  beforeEach(() => {
    told = new Told();
    const ports = realPorts();
    const clock = { ...ports.clock, monotonicMs: () => nowMs };
    regions = new RegionTelemetry({ ...ports, clock, telemetry: told.telemetry });
  });

  it("a commit is told with its size, and its time since the trigger", () => {
    nowMs = 1_000;
    regions.opened("j", "r", 7n);
    nowMs = 1_250;
    regions.recorded("j", "r", record("COMMIT", 7n, 40n, 2n));
    assert.deepEqual(told.total("checkpointDuration"), [0.25, 1]);
    assert.deepEqual(told.total("checkpointSize"), [42, 1]);
    const { ended, attributes } = told.named("checkpoint");
    assert.deepEqual(ended, ["", 1_250]);
    assert.deepEqual(attributes["millrace.bytes"], 42);
  });

  it("hosts are told the span of the checkpoint that is open, and of no other", () => {
    regions.opened("j", "r", 7n);
    assert.equal(regions.traceOf("j", "r", 7n), told.named("checkpoint").traceparent);
    assert.deepEqual([regions.traceOf("j", "r", 6n), regions.traceOf("j", "other", 7n)], ["", ""]);
    regions.recorded("j", "r", record("COMMIT", 7n, 1n));
    assert.equal(regions.traceOf("j", "r", 7n), "");
  });

  it("one that was given up is told as such, and a record of another leader is not ours", () => {
    regions.opened("j", "r", 7n);
    regions.recorded("j", "r", record("COMMIT", 6n, 1n));
    regions.recorded("j", "r", record("FENCE", 7n));
    assert.deepEqual(told.total("checkpointDuration"), [0, 0]);
    assert.equal(told.named("checkpoint").ended![0], "GIVEN_UP");
  });

  it("a hundred jobs whose checkpoints are open at once are all remembered", () => {
    const jobs = Array.from({ length: 100 }, (_, i) => `job-${i}`);
    for (const job of jobs) regions.opened(job, "r", 1n);
    assert.deepEqual(
      jobs.filter((job) => regions.traceOf(job, "r", 1n) === ""),
      [],
    );
  });

  it("restarts are counted; of many jobs the oldest are forgotten, told once more before", () => {
    regions.opened("j", "r", 1n);
    assert.equal(told.total("restarts"), 0);
    regions.restarted("j", "r");
    assert.equal(told.total("restarts"), 1);
    for (let i = 0; i < limits.telemetryJobsMax; i++) regions.opened(`later-${i}`, "r", 1n);
    const jobs = () => told.registry.collect()[0]!.points.map(({ attributes }) => attributes["millrace.job"]);
    assert.equal(jobs().length, limits.telemetryJobsMax + 1);
    assert.deepEqual([jobs().length, jobs().includes("j")], [limits.telemetryJobsMax, false]);
  });
});
