import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { topology } from "../../../src/topology/topology.js";

const built = (inlineLimitBytes?: number) =>
  topology("t", () => {}, inlineLimitBytes === undefined ? {} : { inlineLimitBytes }).build({});

describe("topology: above which size content becomes a reference", () => {
  it("is the limit where the topology says nothing, else what it says", () => {
    assert.equal(built().inlineLimitBytes, limits.inlineLimitBytes);
    assert.equal(built(0).inlineLimitBytes, 0);
    assert.equal(built(1_000_000).inlineLimitBytes, 1_000_000);
  });

  for (const value of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    it(`${value} is MILL_CONFIG`, () => {
      assert.throws(() => built(value), { code: "MILL_CONFIG", message: /inlineLimitBytes of topology "t"/ });
    });
  }
});
