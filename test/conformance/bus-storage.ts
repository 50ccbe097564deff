/** What the logs and the buckets of every bus must do. Part of `bus.ts`, which opens and closes the connections. */
import assert from "node:assert/strict";
import type { Bus, DurableLog, LogEntry } from "../../src/bus/bus.js";
import { bytes, text, within } from "./bus-support.js";

export function busStorageConformance(buses: () => { readonly a: Bus; readonly b: Bus }): void {
  let a: Bus;
  let b: Bus;
  beforeEach(() => {
    ({ a, b } = buses());
  });

  describe("log", () => {
    it("numbers entries 1, 2, 3 and is the same log on another connection", async () => {
      const log = await a.log("orders");
      assert.equal(await log.last(), 0n);
      assert.equal(await log.first(), 1n);
      for (const [i, content] of ["x", "y", "z"].entries()) {
        assert.equal(await log.append(bytes(content)), BigInt(i) + 1n);
      }
      const other = await b.log("orders");
      assert.equal(await other.last(), 3n);
      assert.equal(await other.first(), 1n);
      assert.deepEqual(await take(other, 1n, 3), ["1 x", "2 y", "3 z"]);
    });

    it("appends only after the expected last entry, else fails with MILL_BUS_CONFLICT", async () => {
      const log = await a.log("orders");
      assert.equal(await log.append(bytes("x"), { expectedLast: 0n }), 1n);
      await assert.rejects(log.append(bytes("y"), { expectedLast: 0n }), {
        code: "MILL_BUS_CONFLICT",
        message: /orders/,
      });
      assert.equal(await log.append(bytes("y"), { expectedLast: 1n }), 2n);
      assert.deepEqual(await take(log, 1n, 2), ["1 x", "2 y"]);
    });

    it("lets one of two writers win a race for the same place", async () => {
      const [one, two] = [await a.log("orders"), await b.log("orders")];
      const results = await Promise.allSettled([one, two].map((log) => log.append(bytes("x"), { expectedLast: 0n })));
      assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
    });

    it("reads from a sequence on and follows the end", async () => {
      const log = await a.log("orders");
      for (const content of ["1", "2", "3"]) await log.append(bytes(content));
      const following = take(await b.log("orders"), 2n, 4);
      for (const content of ["4", "5"]) await log.append(bytes(content));
      assert.deepEqual(await following, ["2 2", "3 3", "4 4", "5 5"]);
    });

    it("starts at an entry that is not there yet", async () => {
      const log = await a.log("orders");
      await log.append(bytes("1"));
      const following = take(log, 3n, 1);
      for (const content of ["2", "3"]) await log.append(bytes(content));
      assert.deepEqual(await following, ["3 3"]);
    });

    it("ends a read when its signal aborts", async () => {
      const log = await a.log("orders");
      await log.append(bytes("1"));
      const abort = new AbortController();
      const seen: bigint[] = [];
      const reading = (async () => {
        for await (const entry of log.read(1n, abort.signal)) {
          seen.push(entry.sequence);
          abort.abort();
        }
      })();
      await within("the read to end", reading);
      assert.deepEqual(seen, [1n]);
    });

    it("drops what is below a purge, keeps its numbers, and reads on from the first kept", async () => {
      const log = await a.log("orders");
      for (const content of ["1", "2", "3", "4"]) await log.append(bytes(content));
      await log.purgeBelow(3n);
      assert.equal(await log.first(), 3n);
      assert.equal(await log.last(), 4n);
      assert.deepEqual(await take(log, 1n, 2), ["3 3", "4 4"]);
      await log.purgeBelow(2n);
      assert.equal(await log.first(), 3n);
    });

    it("purges everything without forgetting the last number, and never past it", async () => {
      const log = await a.log("orders");
      for (const content of ["1", "2"]) await log.append(bytes(content));
      await log.purgeBelow(100n);
      assert.equal(await log.last(), 2n);
      assert.equal(await log.first(), 3n);
      await assert.rejects(log.append(bytes("3"), { expectedLast: 0n }), { code: "MILL_BUS_CONFLICT" });
      assert.equal(await log.append(bytes("3"), { expectedLast: 2n }), 3n);
    });

    it("refuses an append over its bytes with MILL_BUS_LOG_FULL, drops nothing, and takes it after a purge", async () => {
      const log = await a.log("orders", { bytesMax: 100_000 });
      for (let i = 0; i < 4; i++) await log.append(new Uint8Array(20_000));
      await assert.rejects(log.append(new Uint8Array(30_000)), { code: "MILL_BUS_LOG_FULL", message: /orders/ });
      assert.equal(await log.first(), 1n);
      assert.equal(await log.last(), 4n);
      await log.purgeBelow(4n);
      assert.equal(await log.append(new Uint8Array(30_000)), 5n);
    });

    it("is gone once it is deleted, however often, and a new one of its name begins at 1", async () => {
      const log = await a.log("orders");
      for (const content of ["1", "2"]) await log.append(bytes(content));
      await b.deleteLog("orders");
      await assert.rejects(log.append(bytes("x")), { code: "MILL_BUS_LOG_GONE", message: /orders/ });
      await b.deleteLog("orders");
      await a.deleteLog("never-there");
      const next = await b.log("orders");
      assert.equal(await next.last(), 0n);
      assert.equal(await next.append(bytes("x")), 1n);
      assert.deepEqual(await take(await a.log("orders"), 1n, 1), ["1 x"]);
    });

    it("is opened where it is there, and not made where it is not, if so asked", async () => {
      await assert.rejects(a.existingLog("orders"), { code: "MILL_BUS_LOG_GONE", message: /orders/ });
      await assert.rejects(a.existingLog("orders"), { code: "MILL_BUS_LOG_GONE" }, "the question has made none");
      await (await a.log("orders")).append(bytes("x"));
      const there = await b.existingLog("orders");
      assert.equal(await there.append(bytes("y"), { expectedLast: 1n }), 2n);
      await a.deleteLog("orders");
      await assert.rejects(b.existingLog("orders"), { code: "MILL_BUS_LOG_GONE" });
      for (const use of [() => there.last(), () => there.first(), () => there.purgeBelow(2n)]) {
        await assert.rejects(use, { code: "MILL_BUS_LOG_GONE", message: /orders/ });
      }
    });

    it("is another one after it was deleted and made anew, and the same for everybody until then", async () => {
      const log = await a.log("orders");
      const first = await log.incarnation();
      assert.notEqual(first, "");
      await log.append(bytes("x"));
      await log.purgeBelow(2n);
      assert.equal(await (await b.log("orders")).incarnation(), first);
      await b.deleteLog("orders");
      await assert.rejects(log.incarnation(), { code: "MILL_BUS_LOG_GONE", message: /orders/ });
      assert.notEqual(await (await b.log("orders")).incarnation(), first);
    });

    it("keeps an empty entry and one of 500 KB", async () => {
      const log = await a.log("orders");
      await log.append(new Uint8Array());
      await log.append(new Uint8Array(500_000).fill(3));
      const entries = await takeEntries(log, 1n, 2);
      assert.deepEqual(
        entries.map(({ payload }) => payload.byteLength),
        [0, 500_000],
      );
    });

    for (const name of ["", "a.b", "a b", "a*", "x".repeat(129)]) {
      it(`refuses the name ${JSON.stringify(name.slice(0, 10))} with MILL_BUS_SUBJECT`, async () => {
        await assert.rejects(a.log(name), { code: "MILL_BUS_SUBJECT" });
        await assert.rejects(a.existingLog(name), { code: "MILL_BUS_SUBJECT" });
        await assert.rejects(a.bucket(name), { code: "MILL_BUS_SUBJECT" });
      });
    }

    it("fails with MILL_BUS_CLOSED after its bus has closed", async () => {
      const log = await b.log("orders");
      const reading = assert.rejects(take(log, 1n, 1), { code: "MILL_BUS_CLOSED" });
      await b.close();
      await reading;
      await assert.rejects(log.append(bytes("x")), { code: "MILL_BUS_CLOSED" });
      await assert.rejects(log.last(), { code: "MILL_BUS_CLOSED" });
      await assert.rejects(b.log("orders"), { code: "MILL_BUS_CLOSED" });
      await assert.rejects(b.existingLog("orders"), { code: "MILL_BUS_CLOSED" });
      await assert.rejects(b.bucket("meta"), { code: "MILL_BUS_CLOSED" });
    });
  });

  describe("bucket", () => {
    it("keeps values by key, over connections", async () => {
      const [mine, theirs] = [await a.bucket("meta"), await b.bucket("meta")];
      assert.equal(await mine.get("job.one"), undefined);
      const revision = await mine.update("job.one", bytes("x"), 0n);
      const entry = await theirs.get("job.one");
      assert.equal(entry?.key, "job.one");
      assert.equal(text(entry?.value ?? bytes("")), "x");
      assert.equal(entry?.revision, revision);
    });

    it("updates only at the key's newest revision, else fails with MILL_BUS_CONFLICT", async () => {
      const bucket = await a.bucket("meta");
      const first = await bucket.update("k", bytes("1"), 0n);
      await assert.rejects(bucket.update("k", bytes("x"), 0n), {
        code: "MILL_BUS_CONFLICT",
        message: /k in bucket meta/,
      });
      const second = await bucket.update("k", bytes("2"), first);
      assert.ok(second > first);
      await assert.rejects(bucket.update("k", bytes("x"), first), { code: "MILL_BUS_CONFLICT" });
      await assert.rejects(bucket.update("other", bytes("x"), second), { code: "MILL_BUS_CONFLICT" });
      assert.equal(text((await bucket.get("k"))?.value ?? bytes("")), "2");
    });

    it("deletes what is below a key, however deep, and nothing else; that is absent then", async () => {
      const bucket = await a.bucket("meta");
      const [below, beside] = [
        ["j.r", "j.s.t"],
        ["j", "j-2.r", "jj", "a.j.r"],
      ];
      for (const key of [...below, ...beside]) await bucket.update(key, bytes("1"), 0n);
      const revision = (await bucket.get("j.r"))!.revision;
      await bucket.deleteBelow("j");
      await bucket.deleteBelow("never-there");
      for (const key of below) assert.equal(await bucket.get(key), undefined, key);
      for (const key of beside) assert.equal(text((await bucket.get(key))!.value), "1", key);
      await assert.rejects(bucket.update("j.r", bytes("2"), revision), { code: "MILL_BUS_CONFLICT" });
      assert.ok((await bucket.update("j.r", bytes("2"), 0n)) > revision);
    });

    it("deletes while others write and delete", async () => {
      const [mine, theirs] = [await a.bucket("meta"), await b.bucket("meta")];
      let isOver = false;
      const writing = (async () => {
        for (let revision = 0n; !isOver; ) revision = await theirs.update("term", bytes("1"), revision);
      })();
      for (let round = 0; round < 100; round++) {
        for (const key of ["j.r", "j.s"]) await mine.update(key, bytes("1"), 0n);
        await within("deletions", Promise.all([mine.deleteBelow("j"), theirs.deleteBelow("j")]));
      }
      isOver = true;
      await writing;
    });

    for (const key of ["", "a b", ".a", "a.", "a..b", "a*", "a.>"]) {
      it(`refuses the key ${JSON.stringify(key)} with MILL_BUS_SUBJECT`, async () => {
        const bucket = await a.bucket("meta");
        await assert.rejects(bucket.get(key), { code: "MILL_BUS_SUBJECT" });
        await assert.rejects(bucket.update(key, bytes(""), 0n), { code: "MILL_BUS_SUBJECT" });
        await assert.rejects(bucket.deleteBelow(key), { code: "MILL_BUS_SUBJECT" });
      });
    }
  });
}

async function* bounded<T>(what: string, items: AsyncIterable<T>): AsyncGenerator<T> {
  const iterator = items[Symbol.asyncIterator]();
  for (;;) {
    const result = await within(what, iterator.next());
    if (result.done === true) return;
    yield result.value;
  }
}

async function takeEntries(log: DurableLog, from: bigint, count: number): Promise<LogEntry[]> {
  const abort = new AbortController();
  const entries: LogEntry[] = [];
  for await (const entry of bounded(`${count} entries from ${from} on`, log.read(from, abort.signal))) {
    entries.push(entry);
    if (entries.length === count) abort.abort();
  }
  return entries;
}

async function take(log: DurableLog, from: bigint, count: number): Promise<string[]> {
  return (await takeEntries(log, from, count)).map(({ sequence, payload }) => `${sequence} ${text(payload)}`);
}
