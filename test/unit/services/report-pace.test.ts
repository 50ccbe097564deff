import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { ReportPace } from "../../../src/services/report-pace.js";

const INSTANCES = 8;
const EVERY_MS = (INSTANCES * 1_000) / limits.loadReportsPerSecond;

describe("services/report-pace: when a change of load is told", () => {
  it("a few changes that come at once are told at once, the next one when it may be (P1, P2)", () => {
    const pace = new ReportPace();
    for (let i = 0; i < limits.loadReportsAtOnce; i++) {
      assert.equal(pace.delayMs(5, INSTANCES, 2), 0, `report ${i}`);
      pace.told();
    }
    const waitMs = pace.delayMs(5, INSTANCES, 2)!;
    assert.ok(waitMs > 0 && waitMs <= EVERY_MS, `${waitMs} ms`);
    assert.ok(pace.delayMs(5 + waitMs, INSTANCES, 2)! < 1e-6);
  });

  it("instances that change all the time send no more than their share of what a listener may hear (P1)", () => {
    const pace = new ReportPace();
    let told = 0;
    for (let nowMs = 0; nowMs < 10_000; ) {
      const waitMs = pace.delayMs(nowMs, INSTANCES, 2)!;
      nowMs += Math.max(waitMs, 0.1);
      if (waitMs > 0) continue;
      pace.told();
      told += 1;
    }
    const share = (10 * limits.loadReportsPerSecond) / INSTANCES;
    assert.ok(told <= share + limits.loadReportsAtOnce && told >= share * 0.9, `${told} of ${share}`);
  });

  it("nothing is told of a single instance, or to a single client (P3)", () => {
    assert.equal(new ReportPace().delayMs(0, 1, 9), undefined);
    assert.equal(new ReportPace().delayMs(0, 9, 1), undefined);
  });
});
