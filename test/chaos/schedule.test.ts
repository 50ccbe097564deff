import assert from "node:assert/strict";
import { compareRows } from "./compare.js";
import { drawSchedule, KINDS } from "./schedule.js";

describe("chaos/schedule: what a seed comes to", () => {
  it("is the same list for the same seed, and another for another (D1)", () => {
    assert.deepEqual(drawSchedule(7, 20), drawSchedule(7, 20));
    assert.notDeepEqual(drawSchedule(7, 20), drawSchedule(8, 20));
  });

  it("has every kind before any comes twice (D2)", () => {
    for (let seed = 1; seed <= 20; seed++) {
      const kinds = drawSchedule(seed, 2 * KINDS.length).map(({ kind }) => kind);
      assert.deepEqual(kinds.slice(0, KINDS.length).sort(), [...KINDS].sort());
      assert.deepEqual(kinds.slice(KINDS.length).sort(), [...KINDS].sort());
    }
  });
});

describe("chaos/compare: rows of two runs", () => {
  it("counts a row that is missing as lost, once for each time", () => {
    assert.deepEqual(compareRows(["a", "a", "b"], ["b"]), { lost: ["a", "a"], doubled: [] });
  });

  it("counts a row that comes again, or was never expected, as doubled", () => {
    assert.deepEqual(compareRows(["a", "b"], ["b", "a", "a", "c"]), { lost: [], doubled: ["a", "c"] });
  });
});
