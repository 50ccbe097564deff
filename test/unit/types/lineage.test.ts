import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import {
  derived,
  lineageFrom,
  lineageFromText,
  lineageOf,
  lineageText,
  ownBatch,
  partsOf,
  sliceRows,
  taken,
  withLineage,
} from "../../../src/types/lineage.js";

const batch = (rows: number) =>
  batchFromRows(
    { n: t.int32 },
    Array.from({ length: rows }, (_, n) => ({ n })),
  ) as unknown as RecordBatch;
const from = (rows: number, first = 0) => withLineage(batch(rows), lineageFrom("split/0", first));

describe("types/lineage: where rows come from", () => {
  it("slices keep it, also of slices (G2)", () => {
    assert.deepEqual(lineageOf(sliceRows(sliceRows(from(10, 5), 2, 9), 3, 4)), { origin: "split/0", first: 10 });
    assert.equal(lineageOf(sliceRows(batch(3), 1, 2)), undefined);
  });

  it("a step that makes no more rows keeps it; one that makes more begins an origin of its own (G1, G2)", () => {
    const input = sliceRows(from(10), 4, 8);
    assert.deepEqual(lineageOf(derived(batch(3), input)), { origin: "split/0", first: 4 });
    assert.deepEqual(lineageOf(derived(batch(9), input)), { origin: "split/0.4", first: 0 });
    assert.equal(derived(input, input), input);
    assert.equal(lineageOf(derived(batch(1), batch(1))), undefined);
  });

  it("rows without a position have none in slices either", () => {
    const unordered = withLineage(batch(4), lineageFrom("counts", -1));
    assert.deepEqual(lineageOf(sliceRows(unordered, 2, 3)), { origin: "counts", first: -1 });
  });

  it("parts of a batch that go different ways do not share positions (G3)", () => {
    const [one, two] = [taken(batch(3), from(6, 4), 0), taken(batch(3), from(6, 4), 1)];
    assert.deepEqual(lineageOf(one), { origin: "split/0|0", first: 4 });
    assert.deepEqual(lineageOf(two), { origin: "split/0|1", first: 4 });
    assert.equal(lineageOf(taken(batch(1), batch(3), 0)), undefined);
  });

  it("rows without a position lose it with a column, and when they are made into more (G4)", () => {
    const made = (columns: Columns, rows: number) =>
      batchFromRows(columns, Array<object>(rows).fill({ key: "k", n: 1 }) as never) as unknown as RecordBatch;
    const both = { key: t.utf8, n: t.int32 };
    const counts = withLineage(made(both, 2), lineageFrom("counts", -1));
    assert.deepEqual(lineageOf(derived(made({ ...both, more: t.optional(t.utf8) }, 2), counts)), lineageOf(counts));
    assert.equal(lineageOf(derived(made({ n: t.int32 }, 2), counts)), undefined);
    assert.equal(lineageOf(derived(made(both, 3), counts)), undefined);
    assert.equal(partsOf(lineageFrom("counts", -1)), undefined);
  });

  it("a batch of its own has the rows and not the lineage", () => {
    const one = from(2);
    const own = ownBatch(one);
    assert.deepEqual([own.numRows, lineageOf(own)], [2, undefined]);
  });

  it("stays short, however many steps there are, and different", () => {
    let [a, b] = [lineageFrom("s", 1), lineageFrom("s", 2)];
    for (let i = 0; i < 200; i++) [a, b] = [partsOf(a)!, partsOf(b)!];
    assert.ok(a.origin.length < 200);
    assert.notEqual(a.origin, b.origin);
  });

  it("is text in an Arrow message's metadata; what is none is none", () => {
    for (const lineage of [lineageFrom("a@b/0", 12), lineageFrom("counts", -1), lineageFrom("")]) {
      assert.deepEqual(lineageFromText(lineageText(lineage)), lineage);
    }
    for (const text of ["", "@", "x@a", "1.5@a", "-2@a", "12"]) assert.equal(lineageFromText(text), undefined);
  });
});
