import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { CallTimes } from "../../../src/services/call-times.js";

describe("services/call-times: how long calls took lately", () => {
  it("quantiles are at most a tenth above the time that they stand for, and not below it (Q1)", () => {
    for (const scale of [0.5, 20, 3_000]) {
      const times = new CallTimes();
      for (let i = 1; i <= 1_000; i++) times.add(i * scale, 4, 10_000);
      const { callMsP50, callMsP99, batchRowsMean } = times.view(10_000);
      for (const [told, exact] of [
        [callMsP50, 500 * scale],
        [callMsP99, 990 * scale],
      ] as const) {
        assert.ok(told >= exact * 0.999_999 && told <= exact * 1.1, `${told} for ${exact}`);
      }
      assert.equal(batchRowsMean, 4);
    }
  });

  it("what is older than the window is not counted, what is younger is (Q2)", () => {
    const times = new CallTimes();
    times.add(1_000, 1, 0);
    times.add(10, 3, (limits.callTimesMs * 5) / 6);
    assert.ok(times.view(limits.callTimesMs - 1).callMsP99 >= 1_000);
    const later = times.view(limits.callTimesMs + 1);
    assert.ok(later.callMsP99 >= 10 && later.callMsP99 <= 11);
    assert.equal(later.batchRowsMean, 3);
    assert.deepEqual(times.view(3 * limits.callTimesMs), { callMsP50: 0, callMsP99: 0, batchRowsMean: 0 });
  });

  it("times of none and of hours find a bucket", () => {
    const times = new CallTimes();
    times.add(0, 1, 0);
    times.add(1e9, 1, 0);
    const { callMsP50, callMsP99 } = times.view(0);
    assert.ok(callMsP50 <= 0.1 && callMsP99 > 3_600_000);
  });
});
