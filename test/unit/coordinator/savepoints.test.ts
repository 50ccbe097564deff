/** Savepoints of a job of one region, whose hosts are the test. */
import assert from "node:assert/strict";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { Savepoints, type SavepointsOptions } from "../../../src/coordinator/savepoints.js";
import { NO_WISHES } from "../../../src/coordinator/wishes.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { savepointFrame, splitRecordFrame } from "../../../src/wire/stored.js";
import { gate } from "../actors/support.js";
import { leaderOf } from "./region-leader.js";

const JOB = "job" as JobId;
const keys = jobKeys(JOB);
const question = { job: JOB, name: "half-way", stop: false };

async function setUp() {
  const store = new MemoryStore();
  const leader = leaderOf(store, 1n);
  let cancelled = 0;
  const noted: string[] = [];
  const holds = { note: Promise.resolve() };
  Object.assign(leader.book, {
    state: "RUNNING",
    exchanges: [],
    wishes: NO_WISHES,
    sources: ["in"],
    topology: "t",
    planHash: "h",
    operators: [],
    subtaskOf: () => 0,
    cancel() {
      cancelled++;
      this.state = "FAILING";
    },
    describe() {
      return { state: this.state, code: "" };
    },
  });
  const told: string[] = [];
  const options: SavepointsOptions = {
    store,
    bus: new MemoryBus(leader.ports),
    namespace: "test" as Namespace,
    ports: leader.ports,
    leads: async () => true,
    note: async (book) => {
      await holds.note;
      noted.push(book.state);
    },
    look: () => {},
    tell: ({ kind, about = "", code = "" }) => told.push([kind, about, code].join(" ")),
  };
  const savepoints = new Savepoints(options);
  const look = async (times = 1) => {
    for (let i = 0; i < times; i++) {
      savepoints.look(leader.book);
      await leader.look();
    }
  };
  await leader.run();
  const ask = (stop = false) => savepoints.ask(leader.book, { ...question, stop });
  const there = async () => (await store.head(keys.savepoint("half-way"))) !== undefined;
  return { store, leader, look, ask, there, told, cancelled: () => cancelled, noted, holds, savepoints, options };
}

describe("coordinator/savepoints: taking one", () => {
  it("takes a checkpoint that is opened after it was asked for, and waits until all of it is published (V2, V3)", async () => {
    const { store, leader, look, ask, there, told } = await setUp();
    await leader.look(2);
    const early = leader.facts().open!.checkpoint;
    assert.equal((await ask()).state, "OPEN");
    await look();
    leader.snapshots(early);
    await look(3);
    assert.equal(leader.facts().committed, early);
    assert.ok(leader.region.wanted, "the checkpoint that was open does not do");
    const own = leader.facts().open!.checkpoint;
    const key = keys.snapshot("r", own, 1, "a");
    await store.put(key, new Uint8Array([7]));
    leader.acknowledge("a", own, key);
    leader.acknowledge("b", own, "");
    await look(4);
    assert.equal(leader.facts().committed, own);
    assert.equal(await there(), false, "not everything is published");
    leader.publish(own);
    await splitLog(store);
    await look(4);
    assert.equal((await ask()).state, "DONE");
    const { header } = savepointFrame.decode(await store.get(keys.savepoint("half-way")));
    assert.deepEqual(
      header.regions.map(({ region, number }) => [region, number]),
      [["r", own]],
    );
    assert.deepEqual(header.sources, [{ source: "in", records: 2n }]);
    const [a] = header.regions[0]!.actors;
    assert.deepEqual([...(await store.get(a!.key))], [7], "the savepoint has its own copy");
    assert.notEqual(a!.key, key);
    assert.deepEqual(told, ["savepoint.taken half-way "]);
  });

  it("is being written for as long as its parts are copied: the job does not end meanwhile (J4)", async () => {
    const { store, leader, look, ask, there } = await setUp();
    await ask();
    await look(2);
    const own = leader.facts().open!.checkpoint;
    leader.snapshots(own);
    await look(3);
    const copying = gate();
    const put = store.put.bind(store);
    store.put = async (key, ...rest) => {
      if (key.includes("/savepoint-snapshots/")) await copying.promise;
      return put(key, ...rest);
    };
    assert.ok(!leader.book.recording);
    leader.publish(own);
    await splitLog(store);
    await look(3);
    assert.deepEqual([leader.book.recording, await there()], [true, false]);
    copying.open();
    await look(3);
    assert.deepEqual([leader.book.recording, await there()], [false, true]);
  });

  it("takes the last commit of a region that is over, though a full log keeps what it wrote from being published (V2, V3)", async () => {
    const { store, leader, look, ask, there } = await setUp();
    await leader.look(2);
    const last = leader.facts().open!.checkpoint;
    assert.equal((await ask()).state, "OPEN");
    for (const actor of ["a", "b"]) leader.acknowledge(actor, last, "", true);
    await look(3);
    assert.ok(leader.facts().finished);
    leader.publish(last, 0n);
    await splitLog(store);
    await look(4);
    assert.ok(await there());
  });

  it("with stop, commits nothing behind it and cancels the job (C10)", async () => {
    const { leader, look, ask, cancelled, noted, holds } = await setUp();
    await ask(true);
    await look(2);
    const own = leader.facts().open!.checkpoint;
    leader.snapshots(own);
    await look(3);
    leader.obey();
    await look(3);
    assert.deepEqual([leader.facts().committed, leader.facts().open], [own, undefined], "nothing else is opened");
    assert.equal(cancelled(), 0);
    const note = gate();
    holds.note = note.promise;
    leader.publish(own);
    await look(3);
    assert.equal(cancelled(), 1);
    assert.equal((await ask(true)).state, "OPEN", "the next leader would not know of it");
    note.open();
    await look(1);
    assert.equal((await ask(true)).state, "DONE");
    assert.deepEqual(noted, ["FAILING"]);
  });

  it("with stop, is not said to be done where the job was not stopped: it goes on, or has ended by itself (C10)", async () => {
    const { store, leader, ask } = await setUp();
    await store.put(keys.savepoint("half-way"), new Uint8Array());
    for (const state of ["RUNNING", "FINISHED"]) {
      Object.assign(leader.book, { state });
      await assert.rejects(ask(true), { code: "MILL_JOB_FAILED", message: /the job was not stopped at it/ });
      assert.equal((await ask()).state, "DONE");
    }
    Object.assign(leader.book, { state: "CANCELLED" });
    assert.equal((await ask(true)).state, "DONE");
  });

  it("a coordinator that leads no more, and takes one of that name, changes nothing of the one that is there", async () => {
    const { store, leader, look, ask, there, options } = await setUp();
    const late = new Savepoints({ ...options, leads: async () => false });
    for (const one of [await ask(), await late.ask(leader.book, question)]) assert.equal(one.state, "OPEN");
    const commit = async (byte: number) => {
      await look(2);
      const own = leader.facts().open!.checkpoint;
      const key = keys.snapshot("r", own, 1, "a");
      await store.put(key, new Uint8Array([byte]));
      leader.acknowledge("a", own, key, false, `${byte}`);
      leader.acknowledge("b", own, "");
      await look(3);
      leader.publish(own);
      await splitLog(store);
      await look(4);
    };
    await commit(7);
    assert.ok(await there());
    for (const byte of [8, 9]) {
      late.look(leader.book);
      await commit(byte);
    }
    for (let i = 0; i < 4; i++) {
      late.look(leader.book);
      await leader.look();
    }
    const { header } = savepointFrame.decode(await store.get(keys.savepoint("half-way")));
    assert.deepEqual([...(await store.get(header.regions[0]!.actors[0]!.key))], [7]);
    const copies = [];
    for await (const { key } of store.list(`jobs/${JOB}/savepoint-snapshots/`)) copies.push(key);
    assert.ok(copies.length > 2, "it copied what it took");
  });

  it("with stop, a job is not stopped at the savepoint that another coordinator recorded meanwhile (C10)", async () => {
    const { store, leader, look, ask, cancelled } = await setUp();
    await ask(true);
    await look(2);
    const own = leader.facts().open!.checkpoint;
    leader.snapshots(own);
    await look(3);
    await store.put(keys.savepoint("half-way"), new Uint8Array([1]));
    leader.publish(own);
    await splitLog(store);
    await look(4);
    assert.deepEqual([(await ask(true)).state, cancelled()], ["FAILED", 0]);
  });

  it("fails where the job ends first, leaves no record, and can be asked for again (V4)", async () => {
    const { leader, look, ask, there } = await setUp();
    await ask();
    await look();
    Object.assign(leader.book, { state: "COMMITTING" });
    await look();
    assert.equal((await ask()).state, "FAILED");
    assert.equal(await there(), false);
    Object.assign(leader.book, { state: "RUNNING" });
    assert.equal((await ask()).state, "OPEN");
  });

  it("fails after its time (V4)", async () => {
    const { told, leader, look, ask } = await setUp();
    await ask();
    await look();
    await leader.ports.clock.advance(limits.savepointTimeoutMs + 1);
    await look();
    assert.match((await ask()).message, /it took too long/);
    assert.equal(told.length, 1, "and says so");
  });

  it("is refused where the name is none, another is being taken, or the job does not say who reads its exchanges", async () => {
    const { leader, ask, savepoints } = await setUp();
    await assert.rejects(savepoints.ask(leader.book, { ...question, name: "a/b" }), { code: "MILL_CONFIG" });
    await ask();
    await assert.rejects(savepoints.ask(leader.book, { ...question, name: "other" }), /half-way.*is being taken/);
    const other = await setUp();
    Object.assign(other.leader.book, { exchanges: [{ operator: "log", partitions: 1, readers: [], writers: [] }] });
    await assert.rejects(other.ask(), /earlier version/);
  });
});

async function splitLog(store: MemoryStore): Promise<void> {
  for (const number of [1n, 2n]) {
    const record = { source: "in", number, assignments: [], listed: false, term: 0n, attempt: 0 };
    await store.create(keys.splitRecord("in", number), splitRecordFrame.encode(record));
  }
}
