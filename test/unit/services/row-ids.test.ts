import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { rowIdsOf } from "../../../src/services/row-ids.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { concatBatches } from "../../../src/types/concat.js";
import { lineageFrom } from "../../../src/types/lineage.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";

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
