import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { RateWindow } from "../../../src/coordinator/rate-window.js";

describe("coordinator/rate-window: totals with some seconds between them", () => {
  it("of what was told once, or twice at one moment, no rate is known (R2)", () => {
    const window = new RateWindow<number>();
    assert.equal(window.change, undefined);
    window.add(1, 5_000);
    window.add(2, 5_000);
    assert.deepEqual([window.newest, window.change], [2, undefined]);
  });

  it("the two are between one and two windows apart, however often it is told (R1)", () => {
    for (const everyMs of [200, 1_000, 1_700]) {
      const window = new RateWindow<number>();
      for (let ms = 0; ms < 60_000; ms += everyMs) {
        window.add(ms, ms);
        const { from, to, ms: apart } = window.change ?? { from: 0, to: 0, ms: 0 };
        assert.equal(to - from, apart);
        assert.equal(to, ms);
        if (ms <= 2 * limits.rateWindowMs) continue;
        assert.ok(apart >= limits.rateWindowMs && apart <= 2 * limits.rateWindowMs + everyMs, `${apart} ms`);
      }
    }
  });
});
