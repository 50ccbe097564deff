import assert from "node:assert/strict";
import fc from "fast-check";
import { matchState, successorOf } from "../../../src/checkpoint/redistribute.js";
import {
  decideSavepoint,
  keptEntries,
  readersByRegion,
  type SavepointRegionFacts,
} from "../../../src/checkpoint/savepoint.js";

const operator = (id: string, kind = "infer", columns = "a") => ({ operator: id, kind, columns });

describe("checkpoint/redistribute: which operator has the state", () => {
  it("the one of the same id, kind and columns; operators without state start empty (M1)", () => {
    const wanted = [operator("new"), operator("a"), operator("b", "reduce")];
    assert.deepEqual([...matchState([operator("a"), operator("b", "reduce")], wanted, false)], ["a", "b"]);
    assert.deepEqual([...matchState([], wanted, false)], []);
  });

  for (const [what, wanted, message] of [
    ["no operator of its id", [], /operator "a" \(infer\), and the topology has no operator/],
    ["one of another kind", [operator("a", "reduce")], /operator "a" \(infer\).*of kind reduce/],
    ["one with other columns", [operator("a", "infer", "b")], /operator "a" \(infer\).*other columns: b, not a/],
  ] as const) {
    it(`is an error that names it where there is ${what}, unless it may be dropped (M1)`, () => {
      const held = [operator("a"), operator("b")];
      const all = [...wanted, operator("b")];
      assert.throws(() => matchState(held, all, false), { code: "MILL_SAVEPOINT_UNMATCHED", message });
      assert.deepEqual([...matchState(held, all, true)], ["b"]);
    });
  }

  it("a source's positions do not depend on its columns", () => {
    assert.deepEqual([...matchState([operator("s", "source", "a")], [operator("s", "source", "b")], false)], ["s"]);
  });
});

describe("checkpoint/redistribute: which instance has it", () => {
  const counts = fc.integer({ min: 1, max: 100 });

  it("each in exactly one, in order, spread evenly; the same parallelism changes nothing (M2, M3)", () => {
    fc.assert(
      fc.property(counts, counts, (from, to) => {
        const found = Array.from({ length: from }, (_, subtask) => successorOf(subtask, from, to));
        assert.ok(found.every((one, i) => one >= 0 && one < to && one >= (found[i - 1] ?? 0)));
        if (to >= from) assert.deepEqual(found, [...found.keys()]);
        const sizes = Array.from({ length: Math.min(from, to) }, (_, i) => found.filter((one) => one === i).length);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1, `${sizes}`);
      }),
    );
  });
});

describe("checkpoint/savepoint: what a savepoint needs next", () => {
  const region = (over: Partial<SavepointRegionFacts> = {}): SavepointRegionFacts => {
    return { region: "r", finished: false, state: "none", published: false, readers: [], ...over };
  };
  const decide = (...regions: SavepointRegionFacts[]) => decideSavepoint({ jobRuns: true, ageMs: 0, regions }, 1_000);

  it("asks every region for a checkpoint, once; takes the last commit of one that is over (V2)", () => {
    const all = [region(), region({ region: "s", state: "asked" }), region({ region: "t", finished: true })];
    assert.deepEqual(decide(...all), [
      { kind: "ask", region: "r" },
      { kind: "take", region: "t" },
    ]);
  });

  it("asks who writes an exchange when all that read it have taken theirs, over several exchanges (V1)", () => {
    const a = region({ region: "a", readers: ["b", "c"] });
    const b = region({ region: "b", readers: ["d"] });
    const [c, d] = [region({ region: "c" }), region({ region: "d" })];
    const asked = (...regions: SavepointRegionFacts[]) =>
      decide(...regions).map((action) => "region" in action && action.region);
    const taken = (one: SavepointRegionFacts) => ({ ...one, state: "taken" as const });
    assert.deepEqual(asked(a, b, c, d), ["c", "d"]);
    assert.deepEqual(asked(a, b, taken(c), { ...d, state: "asked" }), []);
    assert.deepEqual(asked(a, b, taken(c), taken(d)), ["b"]);
    assert.deepEqual(asked(a, taken(b), taken(c), taken(d)), ["a"]);
  });

  it("knows the regions on both sides of each exchange (V1)", () => {
    const writers = (...regions: string[]) => regions.map((one, i) => ({ writer: `w-${i}`, region: one }));
    const found = readersByRegion([
      { readers: ["b", "c"], writers: writers("a") },
      { readers: ["d"], writers: writers("a", "b") },
    ]);
    assert.deepEqual(
      [...found].map(([one, readers]) => [one, [...readers]]),
      [
        ["a", ["b", "c", "d"]],
        ["b", ["d"]],
      ],
    );
  });

  it("keeps the entries of checkpoints up to their writer's own, and none of a writer that it does not know (V5)", () => {
    const writers = [
      { writer: "w-0", region: "a" },
      { writer: "w-1", region: "b" },
    ];
    const keeps = keptEntries(
      { readers: ["c"], writers },
      new Map([
        ["a", 4n],
        ["b", 7n],
      ]),
    );
    const entries = [
      ["w-0", 4n],
      ["w-0", 5n],
      ["w-1", 7n],
      ["w-1", 8n],
      ["w-2", 1n],
    ] as const;
    assert.deepEqual(
      entries.map(([writer, checkpoint]) => keeps({ writer, checkpoint })),
      [true, false, true, false, false],
    );
  });

  it("is recorded only when every region's is there and published (V3)", () => {
    const there = region({ state: "taken", published: true });
    assert.deepEqual(decide(there, region({ state: "taken" })), []);
    assert.deepEqual(decide(there, region({ state: "asked" })), []);
    assert.deepEqual(decide(there, there), [{ kind: "record" }]);
  });

  it("fails with its job, and after its time (V4)", () => {
    const there = [region({ state: "taken", published: true })];
    assert.deepEqual(decideSavepoint({ jobRuns: false, ageMs: 0, regions: there }, 1), [
      { kind: "fail", why: "ended" },
    ]);
    assert.deepEqual(decideSavepoint({ jobRuns: true, ageMs: 2, regions: there }, 1), [{ kind: "fail", why: "late" }]);
  });
});
