import assert from "node:assert/strict";
import fc from "fast-check";
import { BatchSize } from "../../../src/services/batch-size.js";

describe("services/batch-size: how many rows a call may hold", () => {
  it("is what was declared, without a target", () => {
    const size = new BatchSize(32, 0);
    size.took(32, 10_000);
    assert.equal(size.rows, 32);
  });

  it("comes down to the target in one step, and grows again while full calls stay within it (Z3)", () => {
    const size = new BatchSize(64, 100);
    size.took(64, 400);
    assert.equal(size.rows, 16);
    size.took(4, 10);
    assert.equal(size.rows, 16, "a small call says nothing of a full one");
    size.took(16, 90);
    assert.equal(size.rows, 18);
  });

  it("settles where calls last as long as the target: 1 ms a row and 5 ms a call, 50 ms", () => {
    const size = new BatchSize(1_000, 50);
    for (let i = 0; i < 100; i++) size.took(size.rows, 5 + size.rows);
    assert.ok(size.rows >= 38 && size.rows <= 50, `${size.rows} rows`);
  });

  it("halves what was too much for the memory, and never tries that again (Z2)", () => {
    const size = new BatchSize(64, 1_000);
    size.ranOutOfMemory(64);
    assert.equal(size.rows, 32);
    for (let i = 0; i < 100; i++) size.took(size.rows, 1);
    assert.equal(size.rows, 63);
    size.ranOutOfMemory(40);
    for (let i = 0; i < 100; i++) size.took(size.rows, 1);
    assert.equal(size.rows, 39);
  });

  it("stays between 1 and rowsMax, below all that ran out of memory, whatever happens (Z1, Z2)", () => {
    const event = fc.record({ rows: fc.integer({ min: 1, max: 100 }), ms: fc.nat(1_000), memory: fc.boolean() });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100 }), fc.nat(100), fc.array(event), (rowsMax, target, events) => {
        const size = new BatchSize(rowsMax, target);
        let tooMuch = rowsMax + 1;
        for (const { rows, ms, memory } of events) {
          if (memory) size.ranOutOfMemory(rows);
          else size.took(rows, ms);
          if (memory) tooMuch = Math.min(tooMuch, rows);
          assert.ok(size.rows >= 1 && size.rows <= rowsMax);
          assert.ok(size.rows < tooMuch || size.rows === 1);
        }
      }),
    );
  });
});
