/** Every type of `t` over the wire: its fields with their metadata, and its values, alone and within others. */
import assert from "node:assert/strict";
import type { DataType, Field, RecordBatch } from "apache-arrow";
import fc from "fast-check";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { concatBatches } from "../../../src/types/concat.js";
import { takeRows } from "../../../src/types/take.js";
import { decodeBatch, decodeSchema, encodeBatch, encodeSchema } from "../../../src/wire/arrow.js";
import { anyRows, plainTypes, tensorKinds } from "../types/arbitrary.js";

function shown(field: Field): unknown {
  const children = ((field.type as DataType).children ?? []) as Field[];
  return {
    name: field.name,
    type: String(field.type),
    nullable: field.nullable,
    metadata: Object.fromEntries(field.metadata),
    children: children.map(shown),
  };
}

function sent(batch: RecordBatch): RecordBatch {
  return decodeBatch(decodeSchema(encodeSchema(batch.schema)), new Uint8Array(Buffer.concat(encodeBatch(batch))));
}

describe("wire: the column types", () => {
  for (const [name, { type }] of Object.entries({ ...plainTypes, ...tensorKinds })) {
    it(`t.${name}: its schema arrives with names, types and metadata, within lists and structs too`, () => {
      const schema = arrowSchema({
        plain: type,
        maybe: t.optional(type),
        list: t.list(type),
        struct: t.struct({ part: t.list(t.struct({ type })) }),
      });
      assert.deepEqual(decodeSchema(encodeSchema(schema)).fields.map(shown), schema.fields.map(shown));
    });
  }

  it("rows of any types arrive as they were, also where they were cut, put together, taken and sent on", () => {
    fc.assert(
      fc.property(anyRows, fc.nat(12), ({ columns, rows }, at) => {
        const batch = batchFromRows(columns, rows) as unknown as RecordBatch;
        const cut = Math.min(at, rows.length);
        const received = sent(batch.slice(cut));
        assert.deepEqual(rowsOf(columns, received as never), rows.slice(cut));
        const swapped = sent(concatBatches([received, sent(batch.slice(0, cut))]));
        assert.deepEqual(rowsOf(columns, swapped as never), [...rows.slice(cut), ...rows.slice(0, cut)]);
        const backwards = Int32Array.from(rows.keys()).reverse();
        assert.deepEqual(rowsOf(columns, sent(takeRows(sent(batch), backwards)) as never), [...rows].reverse());
      }),
      { numRuns: 80 },
    );
  });
});
