import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { rowIdsOf } from "../../../src/services/row-ids.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { concatBatches } from "../../../src/types/concat.js";
import { type Content, inline } from "../../../src/types/content-types.js";
import { lineageFrom } from "../../../src/types/lineage.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";
import { anyRows } from "../types/arbitrary.js";

const columns = {
  n: t.int32,
  big: t.int64,
  flag: t.bool,
  text: t.optional(t.utf8),
  bytes: t.binary,
  parts: t.list(t.struct({ x: t.float32, name: t.utf8 })),
  at: t.timestamp,
};
const rows = fc.array(
  fc.record({
    n: fc.integer(),
    big: fc.bigInt({ min: -5n, max: 5n }),
    flag: fc.boolean(),
    text: fc.option(fc.constantFrom("", "a", "ab")),
    bytes: fc.uint8Array({ maxLength: 4 }),
    parts: fc.array(fc.record({ x: fc.constantFrom(0, 1.5), name: fc.constantFrom("", "a") }), { maxLength: 2 }),
    at: fc.constantFrom(0, 1_700_000_000_000),
  }),
  { minLength: 1, maxLength: 6 },
);
const batchOf = (values: readonly unknown[]) => batchFromRows(columns, values as never) as unknown as RecordBatch;
const from = lineageFrom("pages/a/0", 7);

describe("services/row-ids: the id of a row", () => {
  it("does not depend on how its batch is cut, put together or sent", () => {
    fc.assert(
      fc.property(rows, fc.nat(), (values, at) => {
        const batch = batchOf(values);
        const ids = rowIdsOf("ocr", batch, from);
        const cut = at % values.length;
        const pieces = cut === 0 ? [batch] : [batch.slice(0, cut), batch.slice(cut)];
        const later = { ...from, first: from.first + cut };
        if (cut > 0) assert.deepEqual(rowIdsOf("ocr", pieces[1]!, later), ids.slice(cut));
        assert.deepEqual(rowIdsOf("ocr", concatBatches(pieces), from), ids);
        const sent = decodeBatch(batch.schema, Buffer.concat(encodeBatch(pieces.at(-1)!)));
        assert.deepEqual(rowIdsOf("ocr", sent, later), ids.slice(cut));
      }),
    );
  });

  it("depends on the rows alone, of whatever types", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(12), ({ columns: types, rows: values }, at) => {
        const batch = batchFromRows(types, values) as unknown as RecordBatch;
        const ids = rowIdsOf("ocr", batch, from);
        const cut = batch.slice(Math.min(at, values.length));
        const sent = decodeBatch(batch.schema, Buffer.concat(encodeBatch(cut)));
        const later = { ...from, first: from.first + batch.numRows - cut.numRows };
        assert.deepEqual(rowIdsOf("ocr", sent, later), ids.slice(batch.numRows - cut.numRows));
        assert.deepEqual(rowIdsOf("ocr", concatBatches([batch.slice(0, batch.numRows - cut.numRows), cut]), from), ids);
      }),
    );
  });

  it("is another where one element of a tensor is, or its shape", () => {
    const types = {
      fixed: t.tensor("uint16", [2]),
      free: t.tensor("float64", [null, null]),
      e: t.embedding(2, { metric: "dot" }),
    };
    const tensor = (shape: number[], ...data: number[]) => ({ data: Float64Array.from(data), shape });
    const one = { fixed: Uint16Array.of(1, 2), free: tensor([1, 2], 1, 2), e: Float32Array.of(0, 1) };
    const ids = [
      one,
      { ...one, fixed: Uint16Array.of(2, 1) },
      { ...one, free: tensor([2, 1], 1, 2) },
      { ...one, free: tensor([1, 2], 1, 3) },
      { ...one, e: Float32Array.of(0, 2) },
    ].map((row) => rowIdsOf("ocr", batchFromRows(types, [row]) as unknown as RecordBatch, from)[0]);
    assert.equal(new Set(ids).size, ids.length);
  });

  describe("of content", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const held = inline(bytes, "image/png");
    const moved = { ...held, uri: "s3://jobs/a/content/x", sha256, bytes: null };
    const idOf = (image: Content, types: Columns = { image: t.image }) =>
      rowIdsOf("ocr", batchFromRows(types, [{ image }]) as unknown as RecordBatch, from)[0]!;

    it("is the same when its bytes are moved out, and wherever they lie", () => {
      assert.equal(idOf(moved), idOf(held));
      assert.equal(idOf({ ...moved, uri: "file:///elsewhere" }), idOf(held));
      assert.equal(idOf({ ...held, sha256 }), idOf(held));
    });

    it("is the same within lists and structs", () => {
      const types = { list: t.list(t.struct({ image: t.optional(t.image) })) };
      const ids = [held, moved].map((image) => {
        const batch = batchFromRows(types, [{ list: [{ image: null }, { image }] }]);
        return rowIdsOf("ocr", batch as unknown as RecordBatch, from)[0];
      });
      assert.equal(ids[0], ids[1]);
    });

    it("is another for other content, another range or another media type", () => {
      const others = [
        inline(Uint8Array.of(1, 2, 4), "image/png"),
        { ...moved, sha256: sha256.replace(/^./, (digit) => (digit === "0" ? "1" : "0")) },
        { ...moved, offset: 1n },
        { ...moved, sizeBytes: 2n },
        { ...moved, mediaType: "image/jpeg" },
      ];
      assert.equal(new Set([held, ...others].map((image) => idOf(image))).size, others.length + 1);
    });

    it("is another for another address, where nothing else says what it is", () => {
      const unknown = { ...moved, sha256: "" };
      assert.notEqual(idOf(unknown), idOf({ ...unknown, uri: "s3://jobs/a/content/y" }));
      assert.notEqual(idOf(unknown), idOf(moved));
    });

    it("is another for pixels of another shape", () => {
      const pixels = (width: number, height: number) =>
        idOf({ ...inline(new Uint8Array(6), ""), width, height, channels: 1 } as Content, { image: t.pixels() });
      assert.notEqual(pixels(2, 3), pixels(3, 2));
    });

    it("of an object reference is by its address: the reference is the value", () => {
      const ref = { image: t.objectRef };
      assert.notEqual(idOf(moved, ref), idOf({ ...moved, uri: "file:///elsewhere" }, ref));
    });
  });

  it("is another for another row, place, origin or operator", () => {
    const one = { n: 1, big: 1n, flag: true, text: "a", bytes: Uint8Array.of(1), parts: [], at: 0 };
    const others = [
      { ...one, n: 2 },
      { ...one, big: 2n },
      { ...one, flag: false },
      { ...one, text: null },
      { ...one, text: "" },
      { ...one, bytes: Uint8Array.of() },
      { ...one, parts: [{ x: 0, name: "" }] },
      { ...one, parts: [{ x: 0, name: "a" }] },
      { ...one, at: 1 },
    ];
    const idOf = (row: unknown, operator = "ocr", lineage = from) => rowIdsOf(operator, batchOf([row]), lineage)[0]!;
    const ids = [one, ...others].map((row) => idOf(row));
    ids.push(
      idOf(one, "other"),
      idOf(one, "ocr", lineageFrom("pages/b/0", 7)),
      idOf(one, "ocr", lineageFrom("pages/a/0", 8)),
    );
    assert.equal(new Set(ids).size, ids.length);
    assert.ok(ids.every((id) => id.length === 16));
    const [first, second] = rowIdsOf("ocr", batchOf([one, one]), from);
    assert.notEqual(first, second, "two equal rows are two");
  });

  it("does not depend on the place, where rows have none", () => {
    const values = ["a", "b"].map((text) => ({
      n: 1,
      big: 1n,
      flag: true,
      text,
      bytes: Uint8Array.of(),
      parts: [],
      at: 0,
    }));
    const none = lineageFrom("counts", -1);
    const [a, b] = rowIdsOf("ocr", batchOf(values), none);
    assert.deepEqual(rowIdsOf("ocr", batchOf([...values].reverse()), none), [b, a]);
  });
});
