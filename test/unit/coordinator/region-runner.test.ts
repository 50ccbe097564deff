/** Leaders that carry out what is decided for one region, over one store: the log is what they agree on. */
import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { leaderOf } from "./region-leader.js";

const keys = jobKeys("job" as JobId);

async function logOf(store: ObjectStore): Promise<RegionRecord[]> {
  const records: RegionRecord[] = [];
  for await (const { key } of store.list(keys.regionLog("r")))
    records.push(regionRecordFrame.decode(await store.get(key)).header);
  return records;
}

const shown = (records: readonly RegionRecord[]) =>
  records.map(({ number, kind, attempt, term }) => `${number} ${kind} ${attempt} by ${term}`);

/** @param fails what happens to a create: it fails before it is done, or after, or not at all */
function unsteady(store: MemoryStore, fails: () => MillraceError | "after" | undefined): ObjectStore {
  return new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function") return member;
      if (name !== "create") return member.bind(target) as unknown;
      return async (key: string, bytes: Uint8Array) => {
        const how = fails();
        if (how instanceof MillraceError) throw how;
        const made = await target.create(key, bytes);
        if (how === "after") throw new MillraceError("MILL_STORE_UNREACHABLE", "the answer was lost");
        return made;
      };
    },
  });
}

describe("coordinator/region-runner: the log of a region", () => {
  it("an attempt is deployed after its fence, a checkpoint committed by its record (C4, rule 1)", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.look(2);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1"]);
    assert.equal(one.sent.length, 0);
    await one.run();
    await one.look(2);
    assert.equal(one.facts().open?.checkpoint, 2n);
    one.snapshots(2n);
    await one.look();
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1", "2 COMMIT 1 by 1"]);
    assert.equal(one.facts().committed, 2n);
    one.sent.splice(0);
    await one.look();
    assert.ok(one.sent.some(({ kind, header }) => kind === "complete" && header.checkpoint === 2n));
  });

  it("a leader that was overtaken cannot commit: it meets the record of a higher term, and stops (M2, rules 1, 9)", async () => {
    const store = new MemoryStore();
    const old = leaderOf(store, 1n);
    await old.run();
    await old.look(2);
    const next = leaderOf(store, 2n);
    await next.look(2);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1", "2 FENCE 1 by 2"]);
    old.snapshots(2n);
    await old.look();
    assert.deepEqual(old.deposed, [2n]);
    assert.equal(old.facts().committed, 0n);
    assert.equal((await logOf(store)).length, 2);
  });

  it("a commit that came before the fence counts, and the fence goes behind it (rules 1, 2)", async () => {
    const store = new MemoryStore();
    const old = leaderOf(store, 1n);
    await old.run();
    await old.look(2);
    old.snapshots(2n);
    const next = leaderOf(store, 2n);
    await next.look(); // has read the log, and not fenced yet
    await old.look();
    await next.look(3);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1", "2 COMMIT 1 by 1", "3 FENCE 1 by 2"]);
    assert.equal(next.facts().committed, 2n);
  });

  it("a new leader that does not find the whole attempt at work starts the next one, from the newest commit (C8, C4)", async () => {
    const store = new MemoryStore();
    const old = leaderOf(store, 1n);
    await old.run();
    await old.look(2);
    old.snapshots(2n);
    await old.look();
    const next = leaderOf(store, 2n);
    await next.look(6);
    assert.deepEqual(shown(await logOf(store)).slice(2), ["3 FENCE 1 by 2", "4 FENCE 2 by 2"]);
    await next.look();
    const deploy = next.sent.find(({ kind }) => kind === "deploy");
    assert.deepEqual([deploy?.header.attempt, deploy?.header.checkpoint], [2, 2n]);
  });

  it("the snapshots of an attempt that was given up complete nothing (C7, rule 9)", async () => {
    const store = new MemoryStore();
    const one = leaderOf(store, 1n);
    await one.run();
    await one.look(2);
    const { checkpoint } = one.facts().open!;
    one.state.hostUp = false;
    await one.look();
    one.state.hostUp = true;
    one.snapshots(checkpoint, 1);
    await one.run();
    await one.look(2);
    one.snapshots(one.facts().open!.checkpoint, 1);
    await one.look(2);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1", "2 FENCE 2 by 1"]);
  });

  it("a commit whose answer was lost counts, though its hosts fail meanwhile (rule 2)", async () => {
    const store = new MemoryStore();
    let how: "after" | undefined;
    const one = leaderOf(
      unsteady(store, () => how),
      1n,
    );
    await one.run();
    await one.look(2);
    one.snapshots(2n);
    how = "after";
    await one.look();
    how = undefined;
    one.state.hostUp = false;
    assert.equal(one.facts().committed, 0n, "it does not know yet");
    await one.ports.clock.advance(limits.storeBackoffMsMax + 1);
    await one.look();
    one.state.hostUp = true;
    await one.look(4);
    assert.equal(one.facts().committed, 2n);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1", "2 COMMIT 1 by 1", "3 FENCE 2 by 1"]);
    assert.equal(one.sent.find(({ kind, header }) => kind === "deploy" && header.attempt === 2)?.header.checkpoint, 2n);
  });

  it("a listing that is behind brings back no old attempt (rule 1)", async () => {
    const store = new MemoryStore();
    const old = leaderOf(store, 1n);
    await old.run();
    old.state.hostUp = false;
    await old.look();
    old.state.hostUp = true;
    await old.run();
    assert.equal(old.region.attempt, 2);
    const stale = new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (name === "list") return async function* () {};
        return typeof member === "function" ? (member.bind(target) as unknown) : member;
      },
    });
    const next = leaderOf(stale, 2n);
    await next.look(8);
    assert.deepEqual(shown(await logOf(store)).slice(2), ["3 FENCE 2 by 2", "4 FENCE 3 by 2"]);
    assert.equal(next.sent.find(({ kind }) => kind === "deploy")?.header.attempt, 3);
  });

  it("what a host refuses of an attempt that is over does not fail the job (M4, guarantee 8)", async () => {
    const one = leaderOf(new MemoryStore(), 1n);
    await one.look(4);
    const deploy = one.sent.find(({ kind }) => kind === "deploy")!;
    const refuse = () => deploy.then?.refused?.("MILL_STORE_NOT_FOUND", "there is no such object.");
    one.state.hostUp = false;
    await one.look();
    one.state.hostUp = true;
    await one.look(4);
    assert.equal(one.region.attempt, 2);
    refuse();
    assert.deepEqual(one.refused, []);
    const again = one.sent.find(({ kind, header }) => kind === "deploy" && header.attempt === 2)!;
    again.then?.refused?.("MILL_STORE_UNREACHABLE", "away.");
    again.then?.refused?.("MILL_COMMAND_REFUSED", "overtaken.");
    assert.deepEqual(one.refused, []);
    again.then?.refused?.("MILL_STORE_NOT_FOUND", "there is no such object.");
    assert.deepEqual(one.refused, ["MILL_STORE_NOT_FOUND: there is no such object."]);
  });

  it("a log that cannot be read, and will not be by trying again, fails the job (rule 2)", async () => {
    const store = new MemoryStore();
    await store.put(keys.regionRecord("r", 1n), new Uint8Array([1, 2, 3]));
    const one = leaderOf(store, 1n);
    await one.look(2);
    assert.equal(one.refused.length, 1);
    assert.match(one.refused[0]!, /log of region "r"/);
  });

  it("what the store refuses for now is tried again, one record at a time (M1)", async () => {
    const store = new MemoryStore();
    let creates = 0;
    const away = new MillraceError("MILL_STORE_UNREACHABLE", "away");
    const one = leaderOf(
      unsteady(store, () => (creates++ === 0 ? away : undefined)),
      1n,
    );
    await one.look(5);
    assert.equal(creates, 1);
    await one.ports.clock.advance(limits.storeBackoffMsMax + 1);
    await one.look(2);
    assert.deepEqual(shown(await logOf(store)), ["1 FENCE 1 by 1"]);
    assert.deepEqual(one.refused, []);
  });
});
