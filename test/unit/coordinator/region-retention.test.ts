/** Leaders over one store, old records of whose log are deleted while they look, sleep and wake up. */
import assert from "node:assert/strict";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { readRegionLog } from "../../../src/coordinator/region-log.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ListedObject, ObjectStore } from "../../../src/storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { leaderOf } from "./region-leader.js";

const keys = jobKeys("job" as JobId);

async function numbersIn(store: ObjectStore): Promise<number[]> {
  const found: number[] = [];
  for await (const { key } of store.list(keys.regionLog("r"))) found.push(Number(key.slice(-12)));
  return found;
}

async function snapshotsIn(store: ObjectStore): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list(keys.snapshots("r"))) found.push(key.slice(keys.snapshots("r").length));
  return found;
}

/** A store whose next listings are as it was when they were set. */
class StaleStore extends MemoryStore {
  listings: ListedObject[][] = [];
  gets = 0;

  async snapshot(prefix: string): Promise<ListedObject[]> {
    const found: ListedObject[] = [];
    for await (const info of super.list(prefix)) found.push(info);
    return found;
  }
  override async *list(prefix: string): AsyncIterable<ListedObject> {
    const old = this.listings.shift();
    if (old === undefined) yield* super.list(prefix);
    else yield* old;
  }
  override get(...args: Parameters<MemoryStore["get"]>): Promise<Uint8Array> {
    this.gets += 1;
    return super.get(...args);
  }
}

describe("coordinator/region-retention: old records of a region's log", () => {
  it(`keeps ${limits.checkpointsKept} commits and what they refer to, and deletes the rest behind a newer commit (H1)`, async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(6, store);
    assert.deepEqual(await numbersIn(store), [5, 6, 7]);
    assert.deepEqual(
      await snapshotsIn(store),
      [5, 6, 7].flatMap((n) => [`00000000000${n}-1-a`, `00000000000${n}-1-b`]),
    );
  });

  it("deletes nothing where it does not lead any more", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(3, store);
    const before = await numbersIn(store);
    one.answersOfLeads.push(true, false); // after the record was created; before anything is deleted
    await one.commit(1, store);
    assert.deepEqual(await numbersIn(store), [...before, 5]);
  });

  it("deletes the snapshots of a checkpoint that was given up, and of an attempt that was too late (H2)", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await store.put(keys.snapshot("r", 1n, 1, "a"), new Uint8Array([1])); // nobody told of it
    await one.look(2);
    const open = one.facts().open!.checkpoint;
    await store.put(keys.snapshot("r", open, 1, "a"), new Uint8Array([1]));
    one.acknowledge("a", open, keys.snapshot("r", open, 1, "a"));
    one.state.hostUp = false;
    await one.look();
    one.state.hostUp = true;
    await one.run();
    await one.commit(1, store);
    assert.deepEqual(await snapshotsIn(store), ["000000000003-2-a", "000000000003-2-b"]);
  });

  it("a new leader finds the newest record, however long the log was, with a bounded number of reads (L1, L2)", async () => {
    const store = new StaleStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(40, store);
    store.gets = 0;
    const found = await readRegionLog({ store, keys, region: "r" }, limits.checkpointsKept);
    assert.deepEqual(
      found.map(({ number }) => number),
      [39n, 40n, 41n],
    );
    assert.ok(store.gets <= 5, `${store.gets} reads`);
    const next = leaderOf(store, 2n);
    await next.look(2);
    assert.equal(next.facts().newest, 42n);
    assert.equal(next.facts().committed, 41n);
  });

  it("a listing that names only deleted records is not believed, one that misses the newest does no harm (L1)", async () => {
    const store = new StaleStore();
    const one = leaderOf(store, 1n);
    await one.run();
    const early = await store.snapshot(keys.regionLog("r"));
    await one.commit(5, store);
    const late = await store.snapshot(keys.regionLog("r"));
    await one.commit(1, store);
    const read = async () => (await readRegionLog({ store, keys, region: "r" }, 3)).at(-1)?.number;
    store.listings.push(early);
    assert.equal(await read(), 7n);
    store.listings.push(late);
    assert.equal(await read(), 7n);
    store.listings.push(early, early, early);
    await assert.rejects(read(), { code: "MILL_STORE_FAILED" });
  });

  it("a region's log that began at a later number is not taken for an empty one", async () => {
    const store = new StaleStore();
    const record = {
      kind: "COMMIT",
      job: "job",
      region: "r",
      number: 9n,
      term: 0n,
      attempt: 0,
      createdMs: 0n,
    } as const;
    await store.create(keys.regionRecord("r", 9n), regionRecordFrame.encode({ ...record, actors: [] }));
    const read = () => readRegionLog({ store, keys, region: "r", first: 9n }, 3);
    store.listings.push([]);
    assert.deepEqual(
      (await read()).map(({ number }) => number),
      [9n],
    );
    await store.delete(keys.regionRecord("r", 9n));
    await assert.rejects(read(), { code: "MILL_STORE_FAILED" });
  });

  it("a leader that slept while its next number was deleted creates it again, and it does not count (M3, rule 1)", async () => {
    const store = new MemoryStore();
    const old = leaderOf(store, 1n);
    await old.run();
    await old.look(2);
    const { checkpoint } = old.facts().open!;
    old.snapshots(checkpoint);
    // Asleep. Another leads, begins the next attempt, and goes on until that number is gone.
    const next = leaderOf(store, 2n);
    await next.look(8);
    await next.run();
    await next.commit(5, store);
    assert.ok(!(await numbersIn(store)).includes(Number(checkpoint)), "the number is free again");
    old.state.leads = false; // what the bucket would say
    old.sent.length = 0;
    await old.look(4);
    assert.ok((await numbersIn(store)).includes(Number(checkpoint)), "it was created again");
    assert.equal(old.facts().committed, 0n);
    assert.ok(!old.sent.some(({ kind }) => kind === "complete"), "nobody is told that it is committed");
    // Nor does it count for those who read.
    const third = leaderOf(store, 3n);
    await third.look(2);
    assert.equal(third.facts().newest, next.facts().newest + 1n);
    assert.equal(third.facts().committed, next.facts().committed);
  });

  it("what such a leader left is deleted in the end (H4)", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(5, store);
    const left: RegionRecord = {
      kind: "FENCE",
      job: "job",
      region: "r",
      number: 2n,
      term: 1n,
      attempt: 1,
      createdMs: 0n,
      actors: [],
    };
    await store.create(keys.regionRecord("r", 2n), regionRecordFrame.encode(left));
    const next = leaderOf(store, 2n);
    await next.run();
    await next.commit(1, store);
    assert.ok(!(await numbersIn(store)).includes(2), `${await numbersIn(store)}`);
  });
});
