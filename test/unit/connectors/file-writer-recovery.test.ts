import assert from "node:assert/strict";
import { jsonl } from "../../../src/connectors/jsonl.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { numbered, numbers } from "../actors/support.js";
import { contextOf, keysOf } from "./writing.js";

async function opened(store: MemoryStore, operator: string, subtask: number, attempt: number) {
  return jsonl("out").open({ ...contextOf(numbered, store, attempt), operator, subtask });
}

describe("connectors/file-writer: what a new attempt removes", () => {
  it("only what its own operator and subtask staged, whatever their names have in common (F3)", async () => {
    const store = new MemoryStore();
    const others = [
      ["a", 1],
      ["a-0", 0],
      ["a-0-0", 0],
      ["b-a", 0],
      ["1-a", 0],
      ["a-0", 5],
    ] as const;
    for (const [operator, subtask] of [["a", 0] as const, ...others]) {
      const writer = await opened(store, operator, subtask, 1);
      await writer.write(numbers(1));
      await writer.prepare(7n);
    }
    await (await opened(store, "a", 0, 2)).recover([]);
    assert.deepEqual(
      await keysOf(store),
      others.map(([operator, subtask]) => `_staging/1-${operator}-${subtask}-7.jsonl`).sort(),
    );
  });

  it("not what a higher attempt, the same one or another format staged (F3)", async () => {
    const store = new MemoryStore();
    for (const attempt of [10, 9, 2]) {
      const writer = await opened(store, "a", 0, attempt);
      await writer.write(numbers(1));
      await writer.prepare(1n);
    }
    await store.put("_staging/1-a-0-1.parquet", Uint8Array.of(1));
    await (await opened(store, "a", 0, 9)).recover([]);
    assert.deepEqual(await keysOf(store), [
      "_staging/1-a-0-1.parquet",
      "_staging/10-a-0-1.jsonl",
      "_staging/9-a-0-1.jsonl",
    ]);
  });

  it("commits what a snapshot of an earlier version holds", async () => {
    const store = new MemoryStore();
    await store.put("_staging/1-a-0-7.jsonl", Uint8Array.of(10));
    const pending = '{"from":"_staging/1-a-0-7.jsonl","to":"a-0-7.jsonl"}'; // golden: do not change
    await (await opened(store, "a", 0, 2)).recover([new TextEncoder().encode(pending)]);
    assert.deepEqual(await keysOf(store), ["a-0-7.jsonl"]);
  });

  it("a snapshot that cannot be read is an error that says so", async () => {
    const writer = await opened(new MemoryStore(), "a", 0, 2);
    for (const broken of ["{", "{}", "null", '{"from":1,"to":"x"}']) {
      await assert.rejects(writer.recover([new TextEncoder().encode(broken)]), { code: "MILL_INTERNAL" });
    }
  });
});
