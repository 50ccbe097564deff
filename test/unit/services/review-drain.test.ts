import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { Bench } from "./instance-bench.js";

describe("services/instance: a call that goes on after the instance has stopped", () => {
  it("is not told as hung any more: the instance stays STOPPED (N5)", async () => {
    const bench = await new Bench({ infer: () => new Promise(() => {}) }).ready();
    bench.send([1]);
    await bench.clock.settle();
    const drained = bench.instance.drain();
    await bench.clock.advance(limits.drainCallsMs + 1);
    await drained;
    await bench.clock.advance(limits.callHungMs + 1);
    assert.equal(bench.instance.state, "STOPPED");
    assert.deepEqual(bench.hung, []);
  });
});

describe("services/desk: requests that wait for others' rows", () => {
  it("are not begun after their time, and are answered once (N2)", async () => {
    let end = () => {};
    const bench = await new Bench({
      infer: (rows) => new Promise((resolve) => (end = () => resolve(rows.slice(0, 0) as never))),
    }).ready();
    bench.send([1], { rowIds: "a" });
    await bench.clock.settle();
    const second = bench.send([1], { rowIds: "a", timeoutMs: 100 });
    await bench.clock.advance(200);
    end();
    await bench.clock.settle();
    assert.equal(bench.answer(second).header.status, "EXPIRED");
  });

  it("go on when the one they wait for is cancelled and its call fails (N7, N8)", async () => {
    const bench = await new Bench({
      infer: (_, { signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error))),
    }).ready();
    const first = bench.send([1], { rowIds: "a" });
    await bench.clock.settle();
    bench.send([1], { rowIds: "a", client: "client-2" });
    await bench.clock.settle();
    bench.cancel(first);
    await bench.clock.settle();
    assert.equal(bench.calls.length, 2);
  });
});
