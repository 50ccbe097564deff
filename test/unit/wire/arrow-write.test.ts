import assert from "node:assert/strict";
import { Message, type RecordBatch } from "apache-arrow";
import { RecordBatch as BatchHeader } from "apache-arrow/ipc/metadata/message";
import { VectorAssembler } from "apache-arrow/visitor/vectorassembler";
import fc from "fast-check";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { lineageText, withLineage } from "../../../src/types/lineage.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";
import { encapsulated } from "../../../src/wire/arrow-message.js";

const columns = {
  id: t.int64,
  text: t.optional(t.utf8),
  ok: t.optional(t.bool),
  tags: t.list(t.optional(t.utf8)),
  box: t.optional(t.struct({ x: t.float32, n: t.optional(t.int32) })),
  raw: t.binary,
};

const row = fc.record(
  {
    id: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    text: fc.option(fc.string()),
    ok: fc.option(fc.boolean()),
    tags: fc.array(fc.option(fc.string()), { maxLength: 4 }),
    box: fc.option(
      fc.record({ x: fc.constant(1.5), n: fc.option(fc.integer({ min: -5, max: 5 })) }, { noNullPrototype: true }),
    ),
    raw: fc.uint8Array({ maxLength: 20 }),
  },
  { noNullPrototype: true },
);

/** As apache-arrow's own writer lays it down. */
function byArrow(batch: RecordBatch, lineage: string): Buffer {
  const { byteLength, nodes, bufferRegions, buffers } = VectorAssembler.assemble(batch);
  const metadata = lineage === "" ? undefined : new Map([["millrace.lineage", lineage]]);
  const header = new BatchHeader(batch.numRows, nodes, bufferRegions, null, [], metadata);
  const parts: Uint8Array[] = [encapsulated(Message.encode(Message.from(header, byteLength)))];
  for (const buffer of buffers) {
    parts.push(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
    parts.push(new Uint8Array(-buffer.byteLength & 7));
  }
  return Buffer.concat(parts);
}

describe("wire/arrow-write, wire/arrow-head: a record batch message", () => {
  it("is byte for byte what apache-arrow writes: any rows, any slice, received ones, with and without lineage", () => {
    const rows = fc.array(row, { minLength: 1, maxLength: 20 });
    const origin = fc.string({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(rows, fc.nat(19), fc.nat(20), fc.option(origin), fc.nat(2 ** 40), (given, from, to, name, first) => {
        const all = batchFromRows(columns, given) as unknown as RecordBatch;
        const cut = all.slice(Math.min(from, given.length - 1), Math.max(to, from + 1));
        const lineage = name === null ? undefined : { origin: name, first };
        const text = lineage === undefined ? "" : lineageText(lineage);
        withLineage(cut, lineage);
        const message = Buffer.concat(encodeBatch(cut));
        assert.ok(message.equals(byArrow(cut, text)));
        const received = decodeBatch(cut.schema, message);
        assert.ok(Buffer.concat(encodeBatch(received)).equals(message));
        const part = received.slice(0, 1);
        assert.ok(Buffer.concat(encodeBatch(part)).equals(byArrow(part, "")));
      }),
      { numRuns: 300 },
    );
  });

  it("copies no buffer that need not be cut (P1)", () => {
    const batch = batchFromRows({ raw: t.binary }, [{ raw: new Uint8Array(64) }]) as unknown as RecordBatch;
    const { values } = batch.data.children[0]!;
    assert.ok(encodeBatch(batch).some((piece) => piece.buffer === values.buffer));
  });
});
