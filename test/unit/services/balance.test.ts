import assert from "node:assert/strict";
import fc from "fast-check";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import {
  chooseInstance,
  expectedWaitMs,
  type InstanceView,
  outstandingMax,
  type Wish,
} from "../../../src/services/balance.js";

const view = (instance: string, about: Partial<InstanceView> = {}): InstanceView => ({
  instance: instance as InstanceId,
  state: "READY",
  reportedRows: 0,
  doneMs: 0,
  rowMs: 0,
  outstandingRows: 0,
  lastSent: 0,
  outstandingRowsMax: 4,
  ...about,
});
const choose = (views: InstanceView[], wish: Partial<Wish> = {}) =>
  chooseInstance(views, { rows: 1, affinity: "", ...wish }, () => 0.5);
const states = ["REQUESTED", "PROVISIONING", "LOADING", "WARMING", "READY", "DRAINING", "STOPPED", "FAILED"] as const;

describe("services/balance: which instance gets the next request", () => {
  it("only a READY instance with room is chosen, one of least expected wait, if there is any (L1, L2)", () => {
    const anyView: fc.Arbitrary<InstanceView> = fc.record({
      instance: fc.uuid().map((text) => text as InstanceId),
      state: fc.constantFrom(...states),
      reportedRows: fc.nat(50),
      doneMs: fc.constant(0),
      rowMs: fc.constantFrom(0, 0.5, 3, 200),
      outstandingRows: fc.nat(10),
      lastSent: fc.nat(5),
      outstandingRowsMax: fc.integer({ min: 1, max: 8 }),
    });
    fc.assert(
      fc.property(fc.array(anyView, { maxLength: 6 }), fc.integer({ min: 1, max: 8 }), (views, rows) => {
        const chosen = choose(views, { rows });
        const able = views.filter((one) => one.state === "READY" && one.outstandingRows < one.outstandingRowsMax);
        if (able.length === 0) return assert.equal(chosen, undefined);
        assert.ok(chosen !== undefined && able.includes(chosen));
        const waits = able.map((one) => expectedWaitMs(one, rows));
        assert.equal(expectedWaitMs(chosen, rows), Math.min(...waits));
      }),
    );
  });

  it("none is chosen while every READY one has its share of this client's rows (L2)", () => {
    assert.equal(choose([view("a", { outstandingRows: 4 }), view("b", { outstandingRows: 5 })]), undefined);
  });

  it("equal waits go to the one that has waited longest for work (L3)", () => {
    const chosen = choose([view("a", { lastSent: 3 }), view("b", { lastSent: 1 }), view("c", { lastSent: 2 })]);
    assert.equal(chosen?.instance, "b");
  });

  it("depth counts what others sent there, too: the larger of reported and own rows, and the request's, times the time per row", () => {
    assert.equal(expectedWaitMs(view("a", { reportedRows: 7, outstandingRows: 2, rowMs: 10 }), 1), 80);
    assert.equal(expectedWaitMs(view("a", { reportedRows: 1, outstandingRows: 2, rowMs: 10 }), 3), 50);
    assert.equal(expectedWaitMs(view("a", { reportedRows: 3 }), 1), 4);
  });

  it("what the running call has taken already is not waited for", () => {
    assert.equal(expectedWaitMs(view("a", { reportedRows: 2, rowMs: 10, doneMs: 7 }), 1), 23);
  });

  it("an idle slow one is passed over for a busy one that is fast enough", () => {
    const slow = view("slow", { rowMs: 40 });
    assert.equal(choose([slow, view("fast", { rowMs: 10, outstandingRows: 2 })])?.instance, "fast");
    assert.equal(choose([slow, view("fast", { rowMs: 10, outstandingRows: 4 })])?.instance, "slow");
  });

  it("of many the better of two drawn at random (L4)", () => {
    const many = Array.from({ length: limits.balanceAllMax + 1 }, (_, i) => view(`${i}`, { reportedRows: i }));
    const draws = [0.99, 0.5];
    const chosen = chooseInstance(many, { rows: 1, affinity: "" }, () => draws.shift()!);
    assert.equal(chosen?.instance, "8");
    const seen = new Set(
      Array.from({ length: 500 }, () => chooseInstance(many, { rows: 1, affinity: "" }, Math.random)?.instance),
    );
    assert.ok(seen.size > limits.balanceAllMax / 2, `${seen.size} chosen`);
    assert.ok(!seen.has(`${limits.balanceAllMax}` as InstanceId), "the worst of all is always the worse of two");
  });

  it("of equal affinity go to one instance, and most stay where they are when another comes (L5)", () => {
    const three = ["a", "b", "c"].map((name) => view(name, { rowMs: 1 }));
    const keys = Array.from({ length: 200 }, (_, i) => `key-${i}`);
    const where = (views: InstanceView[]) => keys.map((affinity) => choose(views, { affinity })!.instance);
    const before = where(three);
    assert.deepEqual(where([...three].reverse()), before);
    for (const name of ["a", "b", "c"])
      assert.ok(before.filter((one) => one === name).length > 30, `${name} has its share`);
    const after = where([...three, view("d", { rowMs: 1 })]);
    for (const [i, now] of after.entries()) if (now !== before[i]) assert.equal(now, "d");
  });

  it("an affinity is worth a short wait, and no long one (L5)", () => {
    const preferred = choose([view("a"), view("b")], { affinity: "key" })!.instance;
    const others = (reportedRows: number) =>
      ["a", "b"].map((name) => view(name, { rowMs: 100, reportedRows: name === preferred ? reportedRows : 0 }));
    assert.equal(choose(others(2), { affinity: "key" })!.instance, preferred);
    assert.notEqual(choose(others(3), { affinity: "key" })!.instance, preferred);
  });

  it("what may be outstanding: two calls, more where calls are short, and not without bound (L2)", () => {
    assert.equal(outstandingMax(4, 3, 0), 24);
    assert.equal(outstandingMax(4, 1, 500), 8);
    assert.equal(outstandingMax(1, 1, 0.5), 20);
    assert.equal(outstandingMax(1, 1, 0.001), limits.outstandingCallsMax);
  });
});
