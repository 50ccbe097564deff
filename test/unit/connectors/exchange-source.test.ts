import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { type ErrorCode, MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { DurableLog } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import type { Exchange } from "../../../src/connectors/exchange.js";
import { ExchangeCursor } from "../../../src/connectors/exchange-cursor.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import { SeedWriter } from "../../../src/connectors/exchange-seed.js";
import { exchangeSource, partitionSplit } from "../../../src/connectors/exchange-source.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { noContent, numbered, numbers, rows, within } from "../actors/support.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { ContentInMemory } from "./content-in-memory.js";

const clock = new FakeClock();
const ports = { clock, log: silentLog, random: { next: () => 1, id: () => "id" } };
const context = { content: noContent, log: silentLog, signal: new AbortController().signal };
const START = { batches: 0, position: undefined };

function exchangeOf(log: DurableLog): Exchange {
  const content = new ContentInMemory().access;
  return { id: "pages", columns: numbered, content, partitions: 1, writers: ["pages-0"], log: async () => log, ports };
}

/** A log with three checkpoints of one row each, the last of which ends. */
async function threeCheckpoints(): Promise<DurableLog> {
  const log = await new MemoryBus(ports).log("log");
  for (const n of [1, 2, 3]) {
    const cut = { previous: BigInt(n - 1), batches: [numbers(n)], end: n === 3 };
    for (const entry of encodeEntries("pages-0", BigInt(n), cut)) await log.append(entry);
  }
  return log;
}

/** A log whose reads fail with `code` after each `entries` entries, `times` times. */
function breaking(log: DurableLog, code: ErrorCode, entries: number, times: number): DurableLog {
  let failures = 0;
  return {
    append: (payload) => log.append(payload),
    async *read(from, signal) {
      let given = 0;
      for await (const entry of log.read(from, signal)) {
        if (given === entries && failures < times) {
          failures += 1;
          throw new MillraceError(code, "the test says so");
        }
        given += 1;
        yield entry;
      }
    },
    last: () => log.last(),
    first: () => log.first(),
    incarnation: () => log.incarnation(),
    purgeBelow: (sequence) => log.purgeBelow(sequence),
  };
}

async function readAll(log: DurableLog): Promise<number[]> {
  const exchange = exchangeOf(log);
  const read: number[] = [];
  for await (const item of exchangeSource(exchange).read(partitionSplit(exchange, 0), context, START)) {
    assert.ok("position" in item);
    read.push(...rows(numbered, [item.batch as unknown as RecordBatch]).map(({ n }) => n));
  }
  return read;
}

describe("connectors/exchange-source: the log of a partition", () => {
  it("reads on where it was when the server has ended the read", async () => {
    const reading = readAll(breaking(await threeCheckpoints(), "MILL_BUS_UNREACHABLE", 1, 3));
    await clock.advance(10 * limits.exchangeBackoffMsMax);
    assert.deepEqual(await within("all rows", reading), [1, 2, 3]);
  });

  it("gives up after limits.exchangeAttemptsMax failures in a row, and at once where it is no use", async () => {
    for (const code of ["MILL_BUS_UNREACHABLE", "MILL_BUS_CLOSED"] as const) {
      const refused = assert.rejects(readAll(breaking(await threeCheckpoints(), code, 0, 1_000)), { code });
      await clock.advance(limits.exchangeAttemptsMax * limits.exchangeBackoffMsMax);
      await within(`the read to fail with ${code}`, refused);
    }
  });

  it("takes an entry for lost when more than limits.exchangeHeldBytesMax came behind it (X4)", async () => {
    const log = await new MemoryBus(ports).log("log");
    const text = "x".repeat(limits.exchangeHeldBytesMax + 1);
    const large = batchFromRows({ n: t.int32, text: t.utf8 }, [{ n: 1, text }]) as unknown as RecordBatch;
    const cut = { previous: 1n, batches: [large], end: false };
    for (const entry of encodeEntries("pages-0", 2n, cut)) await log.append(entry);
    await assert.rejects(readAll(log), {
      code: "MILL_EXCHANGE_LOST",
      message: /"pages", partition 0: after entry -1 of checkpoint 0 of writer "pages-0" the next one has not come/,
    });
  });

  it("notices itself that its log was deleted and made anew while it waits for the end of it (X7)", async () => {
    const bus = new MemoryBus(ports);
    const exchange: Exchange = { ...exchangeOf(await bus.log("log")), log: () => bus.log("log") };
    const [first] = encodeEntries("pages-0", 1n, { previous: 0n, batches: [numbers(1)], end: false });
    await (await bus.log("log")).append(first!);
    const reading = exchangeSource(exchange).read(partitionSplit(exchange, 0), context, START)[Symbol.asyncIterator]();
    await reading.next();
    const next = reading.next();
    next.catch(() => {});
    await bus.deleteLog("log");
    await bus.log("log");
    await clock.advance(limits.exchangeCheckIntervalMs + 1);
    await within(
      "the reader to fail",
      assert.rejects(next, { code: "MILL_EXCHANGE_LOST", message: /partition 0.* was deleted/ }),
    );
  });

  it("goes on from a checkpoint with the log that it read before it, with no other (X7)", async () => {
    const bus = new MemoryBus(ports);
    const exchange: Exchange = { ...exchangeOf(await bus.log("log")), log: () => bus.log("log") };
    const fill = async () => {
      for (const n of [1, 2]) {
        const cut = { previous: BigInt(n - 1), batches: [numbers(n)], end: false };
        for (const entry of encodeEntries("pages-0", BigInt(n), cut)) await (await bus.log("log")).append(entry);
      }
    };
    await fill();
    const read = (from: typeof START | { batches: number; position: Uint8Array }) =>
      exchangeSource(exchange).read(partitionSplit(exchange, 0), context, from)[Symbol.asyncIterator]();
    const taken = (await read(START).next()).value as { position: Uint8Array };
    const from = { batches: 1, position: taken.position };
    assert.equal((await read(from).next()).done, false);
    await bus.deleteLog("log");
    await fill(); // as long as it was
    await assert.rejects(read(from).next(), { code: "MILL_EXCHANGE_LOST", message: /deleted and made anew.* entry 2/ });
  });

  it("reads what is left of its seeds, then the log, and goes on from wherever it was (X6)", async () => {
    const seeds: Uint8Array[] = [];
    const writer = new SeedWriter("pages", 0, async (_number, bytes) => void seeds.push(bytes));
    const large = (n: number) =>
      batchFromRows({ n: t.int32, text: t.utf8 }, [{ n, text: "x".repeat(limits.exchangeEntryBytesMax) }]);
    const count = Math.ceil(limits.exchangeObjectBytesMax / limits.exchangeEntryBytesMax) + 2;
    for (let n = 0; n < count; n++) await writer.write(large(n) as unknown as RecordBatch);
    await writer.close();
    assert.equal(seeds.length, 2, "the seeds are of a bounded size");
    const log = await threeCheckpoints();
    const exchange: Exchange = { ...exchangeOf(log), seed: async (_partition, number) => seeds[Number(number) - 1]! };
    const start = new ExchangeCursor([], undefined).positionIn(1n, 0);
    const from = (batches: number, position: Uint8Array) =>
      exchangeSource(exchange).read(partitionSplit(exchange, 0), context, { batches, position });
    const all: { n: number; position: Uint8Array }[] = [];
    for await (const item of from(0, start)) {
      assert.ok("position" in item);
      const column = (item.batch as unknown as RecordBatch).getChild("n");
      if (item.batch.numRows > 0) all.push({ n: Number(column!.get(0)), position: item.position });
    }
    const expected = [...Array.from({ length: count }, (_, n) => n), 1, 2, 3];
    assert.deepEqual(
      all.map(({ n }) => n),
      expected,
    );
    for (const [i, { position }] of all.entries()) {
      const rest: number[] = [];
      for await (const item of from(i + 1, position)) {
        assert.ok("position" in item);
        if (item.batch.numRows > 0) rest.push(Number((item.batch as unknown as RecordBatch).getChild("n")!.get(0)));
      }
      assert.deepEqual(rest, expected.slice(i + 1), `after ${i + 1}`);
    }
  });

  it("lists one split for each partition, always the same", async () => {
    const exchange = { ...exchangeOf(await threeCheckpoints()), partitions: 3 };
    const ids: string[] = [];
    for await (const { id } of exchangeSource(exchange).splits(context)) ids.push(id);
    assert.deepEqual(ids, ["pages-0", "pages-1", "pages-2"]);
  });

  it("ends at once where nobody writes", async () => {
    const log = await new MemoryBus(ports).log("log");
    const exchange = { ...exchangeOf(log), writers: [] };
    const split = partitionSplit(exchange, 0);
    for await (const _ of exchangeSource(exchange).read(split, context, START)) assert.fail("there is no row");
  });
});
