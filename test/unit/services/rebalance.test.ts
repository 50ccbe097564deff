import assert from "node:assert/strict";
import fc from "fast-check";
import { type QueueLoad, rowsToReturn } from "../../../src/services/rebalance.js";

const load = (queuedRows: number, rowMs = 10, ready = true): QueueLoad => ({ queuedRows, rowMs, ready });

describe("services/rebalance: how much an instance gives back", () => {
  it("all but its share, when one becomes READY beside it (B3)", () => {
    assert.equal(rowsToReturn(load(1_000), [load(0, 0)], 8), 500);
    assert.equal(rowsToReturn(load(500), [load(500), load(0, 0)], 8), 166);
  });

  it("in proportion to speed (B1)", () => {
    assert.equal(rowsToReturn(load(100, 40), [load(0, 10)], 1), 80);
  });

  it("nothing to those that are not READY, and nothing alone (B1)", () => {
    assert.equal(rowsToReturn(load(1_000), [load(0, 10, false)], 8), 0);
    assert.equal(rowsToReturn(load(1_000), [], 8), 0);
  });

  it("nothing for the sake of one call, or of a small difference (B2)", () => {
    assert.equal(rowsToReturn(load(16), [load(0)], 8), 0);
    assert.equal(rowsToReturn(load(1_000), [load(700)], 8), 0);
  });

  it("what all give back fills up the others, and never more (B3)", () => {
    const loads = fc.array(
      fc.record({ queuedRows: fc.nat(1_000), rowMs: fc.constantFrom(0, 1, 5, 20), ready: fc.boolean() }),
      { minLength: 1, maxLength: 8 },
    );
    fc.assert(
      fc.property(loads, (all) => {
        const ready = all.filter((one) => one.ready);
        const given = ready.map((own) =>
          rowsToReturn(
            own,
            all.filter((one) => one !== own),
            1,
          ),
        );
        for (const [i, rows] of given.entries()) assert.ok(rows >= 0 && rows <= ready[i]!.queuedRows);
        // Who gives has more than its share of the queue, so not all can.
        assert.ok(ready.length === 0 || given.some((rows) => rows === 0));
      }),
    );
  });
});
