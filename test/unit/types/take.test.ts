import assert from "node:assert/strict";
import { type Data, Field, makeData, RecordBatch, Schema, Struct, Utf8 } from "apache-arrow";
import fc from "fast-check";
import { batchBytes, batchFromRows, columnOf, rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { lineageFrom, lineageOf, withLineage } from "../../../src/types/lineage.js";
import { takeRows } from "../../../src/types/take.js";
import { anyRows } from "./arbitrary.js";

describe("types/take: rows of a batch by number", () => {
  it("are those rows, in that order, however often, of every type and out of a slice", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(3), fc.array(fc.nat(40), { maxLength: 20 }), ({ columns, rows }, skip, picks) => {
        const from = Math.min(skip, rows.length);
        const there = rows.slice(from);
        const taken = there.length === 0 ? [] : picks.map((pick) => pick % there.length);
        const batch = batchFromRows(columns, rows).slice(from);
        assert.deepEqual(
          rowsOf(columns, takeRows(batch, Int32Array.from(taken))),
          taken.map((row) => there[row]),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("long values and long runs come whole", () => {
    const columns = { text: t.utf8, bytes: t.binary, vector: t.embedding(64, { metric: "dot" }), flag: t.bool };
    const rows = Array.from({ length: 200 }, (_, i) => ({
      text: `${i}`.repeat(i),
      bytes: new Uint8Array(i).fill(i),
      vector: new Float32Array(64).fill(i),
      flag: i % 3 === 0,
    }));
    const taken = [...rows.keys()].filter((i) => i % 50 !== 7).reverse();
    const ascending = [...taken].sort((a, b) => a - b);
    const batch = batchFromRows(columns, rows);
    for (const picks of [taken, ascending]) {
      assert.deepEqual(
        rowsOf(columns, takeRows(batch, Int32Array.from(picks))),
        picks.map((i) => rows[i]),
      );
    }
  });

  it("neighbours alone are a slice, without a copy", () => {
    const batch = batchFromRows(
      { b: t.binary },
      Array.from({ length: 5 }, (_, i) => ({ b: Uint8Array.of(i) })),
    );
    const taken = takeRows(batch, Int32Array.of(1, 2, 3));
    assert.equal(columnOf(taken, "b").data[0]?.values.buffer, columnOf(batch, "b").data[0]?.values.buffer);
    assert.equal(takeRows(batch, new Int32Array(0)).numRows, 0);
  });

  it("take no more bytes than they have", () => {
    const rows = Array.from({ length: 100 }, (_, i) => ({ text: "x".repeat(i), flags: [true, false] }));
    const batch = batchFromRows({ text: t.utf8, flags: t.list(t.bool) }, rows);
    const ends = takeRows(batch, Int32Array.of(0, 99));
    assert.ok(batchBytes(ends) <= batchBytes(batch.slice(0, 1)) + batchBytes(batch.slice(99, 100)));
  });

  it("have no lineage, wherever they are from", () => {
    const batch = withLineage(batchFromRows({ n: t.int32 }, [{ n: 1 }, { n: 2 }]), lineageFrom("a"));
    assert.equal(lineageOf(takeRows(batch, Int32Array.of(1, 0))), undefined);
    assert.equal(lineageOf(takeRows(batch, Int32Array.of(0, 1))), undefined);
  });

  it("that are not there are nobody's", () => {
    const batch = batchFromRows({ n: t.int32 }, [{ n: 1 }]);
    for (const row of [-1, 1]) assert.throws(() => takeRows(batch, Int32Array.of(0, row)), { code: "MILL_INTERNAL" });
  });

  it("more bytes than 32-bit offsets reach are refused, not laid out wrong", () => {
    // Offsets alone: no test should hold a gigabyte.
    const valueOffsets = Int32Array.of(0, 2 ** 30);
    const text = makeData({ type: new Utf8(), length: 1, nullCount: 0, valueOffsets, data: new Uint8Array(0) });
    const schema = new Schema([new Field("text", new Utf8(), false)]);
    const data = makeData({ type: new Struct(schema.fields), length: 1, nullCount: 0, children: [text as Data] });
    assert.throws(() => takeRows(new RecordBatch(schema, data), Int32Array.of(0, 0)), {
      code: "MILL_RECORD_INVALID",
      message: /have 2147483648 bytes or elements in one column; one batch holds 2147483647/,
    });
  });
});
