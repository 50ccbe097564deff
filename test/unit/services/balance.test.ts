import assert from "node:assert/strict";
import fc from "fast-check";
import type { InstanceId } from "../../../src/base/ids.js";
import { chooseInstance, expectedWaitMs, type InstanceView } from "../../../src/services/balance.js";

const view = (instance: string, about: Partial<InstanceView> = {}): InstanceView => ({
  instance: instance as InstanceId,
  state: "READY",
  reportedRows: 0,
  rowMs: 0,
  outstandingRows: 0,
  lastSent: 0,
  ...about,
});
const states = ["REQUESTED", "PROVISIONING", "LOADING", "WARMING", "READY", "DRAINING", "STOPPED", "FAILED"] as const;

describe("services/balance: which instance gets the next request", () => {
  it("only a READY instance with room is chosen, one of least expected wait, if there is any (L1, L2)", () => {
    const anyView: fc.Arbitrary<InstanceView> = fc.record({
      instance: fc.uuid().map((text) => text as InstanceId),
      state: fc.constantFrom(...states),
      reportedRows: fc.nat(50),
      rowMs: fc.constantFrom(0, 0.5, 3, 200),
      outstandingRows: fc.nat(10),
      lastSent: fc.nat(5),
    });
    fc.assert(
      fc.property(fc.array(anyView, { maxLength: 6 }), fc.integer({ min: 1, max: 8 }), (views, max) => {
        const chosen = chooseInstance(views, max);
        const able = views.filter((one) => one.state === "READY" && one.outstandingRows < max);
        if (able.length === 0) return assert.equal(chosen, undefined);
        assert.ok(chosen !== undefined && able.includes(chosen));
        const waits = able.map(expectedWaitMs);
        assert.equal(expectedWaitMs(chosen), Math.min(...waits));
      }),
    );
  });

  it("none is chosen while every READY one has its share of this client's rows (L2)", () => {
    assert.equal(chooseInstance([view("a", { outstandingRows: 4 }), view("b", { outstandingRows: 5 })], 4), undefined);
  });

  it("equal waits go to the one that has waited longest for work (L3)", () => {
    const chosen = chooseInstance(
      [view("a", { lastSent: 3 }), view("b", { lastSent: 1 }), view("c", { lastSent: 2 })],
      4,
    );
    assert.equal(chosen?.instance, "b");
  });

  it("depth counts what others sent there, too: the larger of reported and own rows, times the time per row", () => {
    assert.equal(expectedWaitMs(view("a", { reportedRows: 7, outstandingRows: 2, rowMs: 10 })), 70);
    assert.equal(expectedWaitMs(view("a", { reportedRows: 1, outstandingRows: 2, rowMs: 10 })), 20);
    assert.equal(expectedWaitMs(view("a", { reportedRows: 3 })), 3);
  });
});
