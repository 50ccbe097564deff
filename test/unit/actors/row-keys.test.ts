import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { rowKeys } from "../../../src/actors/row-keys.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";

describe("actors/row-keys: keys as texts", () => {
  it("rows whose texts differ in U+FEFF at the beginning alone have two keys, and null is a third", () => {
    const columns = { word: t.optional(t.utf8), n: t.int32 };
    const rows = ["a", "\ufeffa", null].map((word) => ({ word, n: 7 }));
    const keyOf = rowKeys(batchFromRows(columns, rows) as unknown as RecordBatch, ["word", "n"]);
    assert.deepEqual([keyOf(0), keyOf(1), keyOf(2)], ["1:a1:7", "2:\ufeffa1:7", "~1:7"]);
  });
});
