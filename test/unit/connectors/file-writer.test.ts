import assert from "node:assert/strict";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { SinkWriter } from "../../../src/topology/endpoints.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { contextOf, keysOf } from "./writing.js";

const columns = { n: t.int32 };
const numbers = (...ns: number[]) =>
  batchFromRows(
    columns,
    ns.map((n) => ({ n })),
  );

async function opened(attempt = 1, store = new MemoryStore()) {
  const writer: SinkWriter = await jsonl("out").open(contextOf(columns, store, attempt));
  const text = async (key: string) => Buffer.from(await store.get(key)).toString("utf8");
  const visible = async () => (await keysOf(store)).filter((key) => !key.startsWith("_"));
  return { writer, store, text, visible };
}

describe("connectors/file-writer: from batches to published files", () => {
  it("nothing is visible before the commit, then the whole file under a name without the attempt", async () => {
    const { writer, store, text, visible } = await opened(3);
    await writer.write(numbers(1, 2));
    assert.deepEqual(await keysOf(store), []);
    const prepared = await writer.prepare(7n);
    assert.deepEqual(await keysOf(store), ["_staging/3-out-2-7.jsonl"]);
    assert.deepEqual(await visible(), []);
    await writer.commit(prepared);
    assert.deepEqual(await keysOf(store), ["out-2-7.jsonl"]);
    assert.equal(await text("out-2-7.jsonl"), '{"n":1}\n{"n":2}\n');
  });

  it("committing again changes nothing, also from another writer", async () => {
    const { writer, store, text } = await opened();
    await writer.write(numbers(1));
    const prepared = await writer.prepare(1n);
    await writer.commit(prepared);
    await writer.commit(prepared);
    await (await opened(2, store)).writer.commit(prepared);
    assert.deepEqual(await keysOf(store), ["out-2-1.jsonl"]);
    assert.equal(await text("out-2-1.jsonl"), '{"n":1}\n');
  });

  it("each checkpoint is a file with the rows written since the one before", async () => {
    const { writer, text, visible } = await opened();
    await writer.write(numbers(1));
    const first = await writer.prepare(1n);
    await writer.write(numbers(2));
    const second = await writer.prepare(2n);
    await writer.commit(first);
    await writer.commit(second);
    assert.deepEqual(await visible(), ["out-2-1.jsonl", "out-2-2.jsonl"]);
    assert.deepEqual([await text("out-2-1.jsonl"), await text("out-2-2.jsonl")], ['{"n":1}\n', '{"n":2}\n']);
  });

  it("a checkpoint without rows makes no file", async () => {
    const { writer, store } = await opened();
    await writer.write(numbers());
    await writer.commit(await writer.prepare(1n));
    assert.deepEqual(await keysOf(store), []);
  });

  it("what was written and not prepared leaves nothing behind when it is aborted", async () => {
    const { writer, store } = await opened();
    await writer.write(numbers(1));
    await writer.abort();
    assert.deepEqual(await keysOf(store), []);
  });
});
