import assert from "node:assert/strict";
import { Field, FixedSizeList, Float32, makeData, makeVector } from "apache-arrow";
import { batchBytes, batchFromColumns, batchFromRows, columnOf, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, type Columns, type ColumnType, type Row, t } from "../../../src/types/columns.js";
import type { TensorDtype } from "../../../src/types/tensor-types.js";

function batchOf(columns: Columns, rows: readonly unknown[]) {
  return batchFromRows(columns, rows as Row<Columns>[]);
}

function fieldOf(type: ColumnType) {
  const field = arrowSchema({ c: type }).fields[0]!;
  return { type: String(field.type), metadata: Object.fromEntries(field.metadata) };
}

describe("types/tensor-types: what they are in Arrow", () => {
  it("sizes that are all fixed make a fixed size list, with Arrow's metadata", () => {
    const type = t.tensor("float32", [3, 2, 2], { dimNames: ["C", "H", "W"], permutation: [1, 2, 0] });
    assert.deepEqual(fieldOf(type), {
      type: "FixedSizeList[12]<Float32>",
      metadata: {
        "ARROW:extension:name": "arrow.fixed_shape_tensor",
        "ARROW:extension:metadata": '{"shape":[3,2,2],"dim_names":["C","H","W"],"permutation":[1,2,0]}',
      },
    });
  });

  it("a size that varies makes a struct of elements and sizes, with Arrow's metadata", () => {
    assert.deepEqual(fieldOf(t.tensor("uint8", [null, null, 3], { dimNames: ["H", "W", "C"] })), {
      type: "Struct<{data:List<Uint8>, shape:FixedSizeList[3]<Int32>}>",
      metadata: {
        "ARROW:extension:name": "arrow.variable_shape_tensor",
        "ARROW:extension:metadata": '{"uniform_shape":[null,null,3],"dim_names":["H","W","C"]}',
      },
    });
  });

  it("an embedding says its dimension, its metric and its model", () => {
    assert.deepEqual(fieldOf(t.embedding(384, { metric: "cosine", model: "mini" })), {
      type: "FixedSizeList[384]<Float32>",
      metadata: {
        "ARROW:extension:name": "millrace.embedding",
        "ARROW:extension:metadata": '{"dimension":384,"metric":"cosine","model":"mini"}',
      },
    });
    assert.equal(
      fieldOf(t.embedding(2, { metric: "dot" })).metadata["ARROW:extension:metadata"],
      '{"dimension":2,"metric":"dot"}',
    );
  });

  it("types that differ in anything have different names", () => {
    const types = [
      t.tensor("uint8", [2, 3]),
      t.tensor("int8", [2, 3]),
      t.tensor("uint8", [3, 2]),
      t.tensor("uint8", [6]),
      t.tensor("uint8", [null, 3]),
      t.tensor("uint8", [null, null]),
      t.tensor("uint8", [2, 3], { dimNames: ["a", "b"] }),
      t.tensor("uint8", [2, 3], { permutation: [1, 0] }),
      t.embedding(6, { metric: "cosine" }),
      t.embedding(6, { metric: "dot" }),
      t.embedding(6, { metric: "dot", model: "m" }),
      t.embedding(6, { metric: "dot", model: "n" }),
      t.pixels(),
      t.pixels("float32"),
      t.samples(),
      t.samples("int16"),
    ];
    assert.equal(new Set(types.map(({ name }) => name)).size, types.length);
    assert.equal(t.tensor("uint8", [2, null]).name, "tensor<uint8, [2, null]>");
    assert.equal(
      t.tensor("uint8", [2], { dimNames: ["W"], permutation: [0] }).name,
      "tensor<uint8, [W: 2], permutation [0]>",
    );
    assert.equal(t.embedding(6, { metric: "dot", model: "m" }).name, 'embedding<6, dot, "m">');
  });

  const none: readonly (readonly [string, () => ColumnType, RegExp])[] = [
    ["no size", () => t.tensor("uint8", []), /tensor<uint8, \[\]> is no type: give at least one size/],
    ["a size of 0", () => t.tensor("uint8", [2, 0]), /give at least one size, and each as a whole number from 1 on/],
    ["a fraction", () => t.tensor("uint8", [1.5]), /a whole number from 1 on, or null where it varies/],
    ["too many elements", () => t.tensor("uint8", [2 ** 16, 2 ** 16]), /one value would have more than 2147483647/],
    ["another element type", () => t.tensor("bool" as TensorDtype, [1]), /its elements are bool; give one of int8, /],
    ["too few names", () => t.tensor("uint8", [1, 2], { dimNames: ["H"] }), /it has 1 dimNames for 2 dimensions/],
    [
      "no permutation",
      () => t.tensor("uint8", [1, 2], { permutation: [0, 0] }),
      /is \[0, 0\]; give each of 0 to 1 once/,
    ],
    ["no dimension", () => t.embedding(0, { metric: "dot" }), /embedding<0, dot> is no type/],
    ["another metric", () => t.embedding(2, { metric: "l1" as "dot" }), /its metric is l1; give one of cosine, dot/],
  ];
  for (const [what, make, message] of none) {
    it(`${what} is MILL_TOPOLOGY_TYPE`, () => assert.throws(make, { code: "MILL_TOPOLOGY_TYPE", message }));
  }
});

describe("types/tensor-types: values that do not fit", () => {
  const fixed = t.tensor("float32", [2, 2]);
  const free = t.tensor("uint8", [null, 2]);
  const tensor = (data: unknown, shape: unknown) => ({ data, shape });
  const wrong: readonly (readonly [ColumnType, unknown, RegExp])[] = [
    [fixed, new Float32Array(3), /row 1 is Float32Array of 3 elements; give Float32Array of 4 elements/],
    [fixed, new Float64Array(4), /row 1 is Float64Array of 4 elements/],
    [fixed, [1, 2, 3, 4], /row 1 is an array/],
    [fixed, null, /row 1 has no value/],
    [t.embedding(4, { metric: "dot" }), new Float32Array(5), /row 1 is Float32Array of 5 elements/],
    [free, new Uint8Array(2), /row 1 is Uint8Array of 2 elements; give \{ data: Uint8Array, shape: \[...\] \}/],
    [free, tensor(new Int8Array(2), [1, 2]), /row 1 is an object/],
    [free, tensor(new Uint8Array(2), [2]), /row 1 has the shape \[2\] where \[null, 2\] is needed/],
    [free, tensor(new Uint8Array(3), [1, 3]), /row 1 has the shape \[1, 3\] where/],
    [free, tensor(new Uint8Array(2), [-1, 2]), /row 1 has the shape \[-1, 2\] where/],
    [free, tensor(new Uint8Array(3), [1, 2]), /row 1 has 3 elements where its shape \[1, 2\] has 2/],
  ];
  const fits = new Map<ColumnType, unknown>([
    [fixed, new Float32Array(4)],
    [free, tensor(new Uint8Array(4), [2, 2])],
  ]);
  for (const [type, value, message] of wrong) {
    it(`${type.name}: ${message.source} (MILL_RECORD_INVALID)`, () => {
      const rows = [{ c: fits.get(type) ?? new Float32Array(4) }, { c: value }];
      assert.throws(() => batchOf({ c: type }, rows), {
        code: "MILL_RECORD_INVALID",
        message,
        facts: { column: "c", type: type.name },
      });
    });
  }

  it("the place of a value within lists and structs is named", () => {
    const columns = { c: t.list(t.struct({ a: fixed })) };
    assert.throws(() => batchOf(columns, [{ c: [{ a: new Float32Array(1) }] }]), {
      facts: { column: "c[].a", type: fixed.name },
    });
  });
});

describe("types/tensor-types: values of a batch", () => {
  it("are views of its buffers, and not copies", () => {
    const columns = { fixed: t.tensor("int16", [2]), free: t.tensor("int16", [null]) };
    const value = Int16Array.of(1, 2);
    const rows = [1, 2, 3].map(() => ({ fixed: value, free: { data: value, shape: [2] } }));
    const [first, second] = rowsOf(columns, batchFromRows(columns, rows));
    assert.equal(first?.fixed.buffer, second?.fixed.buffer);
    assert.equal(first?.free.data.buffer, second?.free.data.buffer);
  });

  it("count in a batch with the bytes that they have, in a slice with those of the slice", () => {
    const columns = { fixed: t.tensor("float32", [3]), free: t.tensor("int16", [null, null]) };
    const row = { fixed: new Float32Array(3), free: { data: new Int16Array(5), shape: [1, 5] } };
    const batch = batchFromRows(columns, [row, row, row]);
    const each = 3 * 4 + 5 * 2 + 2 * 4;
    const oneOffset = 4;
    assert.equal(batchBytes(batch), 3 * (each + oneOffset) + oneOffset);
    assert.equal(batchBytes(batch.slice(1, 2)), each + 2 * oneOffset);
  });

  it("of one shape are taken as one array of all rows, and not copied", () => {
    const columns = { e: t.embedding(2, { metric: "dot" }), pixel: t.tensor("uint8", [1, 3]), n: t.int32 };
    const e = Float32Array.of(1, 2, 3, 4);
    const batch = batchFromColumns(columns, { e, pixel: Uint8Array.of(1, 2, 3, 4, 5, 6), n: [1, 2] });
    assert.equal(columnOf(batch, "e").data[0]?.children[0]?.values.buffer, e.buffer);
    assert.deepEqual(rowsOf(columns, batch), [
      { e: Float32Array.of(1, 2), pixel: Uint8Array.of(1, 2, 3), n: 1 },
      { e: Float32Array.of(3, 4), pixel: Uint8Array.of(4, 5, 6), n: 2 },
    ]);
  });

  it("an array of all rows must have the element type, and whole rows", () => {
    const columns: Columns = { e: t.embedding(2, { metric: "dot" }) };
    for (const e of [new Float32Array(3), new Float64Array(4), new Uint8Array(4)]) {
      assert.throws(() => batchFromColumns(columns, { e: e as never }), {
        code: "MILL_RECORD_INVALID",
        message: /column "e" \(embedding<2, dot>\): the column is .*; give Float32Array of 2 elements a row/,
      });
    }
  });

  it("are taken from another batch, where they fit", () => {
    const free: Columns = { v: t.tensor("uint8", [null, null]) };
    const columns: Columns = { v: t.tensor("uint8", [null, 2]) };
    const vectorOf = (...shape: number[]) => {
      const row = { v: { data: new Uint8Array(shape[0]! * shape[1]!), shape } };
      return columnOf(batchOf(free, [row]), "v");
    };
    assert.equal(batchFromColumns(columns, { v: vectorOf(3, 2) }).numRows, 1);
    assert.throws(() => batchFromColumns(columns, { v: vectorOf(2, 3) }), {
      code: "MILL_RECORD_INVALID",
      message: /column "v" .*: row 0 has the shape \[2, 3\] where \[null, 2\] is needed/,
    });
    assert.throws(() => batchFromColumns(columns, { v: makeVector(new Float32Array(2)) }), {
      message: /it is of Arrow type Float32; give an array, or a vector of Struct/,
    });
  });

  it("null is a value where the column is optional, and nowhere else", () => {
    const columns = { fixed: t.optional(t.tensor("int8", [1])), free: t.optional(t.tensor("int8", [null])) };
    const batch = batchFromRows(columns, [
      { fixed: null, free: null },
      { fixed: Int8Array.of(1), free: { data: new Int8Array(0), shape: [0] } },
    ]);
    assert.deepEqual(rowsOf(columns, batch), [
      { fixed: null, free: null },
      { fixed: Int8Array.of(1), free: { data: new Int8Array(0), shape: [0] } },
    ]);
    const strict: Columns = { fixed: t.tensor("int8", [1]) };
    assert.throws(() => batchFromColumns(strict, { fixed: columnOf(batch, "fixed") }), {
      message: /column "fixed" \(tensor<int8, \[1\]>\): 1 values are null/,
    });
  });

  it("null elements are refused, and those of a value that is null are nobody's", () => {
    const nullable = new Field("item", new Float32(), true);
    const bitmap = (...valid: number[]) => Uint8Array.from([valid.reduce((bits, bit) => bits | (1 << bit), 0)]);
    const child = makeData({ type: new Float32(), data: new Float32Array(4), nullCount: 2, nullBitmap: bitmap(2, 3) });
    const list = { type: new FixedSizeList(2, nullable), length: 2, child };
    const type = t.tensor("float32", [2]);
    assert.throws(() => batchFromColumns({ v: type }, { v: makeData({ ...list, nullCount: 0 }) }), {
      code: "MILL_RECORD_INVALID",
      message: /column "v" .*: row 0 has null elements/,
    });
    const columns = { v: t.optional(type) };
    const batch = batchFromColumns(columns, { v: makeData({ ...list, nullCount: 1, nullBitmap: bitmap(1) }) });
    assert.deepEqual(rowsOf(columns, batch), [{ v: null }, { v: new Float32Array(2) }]);
  });
});
