import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { clusterSubjects } from "../../../src/bus/subjects.js";
import type { CallContext } from "../../../src/topology/service.js";
import { type InstanceHistory, instanceHistoryFrame } from "../../../src/wire/control.js";
import { Bench, doubles, namespace, type Parts, valuesOf } from "./instance-bench.js";

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

  it("what it has done: calls, rows, errors, the times of calls and what waits there", async () => {
    let waits = Promise.resolve();
    const infer = async (batch: RecordBatch, { signal }: CallContext) => {
      await waits;
      signal.throwIfAborted();
      if (valuesOf(batch).includes(13)) throw new MillraceError("MILL_SERVICE_FAILED", "13 cannot be doubled");
      return doubles(batch);
    };
    const { bench, told } = await withHistories({ infer, batch: { rowsMax: 2 } });
    await bench.ready();
    assert.equal(told[0]!.work, null);
    const sleep = () => {
      waits = bench.clock.sleep(40);
    };
    sleep();
    bench.send([1, 2]);
    await bench.clock.advance(50);
    bench.send([13]);
    await bench.clock.advance(50);
    waits = new Promise(() => {});
    bench.send([3, 4]);
    bench.send([5]);
    await bench.clock.advance(limits.heartbeatIntervalMs);
    const { callMsP50, callMsP99, ...work } = told.at(-1)!.work!;
    assert.deepEqual(work, { requests: 2, calls: 2n, rows: 3n, errors: 1n, batchRowsMean: 2 });
    assert.ok(callMsP50 >= 40 && callMsP99 <= 45, `${callMsP50} and ${callMsP99} for 40 ms`);
  });
});
