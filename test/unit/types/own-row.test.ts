import assert from "node:assert/strict";
import fc from "fast-check";
import { MillraceError } from "../../../src/base/errors.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, type Row, t } from "../../../src/types/columns.js";
import { inline } from "../../../src/types/content-types.js";
import { copyOf, ownRow } from "../../../src/types/own-row.js";

type AnyRow = Record<string, unknown>;

/** What a batch makes of the row, or the reason why it does not take it. */
function throughBatch(columns: Columns, row: unknown): unknown {
  return result(() => rowsOf(columns, batchFromRows(columns, [row as AnyRow]) as never)[0]);
}

function result(make: () => unknown): unknown {
  try {
    return make();
  } catch (error) {
    assert.ok(MillraceError.is(error), String(error));
    return `${error.code} ${error.message}`;
  }
}

describe("types/own-row: rows that are kept", () => {
  it("are what a batch would make of them, or refused with its reason, whatever the values", () => {
    const columns = {
      bool: t.bool,
      int32: t.int32,
      int64: t.int64,
      float32: t.float32,
      float64: t.float64,
      utf8: t.utf8,
      binary: t.binary,
      timestamp: t.timestamp,
      list: t.list(t.int32),
      struct: t.struct({ x: t.float64 }),
      tensor: t.tensor("float32", [2]),
      free: t.tensor("uint8", [null]),
      image: t.image,
    };
    const anything = fc.oneof(
      fc.anything({ withBigInt: true, maxDepth: 1 }),
      fc.constantFrom(-0, 0.1, Number.NaN, 2 ** 31, -(2 ** 31), 2n ** 63n, "\ud800", "é😀", null, undefined),
      fc.constantFrom([1, 2], { x: 1 }, Uint8Array.of(1), [], true),
      fc.constantFrom(Float32Array.of(1, 2), { data: Uint8Array.of(1), shape: [1] }, inline(Uint8Array.of(1), "")),
      fc.string({ unit: "binary" }),
    );
    const name = fc.constantFrom(...(Object.keys(columns) as (keyof typeof columns)[]));
    fc.assert(
      fc.property(name, fc.boolean(), anything, (column, optional, value) => {
        const one: Columns = { [column]: optional ? t.optional(columns[column] as never) : columns[column] };
        const row = { [column]: value };
        assert.deepEqual(
          result(() => ownRow(one, row)),
          throughBatch(one, row),
        );
      }),
      { numRuns: 1_000 },
    );
  });

  it("cannot be changed by who gave them, nor by who got a copy", () => {
    const columns = { words: t.list(t.utf8), bytes: t.binary, place: t.struct({ x: t.int32 }) };
    const given: Row<typeof columns> = { words: ["a"], bytes: Uint8Array.of(1), place: { x: 1 } };
    const own = ownRow(columns, given);
    const change = (row: typeof given) => {
      row.words.push("b");
      row.bytes[0] = 2;
      row.place.x = 2;
    };
    change(given);
    change(copyOf(columns, own));
    assert.deepEqual(own, { words: ["a"], bytes: Uint8Array.of(1), place: { x: 1 } });
    const flat = ownRow({ n: t.int32 }, { n: 1 });
    copyOf({ n: t.int32 }, flat).n = 2;
    assert.equal(flat.n, 1);
  });

  it("take bytes and tensors of their own, not the batch that these are views of", () => {
    const columns = {
      image: t.image,
      vector: t.embedding(2, { metric: "dot" }),
      free: t.list(t.tensor("int16", [null])),
    };
    const row = {
      image: inline(new Uint8Array(1_000), "image/png"),
      vector: Float32Array.of(1, 2),
      free: [{ data: Int16Array.of(3), shape: [1] }],
    };
    const large = rowsOf(columns, batchFromRows(columns, [row, row, row]))[1]!;
    for (const copy of [ownRow(columns, large), copyOf(columns, large)]) {
      assert.deepEqual(copy, row);
      assert.equal(copy.image.bytes?.buffer.byteLength, 1_000);
      copy.vector[0] = 5;
      copy.free[0]!.data[0] = 5;
    }
    assert.deepEqual(large, row);
  });

  it("have the columns that are declared and no others", () => {
    assert.deepEqual(ownRow({ a: t.int32, b: t.optional(t.utf8) }, { a: 1, c: 2 } as never), { a: 1, b: null });
  });

  it("that are none are refused", () => {
    for (const row of [undefined, null, 5, "row"]) {
      assert.throws(() => ownRow({ a: t.int32 }, row as never), { code: "MILL_RECORD_INVALID" });
    }
  });
});
