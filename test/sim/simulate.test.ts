import assert from "node:assert/strict";
import { describeFailure } from "./report.js";
import { DEFAULT_PROFILE, type SimResult, simulate } from "./simulate.js";

const SEEDS = 50;
const FIRST = 1;
const profile = DEFAULT_PROFILE;

describe("sim/simulate: the real system on simulated ports", () => {
  it(`every seed from ${FIRST} to ${FIRST + SEEDS - 1} keeps what the system promises (${profile})`, async function () {
    this.timeout(60_000);
    const failed: SimResult[] = [];
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const result = await simulate(seed, { profile });
      if (result.findings.length > 0) failed.push(result);
    }
    assert.equal(failed.length, 0, failed.map((result) => describeFailure(result, profile)).join("\n"));
  });

  it("the same seed is the same run, event by event", async () => {
    for (const seed of [3, 11, 19]) {
      const first = await simulate(seed, { profile });
      const second = await simulate(seed, { profile });
      assert.equal(second.hash, first.hash, `seed ${seed}`);
      assert.equal(second.virtualMs, first.virtualMs);
    }
  });

  it("another seed is another run", async () => {
    const hashes = new Set<string>();
    for (const seed of [3, 11, 19]) hashes.add((await simulate(seed, { profile })).hash);
    assert.equal(hashes.size, 3);
  });
});
