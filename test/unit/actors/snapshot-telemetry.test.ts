import assert from "node:assert/strict";
import { SnapshotTelemetry } from "../../../src/actors/snapshot-telemetry.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { Told } from "../telemetry/told.js";

describe("actors/snapshot-telemetry: snapshots below their checkpoint", () => {
  let told: Told;
  let snapshots: SnapshotTelemetry;
  let nowMs = 0;
  beforeEach(() => {
    told = new Told();
    const ports = realPorts();
    const clock = { ...ports.clock, monotonicMs: () => nowMs };
    snapshots = new SnapshotTelemetry({ clock, telemetry: told.telemetry }, "texts-0");
  });

  /** From 100 over 130 to 170. */
  function takeSnapshot(checkpoint: bigint, code = ""): void {
    nowMs = 100;
    const one = snapshots.begun(checkpoint);
    nowMs = 130;
    one.encoded(42);
    nowMs = 170;
    one.ended(code);
  }

  const times = (name: string) => {
    const { parent, about, ended } = told.named(name);
    return [parent, about.startMs, ended![1]];
  };

  it("one that is traced has a span from its cut to its end, and in it one to encode and one to write", () => {
    snapshots.asked(7n, "the checkpoint");
    takeSnapshot(7n);
    const { traceparent, attributes } = told.named("snapshot");
    assert.deepEqual(times("snapshot"), ["the checkpoint", 100, 170]);
    assert.deepEqual(attributes, { "millrace.actor": "texts-0", "millrace.checkpoint": 7, "millrace.bytes": 42 });
    assert.deepEqual(times("encode snapshot"), [traceparent, 100, 130]);
    assert.deepEqual(times("write snapshot"), [traceparent, 130, 170]);
  });

  it("a barrier that overtakes the coordinator's word does not lose it: what was measured waits for the word", () => {
    takeSnapshot(7n);
    assert.deepEqual(told.spans, []);
    snapshots.asked(7n, "the checkpoint");
    assert.deepEqual(times("write snapshot").slice(1), [130, 170]);
    snapshots.asked(7n, "the checkpoint");
    assert.equal(told.spans.length, 3, "asked again, it is told once");
  });

  it("is in no other checkpoint's trace, and in none where its own is not traced", () => {
    takeSnapshot(7n);
    snapshots.asked(8n, "the next checkpoint");
    takeSnapshot(7n);
    snapshots.asked(9n, "");
    takeSnapshot(9n);
    assert.deepEqual(told.spans, []);
  });

  it("one that could not be written says why, and is another span when it is written again", () => {
    snapshots.asked(7n, "the checkpoint");
    takeSnapshot(7n, "MILL_STORE_FAILED");
    assert.deepEqual(told.named("snapshot").ended, ["MILL_STORE_FAILED", 170]);
    nowMs = 500;
    const again = snapshots.begun(7n, 42);
    nowMs = 510;
    again.ended();
    const names = told.spans.slice(3).map(({ name, about, ended }) => [name, about.startMs, ended]);
    assert.deepEqual(names, [
      ["snapshot", 500, ["", 510]],
      ["write snapshot", 500, ["", 510]],
    ]);
  });
});
