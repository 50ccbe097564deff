import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import {
  derived,
  lineageFrom,
  lineageFromText,
  lineageOf,
  lineageText,
  partsOf,
  sliceRows,
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

  it("stays short, however many steps there are, and different", () => {
    let [a, b] = [lineageFrom("s", 1), lineageFrom("s", 2)];
    for (let i = 0; i < 200; i++) [a, b] = [partsOf(a), partsOf(b)];
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
