import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { type ErrorCode, MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import type { DurableLog } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import type { Exchange } from "../../../src/connectors/exchange.js";
import { encodeEntries } from "../../../src/connectors/exchange-entry.js";
import { exchangeSource, partitionSplit } from "../../../src/connectors/exchange-source.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { noContent, numbered, numbers, rows, within } from "../actors/support.js";
import { FakeClock } from "../coordinator/fake-ports.js";

const clock = new FakeClock();
const ports = { clock, log: silentLog, random: { next: () => 1, id: () => "id" } };
const context = { content: noContent, log: silentLog, signal: new AbortController().signal };
const START = { batches: 0, position: undefined };

function exchangeOf(log: DurableLog): Exchange {
  return { id: "pages", columns: numbered, partitions: 1, writers: ["pages-0"], log: async () => log, ports };
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
