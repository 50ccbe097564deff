import assert from "node:assert/strict";
import { type Schema, tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { readParquet } from "parquet-wasm";
import { parquet } from "../../../src/connectors/parquet.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { type Columns, type Row, t } from "../../../src/types/columns.js";
import { concatBatches } from "../../../src/types/concat.js";
import { anyRows } from "../types/arbitrary.js";
import { everyRow, everyType, published } from "./writing.js";

function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

/** With a reader that shares no code with the writer. */
function readRows(bytes: Uint8Array): Promise<Record<string, unknown>[]> {
  return parquetReadObjects({ file: bufferOf(bytes), compressors, utf8: false });
}

describe("connectors/parquet: rows as files", () => {
  it("every column type comes back in another reader", async () => {
    const bytes = await published(parquet("out"), everyType, [batchFromRows(everyType, everyRow)]);
    const expected = everyRow.map((row) => ({ ...row, when: new Date(row.when) }));
    assert.deepEqual(await readRows(bytes), expected);
  });

  it("nulls come back as nulls, in every optional column and within lists and structs", async () => {
    const columns = {
      number: t.optional(t.int64),
      list: t.optional(t.list(t.optional(t.utf8))),
      struct: t.struct({ part: t.optional(t.float64) }),
    };
    const rows = [
      { number: null, list: null, struct: { part: null } },
      { number: 1n, list: ["a", null], struct: { part: 0.5 } },
      { number: null, list: [], struct: { part: null } },
    ];
    const read = await readRows(await published(parquet("out"), columns, [batchFromRows(columns, rows)]));
    const plain = (value: unknown) =>
      JSON.parse(JSON.stringify(value, (_, v) => (typeof v === "bigint" ? `${v}` : (v ?? null))));
    assert.deepEqual(plain(read), plain(rows));
  });

  it("the Arrow schema is kept with nullability and extension types", async () => {
    const bytes = await published(parquet("out"), everyType, [batchFromRows(everyType, everyRow)]);
    const { key_value_metadata: metadata = [] } = parquetMetadata(bufferOf(bytes));
    const encoded = metadata.find(({ key }) => key === "ARROW:schema")?.value;
    assert.ok(encoded !== undefined, `no ARROW:schema among ${metadata.map(({ key }) => key).join()}`);
    const { fields } = schemaOf(Buffer.from(encoded, "base64"));
    assert.deepEqual(
      fields.map(({ name, nullable }) => [name, nullable]),
      Object.entries(everyType).map(([name, { nullable }]) => [name, nullable]),
    );
    const ref = fields.find(({ name }) => name === "ref");
    assert.equal(ref?.metadata.get("ARROW:extension:name"), "millrace.object_ref");
    assert.equal(String(fields.find(({ name }) => name === "when")?.type), "Timestamp<MILLISECOND, UTC>");
  });

  it("any rows come back, in batches of any size and cut anywhere", async () => {
    const someRows = anyRows.filter(({ rows }) => rows.length > 0);
    await fc.assert(
      fc.asyncProperty(someRows, fc.nat(12), async ({ columns, rows }, cut) => {
        const at = Math.min(cut, rows.length);
        const whole = batchFromRows(columns, rows);
        const parts = [whole.slice(0, at), whole.slice(at, rows.length)];
        const bytes = await published(parquet("out"), columns, parts);
        assert.deepEqual(readBack(columns, bytes), rows);
      }),
      { numRuns: 40 },
    );
  });

  it("many batches become one file", async () => {
    const columns = { n: t.int32 };
    const batches = Array.from({ length: 50 }, (_, i) => batchFromRows(columns, [{ n: i }]));
    const read = await readRows(await published(parquet("out"), columns, batches));
    assert.deepEqual(
      read.map(({ n }) => n),
      [...batches.keys()],
    );
  });
});

/** An encapsulated schema message becomes a stream by the mark of its end. */
function schemaOf(message: Uint8Array): Schema {
  const end = Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0);
  return tableFromIPC(Buffer.concat([message, end])).schema;
}

/** Through Arrow: what a reader that knows the Arrow schema gets. */
function readBack<C extends Columns>(columns: C, bytes: Uint8Array): Row<C>[] {
  const { batches } = tableFromIPC(readParquet(bytes).intoIPCStream());
  return rowsOf(columns, concatBatches(batches) as never);
}
