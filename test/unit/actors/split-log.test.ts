import assert from "node:assert/strict";
import { SplitLog } from "../../../src/actors/split-log.js";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { type SplitRecord, splitRecordFrame } from "../../../src/wire/stored.js";
import { turns } from "./support.js";

const N = limits.splitPageParts;
const keyOf = (kind: string) => (number: bigint) => `${kind}/${number.toString().padStart(12, "0")}`;
const logOver = (store: ObjectStore) =>
  new SplitLog({
    store,
    log: silentLog,
    logKey: keyOf("log"),
    pageKey: (size, number) => keyOf(`pages/${size}`)(number),
  });

function record(number: number): SplitRecord {
  const split = { id: `s${number}`, payload: new Uint8Array(), rows: 1 };
  const assignments = [{ reader: "a", number: BigInt(number), split }];
  return { source: "in", number: BigInt(number), assignments, listed: false, term: 1n, attempt: 1 };
}

async function filled(records: number, store: ObjectStore = new MemoryStore()): Promise<ObjectStore> {
  const log = logOver(store);
  for (let number = 1; number <= records; number++) await log.append(record(number));
  await turns();
  return store;
}

/** What it reads, and how many objects it asked for. */
async function readAll(store: ObjectStore) {
  let gets = 0;
  const counting = new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (name === "get") gets += 1;
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
  const log = logOver(counting);
  const splits: string[] = [];
  for await (const { assignments } of log.read()) splits.push(...assignments.map(({ split }) => split.id));
  return { log, splits, gets };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => `s${i + 1}`);

async function keys(store: ObjectStore, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(prefix)) found.push(key);
  return found;
}

describe("actors/split-log: records and pages", () => {
  for (const count of [
    0,
    1,
    2,
    N - 1,
    N,
    N + 1,
    3 * N,
    3 * N + 5,
    N * N,
    N * N + N + 1,
    2 * N ** 3 + 3 * N * N + 4 * N + 5,
  ]) {
    it(`${count} records are read in their order, and the next goes behind them (S1)`, async () => {
      const { log, splits } = await readAll(await filled(count));
      assert.deepEqual(splits, upTo(count));
      assert.equal(log.newest, BigInt(count));
      assert.equal((await log.append(record(count + 1))).assignments[0]!.split.id, `s${count + 1}`);
    });
  }

  for (const count of [0, 5, 6 * N, 6 * N - 1, 3 * N * N + 7 * N + 3, 3 * N ** 3 - 1]) {
    it(`whoever reads ${count} records later asks for pages and the newest records, and for few that are not there (S1, S3)`, async () => {
      const { gets, splits } = await readAll(await filled(count));
      assert.equal(splits.length, count);
      let there = 0;
      for (let left = count, size = N ** limits.splitPageLevels; size >= 1; left %= size, size /= N) {
        there += Math.floor(left / size);
      }
      assert.ok(gets <= 2 * there + 2 * (limits.splitPageLevels + 1), `${gets} objects, of which ${there} are there`);
    });
  }

  for (const size of [N, N * N]) {
    it(`a page of ${size} records that was not written is read from what it repeats, and is there the next time (S2)`, async () => {
      const count = 3 * size + 1;
      const store = await filled(count);
      const before = await keys(store, "pages/");
      await store.delete(keyOf(`pages/${size}`)(BigInt(2 * size)));
      const { splits } = await readAll(store);
      await turns();
      assert.deepEqual(splits, upTo(count));
      assert.deepEqual(await keys(store, "pages/"), before);
    });
  }

  it("a store that takes no pages keeps nobody from going on; the records stay (S1, S2)", async () => {
    const plain = new MemoryStore();
    const store = new Proxy<ObjectStore>(plain, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== "function") return member;
        return (...args: [string, ...unknown[]]): unknown =>
          name === "create" && args[0].startsWith("pages/")
            ? Promise.reject(new MillraceError("MILL_STORE_UNREACHABLE", "away"))
            : (member as (...a: unknown[]) => unknown).apply(target, args);
      },
    });
    await filled(2 * N, store);
    assert.deepEqual(await keys(plain, "pages/"), []);
    assert.deepEqual((await readAll(plain)).splits, upTo(2 * N));
  });

  it("what is in the log at a place is what counts, whoever wrote it (D3 of the enumerator)", async () => {
    const store = await filled(1);
    const { log } = await readAll(store);
    await store.create(keyOf("log")(2n), splitRecordFrame.encode({ ...record(2), attempt: 9 }));
    assert.equal((await log.append(record(2))).attempt, 9);
    assert.equal(log.newest, 2n);
  });
});
