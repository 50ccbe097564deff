/** Rows that are larger than an entry of a log, from a writer to a reader. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { DurableLog } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import type { Exchange } from "../../../src/connectors/exchange.js";
import { exchangeSource, partitionSplit } from "../../../src/connectors/exchange-source.js";
import { openExchangeWriter } from "../../../src/connectors/exchange-writer.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { type ExchangeEntryHeader, exchangeEntryFrame } from "../../../src/wire/exchange-frames.js";
import { gate, isOpen, noContent, range, within } from "../actors/support.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { ContentInMemory } from "./content-in-memory.js";

const ENTRY_BYTES = 848;
const LOG_BYTES = 20_000;
const columns = { n: t.int32, text: t.utf8 };
const START = { batches: 0, position: undefined };

const row = (n: number, bytes: number) =>
  batchFromRows(columns, [{ n, text: "x".repeat(bytes) }]) as unknown as RecordBatch;
const SMALL = 10;
const LARGE = 2 * ENTRY_BYTES;

/** The log, with another way of appending to it. */
function appending(log: DurableLog, append: DurableLog["append"]): DurableLog {
  return {
    append,
    read: (from, signal) => log.read(from, signal),
    last: () => log.last(),
    first: () => log.first(),
    incarnation: () => log.incarnation(),
    purgeBelow: (sequence) => log.purgeBelow(sequence),
  };
}

/** One partition, whose log holds little. */
class Bench {
  readonly clock = new FakeClock();
  readonly ports = { clock: this.clock, log: silentLog, random: { next: () => 1, id: () => "id" } };
  readonly content = new ContentInMemory();
  readonly bus = new MemoryBus(this.ports);
  readonly stop = new AbortController();
  readonly read: number[] = [];

  constructor(readonly writers: readonly string[] = ["a-0"]) {}

  log(): Promise<DurableLog> {
    return this.bus.log("log", { bytesMax: LOG_BYTES });
  }

  exchange(log?: DurableLog): Exchange {
    return {
      ...{ id: "pages", columns, partitions: 1, writers: this.writers, bytesMax: LOG_BYTES, ports: this.ports },
      content: this.content.access,
      log: async () => log ?? (await this.log()),
    };
  }

  writer(subtask = 0, log?: DurableLog) {
    const route = (batch: RecordBatch) => [{ partition: 0, batch }];
    return openExchangeWriter({ exchange: this.exchange(log), operator: "a", subtask, route });
  }

  async headers(): Promise<ExchangeEntryHeader[]> {
    const log = await this.log();
    const headers: ExchangeEntryHeader[] = [];
    const last = await log.last();
    for await (const { sequence, payload } of log.read(1n, this.stop.signal)) {
      headers.push(exchangeEntryFrame.decode(payload).header);
      if (sequence === last) break;
    }
    return headers;
  }

  /** A reader that commits after each batch, until all writers have ended. */
  async readAll(): Promise<void> {
    const source = exchangeSource(this.exchange());
    const split = partitionSplit({ id: "pages" }, 0);
    const context = { content: noContent, log: silentLog, signal: this.stop.signal };
    for await (const item of source.read(split, context, START)) {
      assert.ok("position" in item);
      const batch = item.batch as unknown as RecordBatch;
      for (let i = 0; i < batch.numRows; i++) this.read.push(Number(batch.getChild("n")!.get(i)));
      await source.release!(split, item.position, context);
    }
  }

  /** Time goes on until it is done. */
  async done<T>(what: string, work: Promise<T>): Promise<T> {
    let over = false;
    const ended = () => {
      over = true;
    };
    work.then(ended, ended);
    for (let i = 0; i < 200 && !over; i++) await this.clock.advance(limits.exchangeBackoffMsMax);
    assert.ok(over, `${what}, within ${200 * limits.exchangeBackoffMsMax} ms`);
    return work;
  }
}

describe("connectors/exchange-large: rows that are larger than an entry", () => {
  const bounds = limits as { exchangeEntryBytesMax: number };
  const usual = bounds.exchangeEntryBytesMax;
  before(() => {
    bounds.exchangeEntryBytesMax = ENTRY_BYTES;
  });
  after(() => {
    bounds.exchangeEntryBytesMax = usual;
  });

  it("do not fill a log for ever: what others write behind them takes no room that they still need (X8)", async () => {
    const bench = new Bench(["a-0", "a-1"]);
    const log = await bench.log();
    const full = gate();
    let appends = 0;
    const first = await bench.writer(
      0,
      appending(log, async (payload) => {
        appends += 1;
        if (appends === 2) await full.promise; // everything behind its first entry is the other's
        return log.append(payload);
      }),
    );
    const other = await bench.writer(1);
    await first.write(row(1, LARGE));
    first.end?.();
    const publishing = first.commit(await first.prepare(1n));
    await bench.clock.settle();
    const rows = range(100, 140);
    for (const n of rows) await other.write(row(n, ENTRY_BYTES / 2));
    other.end?.();
    const filling = other.commit(await other.prepare(1n));
    await bench.clock.advance(limits.exchangeBackoffMsMax);
    assert.ok(await isOpen(filling), "the log is full");
    full.open();
    await bench.done("everything to be read and published", Promise.all([bench.readAll(), publishing, filling]));
    assert.deepEqual(bench.read, [1, ...rows]);
  });

  it("are entries that say where they are; in what is prepared they have their bytes", async () => {
    const bench = new Bench();
    const writer = await bench.writer();
    for (const [i, bytes] of [SMALL, LARGE, SMALL].entries()) await writer.write(row(i, bytes));
    const prepared = await writer.prepare(1n);
    assert.ok(prepared.byteLength > LARGE);
    assert.equal(bench.content.puts, 0, "what is not committed is put nowhere");
    await writer.commit(prepared);
    const headers = await bench.headers();
    assert.deepEqual(
      headers.map(({ index, more, content }) => [index, more, content !== null]),
      [
        [0, false, false],
        [1, false, true],
        [2, false, false],
      ],
    );
    const [, { content }] = headers as [ExchangeEntryHeader, ExchangeEntryHeader];
    assert.equal(BigInt(bench.content.objects.get(content!.uri)!.byteLength), content!.sizeBytes);
  });

  it("are put again before each try, however long the log is full: content that nothing refers to grows old", async () => {
    const bench = new Bench();
    const log = await bench.log();
    let refused = 0;
    await log.append(Uint8Array.of(1)); // somebody else's entry, so that the log is not empty
    const writer = await bench.writer(
      0,
      appending(log, async (payload) => {
        refused += 1;
        if (refused <= 50) throw new MillraceError("MILL_BUS_LOG_FULL", "the test says so");
        return log.append(payload);
      }),
    );
    await writer.write(row(1, LARGE));
    await bench.done("the row to be published", writer.commit(await writer.prepare(1n)));
    assert.equal(bench.content.puts, 51);
  });

  it("wait, beside the log, in no more bytes than the log may have, shared by its writers (X5)", async () => {
    const bench = new Bench(["a-0", "a-1"]);
    const log = await bench.log();
    const writer = await bench.writer();
    const bytes = 4_000;
    const rows = range(0, 6);
    for (const n of rows) await writer.write(row(n, bytes));
    const publishing = writer.commit(await writer.prepare(1n));
    await bench.clock.advance(20 * limits.exchangeBackoffMsMax);
    assert.equal(await log.last(), BigInt(Math.floor(LOG_BYTES / 2 / bytes)), "its share");
    await log.purgeBelow(2n);
    await bench.clock.advance(2 * limits.exchangeBackoffMsMax);
    assert.equal(await log.last(), 3n, "and what its readers have let go of");
    await writer.abort();
    await assert.rejects(bench.done("the publication to end", publishing), { code: "MILL_JOB_FAILED" });
  });

  it("one by one, where each takes more than the share of its writer", async () => {
    const bench = new Bench(["a-0", "a-1", "a-2"]);
    const [first, ...others] = await Promise.all([bench.writer(0), bench.writer(1), bench.writer(2)]);
    for (const n of [1, 2]) await first!.write(row(n, LOG_BYTES - 1_000));
    const publishing: Promise<void>[] = [];
    for (const writer of [first!, ...others]) {
      writer.end?.();
      publishing.push(writer.commit(await writer.prepare(1n)));
    }
    await bench.done("both to be read", Promise.all([bench.readAll(), ...publishing]));
    assert.deepEqual(bench.read, [1, 2]);
  });

  it("are refused before anything of them is committed, if a log could not hold them: exchange, size, limit, next step", async () => {
    const writer = await new Bench().writer();
    await writer.write(row(1, LOG_BYTES));
    await assert.rejects(writer.prepare(1n), (error) => {
      assert.ok(MillraceError.is(error));
      assert.equal(error.code, "MILL_FRAME_TOO_LARGE");
      assert.match(
        error.message,
        /"pages", partition 0: a row of 20\d{3} bytes .* the 20000 .*larger bytesMax.*by reference/,
      );
      assert.deepEqual({ ...error.facts, bytes: 0 }, { exchange: "pages", partition: 0, bytes: 0, limit: LOG_BYTES });
      return true;
    });
  });

  it("that come again are dropped, also when their bytes are gone (X3)", async () => {
    const bench = new Bench();
    const [writer, zombie] = [await bench.writer(), await bench.writer()];
    await writer.write(row(1, LARGE));
    const prepared = await writer.prepare(1n);
    await writer.commit(prepared);
    const reading = bench.readAll();
    await bench.clock.settle();
    assert.deepEqual(bench.read, [1]);
    await zombie.commit(prepared);
    bench.content.objects.clear();
    writer.end?.();
    await writer.commit(await writer.prepare(2n));
    await bench.done("the end", reading);
    assert.deepEqual([bench.read, bench.content.reads], [[1], 1]);
  });

  it("that are not there are lost, and an error says which; a store that is away is asked again (X4)", async () => {
    const bench = new Bench();
    const writer = await bench.writer();
    await writer.write(row(1, LARGE));
    await writer.commit(await writer.prepare(1n));
    let away = 2;
    const { bytes } = bench.content.access;
    const access = bench.content.access as { bytes: typeof bytes };
    access.bytes = async (value) => {
      away -= 1;
      if (away >= 0) throw new MillraceError("MILL_STORE_UNREACHABLE", "the test says so");
      return bytes(value);
    };
    const reading = bench.readAll();
    reading.catch(() => {});
    await bench.clock.advance(10 * limits.exchangeBackoffMsMax);
    assert.deepEqual(bench.read, [1]);
    bench.stop.abort();
    await within(
      "the first reader to stop",
      reading.catch(() => {}),
    );
    const lost = new Bench();
    const other = await lost.writer();
    await other.write(row(1, LARGE));
    await other.commit(await other.prepare(1n));
    lost.content.objects.clear();
    await assert.rejects(lost.done("the reader to fail", lost.readAll()), {
      code: "MILL_EXCHANGE_LOST",
      message: /"pages", partition 0: the row at memory:\/jobs\/job\/content\/[0-9a-f]{64} is not there/,
    });
  });
});
