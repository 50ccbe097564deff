import assert from "node:assert/strict";
import fc from "fast-check";
import { placeGroups, placeInstance } from "../../../src/coordinator/placement.js";
import { worker } from "./job-facts.js";

const groups = (count: number, before = "") =>
  Array.from({ length: count }, (_, i) => ({ actors: [`read-${i}`, `count-${i}`], before }));
const NOTHING: ReadonlyMap<string, number> = new Map();

describe("coordinator/placement: which worker holds what", () => {
  it("spreads groups by cores, ties to the worker named first (X1, X2)", () => {
    const workers = [worker("w2", { cpus: 2 }), worker("w1", { cpus: 6 })];
    const placed = placeGroups(groups(8), workers, NOTHING)!;
    assert.deepEqual(
      [placed.filter((one) => one === "w1").length, placed.filter((one) => one === "w2").length],
      [6, 2],
    );
    assert.deepEqual(placeGroups(groups(2), [worker("b"), worker("a")], NOTHING), ["a", "b"]);
  });

  it("counts what a worker holds already (X2)", () => {
    const workers = [worker("a"), worker("b")];
    assert.deepEqual(placeGroups(groups(1), workers, new Map([["a", 4]])), ["b"]);
    assert.equal(placeInstance(workers, new Map([["a", 1]])), "b");
  });

  it("gives a draining worker nothing, and says when none takes anything (X3)", () => {
    const workers = [worker("a", { draining: true, cpus: 64 }), worker("b")];
    assert.deepEqual(placeGroups(groups(3, "a"), workers, NOTHING), ["b", "b", "b"]);
    assert.equal(placeInstance(workers, NOTHING), "b");
    for (const none of [[], [workers[0]!]]) {
      assert.equal(placeGroups(groups(1), none, NOTHING), undefined);
      assert.equal(placeInstance(none, NOTHING), undefined);
    }
  });

  it("leaves a group where it was, also where there is more to do, while that worker takes work (X4)", () => {
    assert.deepEqual(placeGroups(groups(2, "b"), [worker("a"), worker("b")], new Map([["b", 9]])), ["b", "b"]);
    assert.deepEqual(placeGroups(groups(1, "gone"), [worker("a"), worker("b")], NOTHING), ["a"]);
  });

  it("places every group on a worker that takes work, the same whatever order workers are named in (X2, X3)", () => {
    const workerFacts = fc.record({ cpus: fc.integer({ min: 0, max: 64 }), draining: fc.boolean() });
    fc.assert(
      fc.property(fc.array(workerFacts, { maxLength: 6 }), fc.integer({ min: 1, max: 30 }), (some, count) => {
        const workers = some.map((one, i) => ({ worker: `w${i}`, ...one }));
        const takers = workers.filter((one) => !one.draining).map((one) => one.worker);
        const placed = placeGroups(groups(count), workers, NOTHING);
        if (takers.length === 0) return assert.equal(placed, undefined);
        assert.equal(placed!.length, count);
        assert.ok(placed!.every((one) => takers.includes(one)));
        assert.deepEqual(placeGroups(groups(count), [...workers].reverse(), NOTHING), placed);
      }),
    );
  });
});
