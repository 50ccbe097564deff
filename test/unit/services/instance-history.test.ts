import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { clusterSubjects } from "../../../src/bus/subjects.js";
import { type InstanceHistory, instanceHistoryFrame } from "../../../src/wire/control.js";
import { Bench, namespace, type Parts } from "./instance-bench.js";

async function withHistories(parts: Parts = {}): Promise<{ bench: Bench; told: InstanceHistory[] }> {
  const bench = new Bench(parts);
  const told: InstanceHistory[] = [];
  await bench.bus.subscribe(clusterSubjects(namespace).coordinatorReport, ({ payload }) => {
    told.push(instanceHistoryFrame.decode(payload).header);
  });
  return { bench, told };
}

const statesOf = (history: InstanceHistory | undefined) => history?.transitions.map(({ state }) => state);

describe("services/instance: what it tells the coordinator of its life (N12)", () => {
  it("every state with its time and reason, on every change, and again on the heartbeat", async () => {
    const { bench, told } = await withHistories();
    await bench.instance.start();
    await bench.clock.settle();
    assert.deepEqual(told.map(statesOf), [["LOADING"], ["LOADING", "WARMING"], ["LOADING", "WARMING", "READY"]]);
    assert.deepEqual(
      told.at(-1)!.transitions.map(({ reason }) => reason),
      ["", "loaded in 0 ms", "warmed in 0 ms"],
    );
    assert.ok(told.at(-1)!.transitions.every(({ enteredMs }) => enteredMs > 0n));
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.deepEqual(told.length, 4);
    await bench.instance.drain();
    await bench.clock.settle();
    assert.deepEqual(statesOf(told.at(-1)), ["LOADING", "WARMING", "READY", "DRAINING", "STOPPED"]);
  });

  it("a failed load with the model's own error and code", async () => {
    const error = new MillraceError("MILL_MODEL_CORRUPT", "weights.bin has no header");
    const { bench, told } = await withHistories({ load: () => Promise.reject(error) });
    await assert.rejects(bench.instance.start());
    await bench.clock.settle();
    const { state, code, reason } = told.at(-1)!.transitions.at(-1)!;
    assert.deepEqual([state, code], ["FAILED", "MILL_MODEL_CORRUPT"]);
    assert.match(reason, /weights\.bin has no header/);
  });
});
