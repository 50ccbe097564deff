/** Leaders over one store, old records of whose log are deleted while they look, sleep and wake up. */
import assert from "node:assert/strict";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { type RegionLog, readRegionLog } from "../../../src/coordinator/region-log.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ListedObject, ObjectStore } from "../../../src/storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { floorsOf, leaderOf } from "./region-leader.js";

const JOB = "job" as JobId;
const keys = jobKeys(JOB);

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

/** As a leader that begins reads it. */
function readLog(store: ObjectStore, over: Partial<RegionLog> = {}): Promise<RegionRecord[]> {
  const floor = () => floorsOf(store).read(JOB, "r");
  return readRegionLog({ store, keys, region: "r", floor, ...over }, limits.checkpointsKept);
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
    const found = await readLog(store);
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
    const read = async (over?: Partial<RegionLog>) => (await readLog(store, over)).at(-1)?.number;
    for (const listing of [early, late]) {
      store.listings.push(listing);
      assert.equal(await read(), 7n);
    }
    // Where the bucket was lost, and nobody knows from where on the log is kept.
    const floor = async () => 0n;
    store.listings.push(early);
    assert.equal(await read({ floor }), 7n);
    store.listings.push(early, early, early);
    await assert.rejects(read({ floor }), { code: "MILL_STORE_FAILED" });
  });

  it("a log whose beginning was deleted is not empty for a leader whose listing is older than the log (L1, rule 1)", async () => {
    const store = new StaleStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(5, store);
    assert.deepEqual(await numbersIn(store), [4, 5, 6]);
    const next = leaderOf(store, 2n);
    store.listings.push([]);
    await next.look(2);
    assert.deepEqual(await numbersIn(store), [4, 5, 6, 7], "it goes on behind the newest record");
    assert.equal(next.facts().committed, 6n);
  });

  it("a record that is deleted while the log is read is not taken for its end (L1, L4)", async () => {
    const store = new StaleStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(2, store);
    const early = await store.snapshot(keys.regionLog("r")); // names 3 as the newest
    await one.commit(2, store);
    const get = store.get.bind(store);
    store.get = async (...args) => {
      const bytes = await get(...args);
      store.get = get;
      await one.commit(6, store); // record 3 was found, and now it is gone, with those behind it
      return bytes;
    };
    store.listings.push(early);
    const found = await readLog(store);
    assert.deepEqual(
      found.map(({ number }) => number),
      [9n, 10n, 11n],
    );
  });

  it("nothing is deleted where the floor cannot be raised (L4)", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.commit(3, store);
    one.bus.bucket = () => Promise.reject(new Error("no answer"));
    await one.commit(3, store);
    assert.deepEqual(await numbersIn(store), [2, 3, 4, 5, 6, 7]);
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
    const read = () => readLog(store, { first: 9n });
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
