import assert from "node:assert/strict";
import fc from "fast-check";
import { type ContentFacts, collectContent } from "../../../src/checkpoint/content-collection.js";

const MINUTE = 60_000;
const bounds = { ageMsMin: 10 * MINUTE };
const NOW = 1_000 * MINUTE;

/** Content `name` that is so many minutes old. */
function old(name: string, minutes: number) {
  return { sha256: name, sinceMs: NOW - minutes * MINUTE };
}

function collect(facts: Partial<ContentFacts>) {
  const all = { contents: [], trash: [], rooted: new Set<string>(), commitsMs: [NOW], nowMs: NOW, ...facts };
  return collectContent(all, bounds);
}

describe("checkpoint/content-collection: what owned content goes", () => {
  it("content that no root names is put away once it is old, and purged once it has lain in the trash as long (Q2, Q3)", () => {
    const found = collect({ contents: [old("a", 11), old("b", 9)], trash: [old("c", 11), old("d", 9)] });
    assert.deepEqual(found, { bringBack: [], putAway: ["a"], purge: ["c"] });
  });

  it("what a root names stays, and comes back out of the trash (Q1)", () => {
    const rooted = new Set(["a", "c"]);
    const found = collect({ contents: [old("a", 900)], trash: [old("c", 900)], rooted });
    assert.deepEqual(found, { bringBack: ["c"], putAway: [], purge: [] });
  });

  it("what is younger than the oldest of the regions' newest commits stays, however old it is (Q2, Q3)", () => {
    const commitsMs = [NOW, NOW - 300 * MINUTE];
    const found = collect({
      contents: [old("a", 305), old("b", 311)],
      trash: [old("c", 305), old("d", 311)],
      commitsMs,
    });
    assert.deepEqual(found, { bringBack: [], putAway: ["b"], purge: ["d"] });
  });

  it("while a region has no commit nothing goes, and what is named still comes back (Q4)", () => {
    const facts = { contents: [old("a", 900)], trash: [old("b", 900), old("c", 900)], rooted: new Set(["c"]) };
    assert.deepEqual(collect({ ...facts, commitsMs: [NOW, undefined] }), { bringBack: ["c"], putAway: [], purge: [] });
  });

  it("a job whose regions have all finished keeps what is published, and nothing else", () => {
    const found = collect({ contents: [old("a", 11), old("b", 11)], rooted: new Set(["b"]), commitsMs: [] });
    assert.deepEqual(found.putAway, ["a"]);
  });

  it("nothing named is ever touched, and nothing young (Q1, Q2), whatever the facts", () => {
    const stored = fc.array(
      fc.record({ sha256: fc.constantFrom(..."abcdef"), sinceMs: fc.integer({ min: 0, max: NOW }) }),
    );
    const commit = fc.option(fc.integer({ min: 0, max: NOW }), { nil: undefined });
    fc.assert(
      fc.property(stored, stored, fc.array(commit), fc.subarray([..."abcdef"]), (contents, trash, commitsMs, names) => {
        const rooted = new Set(names);
        const { putAway, purge, bringBack } = collect({ contents, trash, commitsMs, rooted });
        const oldest = Math.min(NOW, ...commitsMs.map((ms) => ms ?? Number.NEGATIVE_INFINITY)) - bounds.ageMsMin;
        for (const name of [...putAway, ...purge]) assert.ok(!rooted.has(name));
        for (const name of putAway) assert.ok(contents.some((one) => one.sha256 === name && one.sinceMs < oldest));
        for (const name of purge) assert.ok(trash.some((one) => one.sha256 === name && one.sinceMs < oldest));
        const named = trash.filter(
          ({ sha256 }) => rooted.has(sha256) && !contents.some((one) => one.sha256 === sha256),
        );
        assert.deepEqual(new Set(bringBack), new Set(named.map(({ sha256 }) => sha256)));
      }),
    );
  });
});
