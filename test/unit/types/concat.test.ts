import assert from "node:assert/strict";
import { type Data, makeData, Utf8 } from "apache-arrow";
import fc from "fast-check";
import { batchBytes, batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { concatBatches, concatData } from "../../../src/types/concat.js";
import { anyRows } from "./arbitrary.js";

describe("types/concat: several batches as one", () => {
  it("has the rows of all, in order, wherever they were cut from and however often", () => {
    const cuts = fc.array(fc.tuple(fc.nat(12), fc.nat(12)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(anyRows, cuts, ({ columns, rows }, parts) => {
        const batch = batchFromRows(columns, rows);
        const ranges = parts.map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
        const whole = concatBatches(ranges.map(([start, end]) => batch.slice(start, end)));
        assert.deepEqual(
          rowsOf(columns, whole),
          ranges.flatMap(([start, end]) => rows.slice(start, end)),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("what was put together can be cut and put together again", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(24), ({ columns, rows }, at) => {
        const whole = concatBatches([batchFromRows(columns, rows), batchFromRows(columns, rows)]);
        const again = concatBatches([whole.slice(at, whole.numRows), whole.slice(0, at)]);
        const all = [...rows, ...rows];
        assert.deepEqual(rowsOf(columns, again), [...all.slice(at), ...all.slice(0, at)]);
      }),
    );
  });

  it("takes no more bytes than its parts", () => {
    const columns = { text: t.utf8, flags: t.list(t.bool) };
    const batch = batchFromRows(
      columns,
      Array.from({ length: 100 }, (_, i) => ({ text: "x".repeat(i), flags: [true, false] })),
    );
    const cut = batch.slice(90, 92);
    assert.ok(batchBytes(concatBatches([cut, cut])) <= 2 * batchBytes(cut));
  });

  it("one batch is itself, not a copy", () => {
    const batch = batchFromRows({ a: t.int32 }, [{ a: 1 }]);
    assert.equal(concatBatches([batch]), batch);
  });

  it("more bytes than 32-bit offsets reach are refused, not laid out wrong", () => {
    // Offsets alone: no test should hold two gigabytes.
    const part = makeData({
      type: new Utf8(),
      length: 1,
      valueOffsets: Int32Array.of(0, 2 ** 30),
      data: new Uint8Array(0),
    }) as Data;
    assert.throws(() => concatData([part, part]), { code: "MILL_RECORD_INVALID", message: /2147483648 .* 2147483647/ });
  });
});

describe("types/batches: bytes of a batch", () => {
  const columns: Columns = {
    n: t.float64,
    text: t.utf8,
    data: t.list(t.binary),
    part: t.optional(t.struct({ b: t.bool })),
  };
  const row = (i: number) => ({ n: i, text: "abcd", data: [new Uint8Array(100), new Uint8Array(50)], part: null });

  it("count values, offsets and bitmaps of what a column shows", () => {
    const one = (column: string) => batchBytes(batchFromRows({ [column]: columns[column]! }, [row(0)]));
    assert.equal(one("n"), 8);
    assert.equal(one("text"), 2 * 4 + 4);
    assert.equal(one("data"), 2 * 4 + 3 * 4 + 150);
    // A bit of its own, its part's, and the part's value.
    assert.equal(one("part"), 3);
  });

  it("a slice has its own bytes, not its batch's", () => {
    const batch = batchFromRows(
      columns,
      Array.from({ length: 1000 }, (_, i) => row(i)),
    );
    const alone = batchBytes(batchFromRows(columns, [row(7)]));
    assert.equal(batchBytes(batch.slice(7, 8)), alone);
    assert.equal(batchBytes(batch.slice(3, 3)), batchBytes(batchFromRows(columns, [])));
  });

  it("slices that share nothing have at least the bytes of the whole, and little more", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(12), ({ columns, rows }, at) => {
        const batch = batchFromRows(columns, rows);
        const [whole, parts] = [
          batchBytes(batch),
          batchBytes(batch.slice(0, at)) + batchBytes(batch.slice(at, batch.numRows)),
        ];
        assert.ok(parts >= whole, `${parts} of the parts, ${whole} of the whole`);
      }),
    );
  });
});
