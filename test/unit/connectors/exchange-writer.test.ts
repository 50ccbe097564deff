import assert from "node:assert/strict";
import { type ErrorCode, MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { DurableLog } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import type { Exchange } from "../../../src/connectors/exchange.js";
import { decodePending, encodePending } from "../../../src/connectors/exchange-pending.js";
import { openExchangeWriter } from "../../../src/connectors/exchange-writer.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { type ExchangeEntryHeader, exchangeEntryFrame } from "../../../src/wire/exchange-frames.js";
import { isOpen, numbered, numbers, range, within } from "../actors/support.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { ContentInMemory } from "./content-in-memory.js";

const clock = new FakeClock();
const ports = { clock, log: silentLog, random: { next: () => 1, id: () => "id" } };

function exchangeOf(logs: readonly DurableLog[]): Exchange {
  return {
    id: "pages",
    columns: numbered,
    content: new ContentInMemory().access,
    partitions: logs.length,
    writers: ["pages-0"],
    log: async (partition) => logs[partition]!,
    ports,
  };
}

async function logsOf(count: number): Promise<DurableLog[]> {
  const bus = new MemoryBus(ports);
  return Promise.all(range(0, count).map((i) => bus.log(`log-${i}`)));
}

/** Every batch goes to partition 0. */
function writerOf(logs: readonly DurableLog[], subtask = 0) {
  const route = (batch: ReturnType<typeof numbers>) => [{ partition: 0, batch }];
  return openExchangeWriter({ exchange: exchangeOf(logs), operator: "pages", subtask, route });
}

async function headersIn(log: DurableLog): Promise<ExchangeEntryHeader[]> {
  const headers: ExchangeEntryHeader[] = [];
  const last = await log.last();
  if (last === 0n) return headers;
  for await (const { sequence, payload } of log.read(1n, new AbortController().signal)) {
    headers.push(exchangeEntryFrame.decode(payload).header);
    if (sequence === last) break;
  }
  return headers;
}

/** A log whose appends fail with `code` as often as `times` says. */
function failing(log: DurableLog, code: ErrorCode, times: number) {
  const asked: number[] = [];
  const append: DurableLog["append"] = async (payload) => {
    asked.push(clock.monotonicMs());
    if (asked.length <= times) throw new MillraceError(code, "the test says so");
    return log.append(payload);
  };
  const wrapped: DurableLog = {
    append,
    read: (from, signal) => log.read(from, signal),
    last: () => log.last(),
    first: () => log.first(),
    incarnation: () => log.incarnation(),
    purgeBelow: (sequence) => log.purgeBelow(sequence),
  };
  return { log: wrapped, asked };
}

/** A batch of about `bytes` bytes. */
const large = (bytes: number) =>
  batchFromRows({ n: t.int32, text: t.utf8 }, [{ n: 0, text: "x".repeat(bytes) }]) as unknown as ReturnType<
    typeof numbers
  >;

describe("connectors/exchange-writer: the entries of a checkpoint", () => {
  it("puts small batches together, and marks the last entry of a checkpoint", async () => {
    const logs = await logsOf(1);
    const writer = await writerOf(logs);
    for (const n of range(0, 100)) await writer.write(numbers(n));
    await writer.commit(await writer.prepare(3n));
    const [only, ...others] = await headersIn(logs[0]!);
    assert.deepEqual(others, []);
    assert.deepEqual(
      { ...only, schema: undefined, schemaId: undefined },
      {
        traceparent: "",
        writer: "pages-0",
        checkpoint: 3n,
        index: 0,
        last: true,
        previous: 0n,
        more: false,
        end: false,
        rows: 100,
        content: null,
        schema: undefined,
        schemaId: undefined,
      },
    );
  });

  it("cuts what is larger than an entry between rows, and no row (X8)", async () => {
    const logs = await logsOf(1);
    const writer = await writerOf(logs);
    const rows = range(0, 4).map((n) => ({ n, text: "x".repeat(limits.exchangeEntryBytesMax / 3) }));
    await writer.write(batchFromRows({ n: t.int32, text: t.utf8 }, rows) as unknown as ReturnType<typeof numbers>);
    await writer.write(large(2.5 * limits.exchangeEntryBytesMax));
    await writer.commit(await writer.prepare(1n));
    const headers = await headersIn(logs[0]!);
    assert.deepEqual(
      headers.map(({ index, last, rows, more, schema }) => [index, last, rows, more, schema !== null]),
      [
        [0, false, 2, false, true],
        [1, false, 2, false, true],
        [2, true, 1, false, true],
      ],
    );
  });

  it("names the checkpoint before in each partition, over attempts (X2)", async () => {
    const logs = await logsOf(2);
    const first = await writerOf(logs);
    await first.write(numbers(1));
    await first.commit(await first.prepare(2n));
    await first.commit(await first.prepare(3n));
    await first.write(numbers(2));
    const pending = await first.prepare(5n);
    const second = await writerOf(logs);
    await second.recover([pending]);
    await second.write(numbers(3));
    second.end?.();
    await second.commit(await second.prepare(8n));
    const chain = async (log: DurableLog) =>
      (await headersIn(log)).map(({ checkpoint, previous, index, end }) => [checkpoint, previous, index, end]);
    assert.deepEqual(await chain(logs[0]!), [
      [2n, 0n, 0, false],
      [5n, 2n, 0, false],
      [8n, 5n, 0, false],
      [8n, 5n, 1, true],
    ]);
    assert.deepEqual(await chain(logs[1]!), [[8n, 0n, 0, true]]);
  });

  it("says that it has ended once, also when its next attempt is told so again", async () => {
    const logs = await logsOf(1);
    const first = await writerOf(logs);
    first.end?.();
    const pending = await first.prepare(1n);
    const second = await writerOf(logs);
    await second.recover([pending]);
    second.end?.();
    await second.commit(await second.prepare(3n));
    assert.deepEqual(
      (await headersIn(logs[0]!)).map(({ end }) => end),
      [true],
    );
  });

  it("recovers what another subtask had pending, and keeps its own chain", async () => {
    const logs = await logsOf(1);
    const [own, other] = [await writerOf(logs), await writerOf(logs, 1)];
    await own.write(numbers(1));
    await other.write(numbers(2));
    const pending = [await own.prepare(4n), await other.prepare(6n)];
    const next = await writerOf(logs);
    await next.recover(pending);
    await next.write(numbers(3));
    await next.commit(await next.prepare(7n));
    const headers = await headersIn(logs[0]!);
    assert.deepEqual(
      headers.map(({ writer, checkpoint, previous }) => [writer, checkpoint, previous]),
      [
        ["pages-0", 4n, 0n],
        ["pages-1", 6n, 0n],
        ["pages-0", 7n, 4n],
      ],
    );
  });

  it("refuses a checkpoint of another number of partitions, and a broken one", async () => {
    const writer = await writerOf(await logsOf(2));
    const prepared = await writer.prepare(1n);
    const narrow = await writerOf(await logsOf(1));
    await assert.rejects(narrow.recover([prepared]), {
      code: "MILL_PLAN_MISMATCH",
      message: /"pages" has 1 partition/,
    });
    const { header } = decodePending(prepared);
    const lying = encodePending(header, [[Uint8Array.of(1)], []]);
    await assert.rejects(writer.commit(lying.subarray(0, -1)), { code: "MILL_FRAME_INVALID" });
    await assert.rejects(writer.commit(Uint8Array.of(1, 2)), { code: "MILL_FRAME_INVALID" });
  });
});

describe("connectors/exchange-writer: waiting", () => {
  it("has room until what is prepared and what is filled are over the limit, then again after the commit (X5)", async () => {
    const writer = await writerOf(await logsOf(1));
    const half = large(limits.exchangeUnpublishedBytesMax / 2);
    await writer.write(half);
    assert.equal(writer.room?.(), undefined);
    await writer.write(half);
    const room = writer.room?.();
    assert.ok(room !== undefined && (await isOpen(room)));
    const prepared = await writer.prepare(1n);
    assert.ok(await isOpen(room), "what is prepared is still kept");
    await writer.commit(prepared);
    await within("room after the commit", room);
  });

  it("says that entries are lost when the log has begun anew beneath it (X4, rule 13)", async () => {
    const bus = new MemoryBus(ports);
    const logs = [await bus.log("log")];
    const writer = await writerOf([{ ...logs[0]!, append: async (payload) => (await bus.log("log")).append(payload) }]);
    await writer.write(numbers(1));
    await writer.commit(await writer.prepare(1n));
    await bus.deleteLog("log");
    await writer.write(numbers(2));
    await assert.rejects(writer.commit(await writer.prepare(2n)), {
      code: "MILL_EXCHANGE_LOST",
      message: /partition 0: its log has begun anew at entry 1, and "pages-0" has published up to 1/,
    });
  });

  it("lets go of who waits for room when it is stopped", async () => {
    const writer = await writerOf(await logsOf(1));
    await writer.write(large(limits.exchangeUnpublishedBytesMax + 1));
    await writer.prepare(1n);
    const room = writer.room?.();
    assert.ok(room !== undefined);
    await writer.abort();
    await within("the wait to end", room);
  });

  it("tries a failed append again with growing pauses", async () => {
    const [log] = await logsOf(1);
    const faulty = failing(log!, "MILL_BUS_TIMEOUT", 3);
    const writer = await writerOf([faulty.log]);
    await writer.write(numbers(1));
    const fromMs = clock.monotonicMs();
    const committing = writer.commit(await writer.prepare(1n));
    await clock.advance(10 * limits.exchangeBackoffMs);
    await within("the commit", committing);
    const pause = limits.exchangeBackoffMs;
    assert.deepEqual(
      faulty.asked.map((ms) => ms - fromMs),
      [0, pause, 3 * pause, 7 * pause],
    );
    assert.equal(await log!.last(), 1n);
  });

  it("waits for room in a full log much longer than for anything else (X5)", async () => {
    const [log] = await logsOf(1);
    await log!.append(Uint8Array.of(1)); // somebody else's entry, so that the log is not empty
    const faulty = failing(log!, "MILL_BUS_LOG_FULL", 100);
    const writer = await writerOf([faulty.log]);
    await writer.write(numbers(1));
    const committing = writer.commit(await writer.prepare(1n));
    await clock.advance(100 * limits.exchangeBackoffMsMax);
    await within("the commit", committing);
    assert.equal(faulty.asked.length, 101);
    assert.equal(await log!.last(), 2n);
  });

  it(`gives up after limits.exchangeAttemptsMax failures, and at once where it is no use`, async () => {
    for (const [code, asked] of [
      ["MILL_BUS_TIMEOUT", limits.exchangeAttemptsMax],
      ["MILL_BUS_CLOSED", 1],
      ["MILL_BUS_REFUSED", 1],
    ] as const) {
      const [log] = await logsOf(1);
      const faulty = failing(log!, code, 1_000);
      const writer = await writerOf([faulty.log]);
      await writer.write(numbers(1));
      const refused = assert.rejects(writer.commit(await writer.prepare(1n)), { code });
      await clock.advance(limits.exchangeAttemptsMax * limits.exchangeBackoffMsMax);
      await within(`the commit to fail with ${code}`, refused);
      assert.equal(faulty.asked.length, asked, code);
    }
  });

  it("publishes the next checkpoint only after the one before, also when both are asked for at once (X2)", async () => {
    const [log] = await logsOf(1);
    const faulty = failing(log!, "MILL_BUS_TIMEOUT", 1);
    const writer = await writerOf([faulty.log]);
    const commits: Promise<void>[] = [];
    for (const checkpoint of [1n, 2n]) {
      await writer.write(numbers(Number(checkpoint)));
      commits.push(writer.commit(await writer.prepare(checkpoint)));
    }
    await clock.advance(limits.exchangeBackoffMs);
    await within("both commits", Promise.all(commits));
    assert.deepEqual(
      (await headersIn(log!)).map(({ checkpoint }) => checkpoint),
      [1n, 2n],
    );
  });
});
