import assert from "node:assert/strict";
import { RecordBatch } from "apache-arrow";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { recordBatch } from "../../../src/types/record-batch.js";

describe("types/record-batch: a batch of columns that fit", () => {
  const columns = { n: t.int32, text: t.optional(t.utf8) };
  const like = batchFromRows(columns, [
    { n: 1, text: "one" },
    { n: 2, text: null },
  ]) as unknown as RecordBatch;
  const made = recordBatch(like.schema, like.data.children, 2);
  const constructed = new RecordBatch(like.schema, like.data);

  it("has what the constructor sets, and nothing else", () => {
    assert.deepEqual(Object.keys(made).sort(), Object.keys(constructed).sort());
    assert.deepEqual(Object.keys(made.data).sort(), Object.keys(constructed.data).sort());
    assert.deepEqual(made.data.nullBitmap, constructed.data.nullBitmap);
    assert.deepEqual([made.data.length, made.nullCount], [constructed.data.length, constructed.nullCount]);
    assert.deepEqual(made.metadata, constructed.metadata);
  });

  it("is a record batch in all that is done with one", () => {
    assert.ok(made instanceof RecordBatch && RecordBatch.isRecordBatch(made));
    const plain = (batch: RecordBatch) => batch.toArray().map((row) => JSON.stringify(row));
    assert.deepEqual(plain(made), plain(like));
    assert.deepEqual(plain(made.slice(1)), plain(like.slice(1)));
    assert.deepEqual(plain(made.select(["text"]) as RecordBatch), plain(like.select(["text"]) as RecordBatch));
    assert.equal(made.getChild("n")?.get(1), 2);
    assert.equal(made.dictionaries.size, 0);
  });

  it("has the very schema it was given, so that what is kept for a schema is found again", () => {
    assert.equal(made.schema, like.schema);
  });
});
