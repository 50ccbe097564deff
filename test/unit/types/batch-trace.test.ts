import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { firstTrace, traced, traceOf, withTrace } from "../../../src/types/batch-trace.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { derived, ownBatch, sliceRows, taken } from "../../../src/types/lineage.js";

const numbers = (...values: number[]) =>
  batchFromRows(
    { n: t.int32 },
    values.map((n) => ({ n })),
  ) as unknown as RecordBatch;

describe("types/batch-trace: the trace of a batch", () => {
  const batch = withTrace(numbers(1, 2, 3), "trace-a");

  it("goes along with its rows: to what is made of them, to slices, to parts, to copies", () => {
    for (const made of [
      derived(numbers(2), batch),
      sliceRows(batch, 0, 1),
      taken(numbers(1), batch, 0),
      ownBatch(batch),
      traced(numbers(1), batch),
    ]) {
      assert.equal(traceOf(made), "trace-a");
    }
  });

  it("does not stay with an object that a function hands out again for rows that are not traced", () => {
    const reused = numbers(9);
    assert.equal(traceOf(derived(reused, batch)), "trace-a");
    assert.equal(traceOf(derived(reused, numbers(1))), "");
  });

  it("of batches put together is that of the first that has one", () => {
    assert.equal(firstTrace([numbers(1), withTrace(numbers(2), "trace-b"), batch]), "trace-b");
    assert.equal(firstTrace([numbers(1)]), "");
  });
});
