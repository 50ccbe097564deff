/**
 * What a durable exchange must do from end to end: X1 to X5 of `src/connectors/exchange.ts`, on whatever bus.
 *
 * Writers and readers are lives as in `sink.ts`: each has manifests of its own, passes a `Guard`, and dies at any step.
 */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { limits } from "../../src/base/limits.js";
import { realPorts, silentLog } from "../../src/base/real/ports.js";
import type { Bus } from "../../src/bus/bus.js";
import { exchangeSource, partitionSplit } from "../../src/connectors/exchange-source.js";
import type { SourceContext, SplitProgress } from "../../src/topology/endpoints.js";
import { batchFromRows } from "../../src/types/batches.js";
import { isOpen, noContent, range } from "../unit/actors/support.js";
import { recordingPorts, within } from "./bus-support.js";
import { ExchangePlace, type ExchangePlaceOptions, numbersOf, PARTITIONS } from "./exchange-support.js";
import { sinkColumns } from "./sink.js";
import { Died, type Fault, Guard } from "./sink-guard.js";

export interface ExchangeSystem {
  readonly bus: Bus;
  stop(): Promise<void>;
}

const CHECKPOINTS = 3;
const RUNS_AT_ONCE = 8;
const ROWS = 4;
/** Rows of one writer's checkpoint: writer w, checkpoint c, row i is 1000 w + 100 c + i, so half of them go to each partition. */
export const rowsOfCheckpoint = (writer: number, checkpoint: number) =>
  range(0, ROWS).map((i) => 1000 * writer + 100 * checkpoint + i);

export function batchOf(numbers: readonly number[], text = "row"): RecordBatch {
  return batchFromRows(
    sinkColumns,
    numbers.map((n) => ({ n, text })),
  ) as unknown as RecordBatch;
}

/** What a writer's region has committed. */
interface Written {
  checkpoint: number;
  pending: readonly Uint8Array[];
}

/** A writer's life: each checkpoint is written, prepared, committed; from the newest manifest on. */
async function writeLife(
  place: ExchangePlace,
  subtask: number,
  attempt: number,
  written: Written,
  guard: Guard,
): Promise<void> {
  const writer = await place.writer(subtask, guard);
  if (attempt > 1) await writer.recover(written.pending);
  for (let checkpoint = written.checkpoint + 1; checkpoint <= CHECKPOINTS; checkpoint++) {
    await writer.room?.();
    await writer.write(batchOf(rowsOfCheckpoint(subtask, checkpoint)));
    if (checkpoint === CHECKPOINTS) writer.end?.();
    const prepared = await writer.prepare(BigInt(checkpoint));
    await guard.pass("the writer's manifest", async () => {
      written.checkpoint = checkpoint;
      written.pending = [prepared];
    });
    await writer.commit(prepared);
  }
}

/** What the region of a partition's reader has committed. */
export interface Taken {
  rows: readonly number[];
  progress: SplitProgress;
}

export const nothingTaken = (): Taken => ({ rows: [], progress: { batches: 0, position: undefined } });

function contextOf(signal = new AbortController().signal): SourceContext {
  return { content: noContent, log: silentLog, signal };
}

/** A reader's life: a manifest after each batch, then what it has passed is let go of. */
export async function readLife(place: ExchangePlace, partition: number, taken: Taken, guard: Guard): Promise<void> {
  const exchange = place.exchange(guard);
  const source = exchangeSource(exchange);
  const split = partitionSplit(exchange, partition);
  const stop = new AbortController();
  const rows = [...taken.rows];
  let { batches } = taken.progress;
  try {
    for await (const read of source.read(split, contextOf(stop.signal), taken.progress)) {
      assert.ok("position" in read, "every batch comes with a position");
      rows.push(...numbersOf(read.batch as unknown as RecordBatch));
      batches += 1;
      await guard.pass("the reader's manifest", async () => {
        taken.rows = [...rows];
        taken.progress = { batches, position: read.position };
      });
      await source.release!(split, read.position, contextOf());
    }
  } finally {
    stop.abort();
  }
}

/** Lives of one actor, each with its fault, until one ends as it should. @returns steps of the last */
async function untilEnded(life: (attempt: number, guard: Guard) => Promise<void>, faults: readonly Fault[]) {
  for (let attempt = 1; ; attempt++) {
    const guard = new Guard(faults[attempt - 1]);
    try {
      await life(attempt, guard);
      return guard.steps;
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      await guard.settled();
    }
  }
}

function expectedOf(partition: number, writer: number): number[] {
  return range(1, CHECKPOINTS + 1)
    .flatMap((checkpoint) => rowsOfCheckpoint(writer, checkpoint))
    .filter((n) => n % PARTITIONS === partition);
}

/** Each writer's rows in its order, none missing, none twice. */
export function checkRows(rows: readonly number[], partition: number, writers: number, when: string): void {
  for (const writer of range(0, writers)) {
    const mine = rows.filter((n) => Math.floor(n / 1000) === writer);
    assert.deepEqual(mine, expectedOf(partition, writer), `${when}: partition ${partition}, writer ${writer}`);
  }
}

export function exchangeConformance(name: string, make: () => Promise<ExchangeSystem>): void {
  describe(`conformance/exchange: ${name}`, () => {
    let system: ExchangeSystem;
    const place = (options: ExchangePlaceOptions = {}) => new ExchangePlace(system.bus, options);
    before(async () => {
      system = await make();
    });
    after(() => system.stop());

    /** Two writers and a reader for each partition, all at a time. */
    async function run(options: { writer?: readonly Fault[]; reader?: readonly Fault[] }, when: string) {
      const writers = 2;
      const mine = place({ writers });
      const taken = range(0, PARTITIONS).map(nothingTaken);
      const writing = range(0, writers).map((subtask) => {
        const written: Written = { checkpoint: 0, pending: [] };
        const faults = subtask === 0 ? (options.writer ?? []) : [];
        return untilEnded((attempt, guard) => writeLife(mine, subtask, attempt, written, guard), faults);
      });
      const reading = taken.map((each, partition) =>
        untilEnded((_, guard) => readLife(mine, partition, each, guard), options.reader ?? []),
      );
      const [writerSteps, , readerSteps] = await within(
        `everybody to end: ${when}`,
        Promise.all([...writing, ...reading]),
      );
      for (const [partition, { rows }] of taken.entries()) checkRows(rows, partition, writers, when);
      return { writerSteps: writerSteps!, readerSteps: readerSteps! };
    }

    it("hands on every writer's rows once, in the writer's order, and ends when all writers have (X3)", async () => {
      await run({}, "no fault");
    });

    async function crashAtAnyStep(kind: Fault["kind"]): Promise<void> {
      const { writerSteps, readerSteps } = await run({}, "no fault");
      const crashes = range(0, Math.max(writerSteps, readerSteps)).map((i) => {
        const writer = { at: (i % writerSteps) + 1, kind };
        const reader = { at: (i % readerSteps) + 1, kind };
        return () =>
          run({ writer: [writer, writer], reader: [reader, reader] }, `crashes at ${writer.at} and ${reader.at}`);
      });
      // A few at a time: each has a bound in time of its own.
      for (let at = 0; at < crashes.length; at += RUNS_AT_ONCE) {
        await Promise.all(crashes.slice(at, at + RUNS_AT_ONCE).map((crash) => crash()));
      }
    }

    for (const kind of ["before", "after"] as const) {
      it(`survives a writer's and a reader's crash ${kind} any step (X1, X2, X3)`, async function () {
        this.timeout(60_000);
        await crashAtAnyStep(kind);
      });

      it(`survives them also where every row is larger than an entry (X8): ${kind} any step`, async function () {
        this.timeout(60_000);
        const bounds = limits as { exchangeEntryBytesMax: number };
        const usual = bounds.exchangeEntryBytesMax;
        bounds.exchangeEntryBytesMax = 1;
        try {
          await crashAtAnyStep(kind);
        } finally {
          bounds.exchangeEntryBytesMax = usual;
        }
      });
    }

    it("drops what is published again after it was read and purged, from a zombie or a recovery (X3)", async () => {
      const mine = place();
      const taken = nothingTaken();
      const reading = readLife(mine, 0, taken, new Guard());
      const [old, now] = [await mine.writer(), await mine.writer()];
      const prepared: Uint8Array[] = [];
      for (const checkpoint of [1, 2]) {
        await old.write(batchOf(rowsOfCheckpoint(0, checkpoint)));
        prepared.push(await old.prepare(BigInt(checkpoint)));
        await old.commit(prepared.at(-1)!);
      }
      const log = await mine.log(0);
      await untilEqual("the reader to let go of both", () => log.first(), 3n);
      await now.recover(prepared);
      await now.write(batchOf(rowsOfCheckpoint(0, 3)));
      now.end?.();
      await now.commit(await now.prepare(3n));
      await old.commit(prepared[0]!);
      await within("the reader to end", reading);
      checkRows(taken.rows, 0, 1, "published again");
    });

    it("waits at a gap, and goes on in order when it is filled (X4)", async () => {
      const { ports, lines } = recordingPorts();
      const mine = place({ ports });
      const writer = await mine.writer();
      const prepared: Uint8Array[] = [];
      for (const checkpoint of range(1, CHECKPOINTS + 1)) {
        await writer.write(batchOf(rowsOfCheckpoint(0, checkpoint)));
        if (checkpoint === CHECKPOINTS) writer.end?.();
        prepared.push(await writer.prepare(BigInt(checkpoint)));
      }
      for (const i of [0, 2, 1]) await writer.commit(prepared[i]!);
      const taken = nothingTaken();
      await within("the reader to end", readLife(mine, 0, taken, new Guard()));
      checkRows(taken.rows, 0, 1, "a gap");
      assert.match(
        lines.map(({ message }) => message).join("\n"),
        /checkpoint 1 of writer "out-0" the next one has not come/,
      );
    });

    it("reads on from the middle of a gap as it would have without a break (E1)", async () => {
      const mine = place({ writers: 2 });
      const [first, second] = [await mine.writer(0), await mine.writer(1)];
      const prepared: Uint8Array[] = [];
      for (const checkpoint of range(1, CHECKPOINTS + 1)) {
        await first.write(batchOf(rowsOfCheckpoint(0, checkpoint)));
        if (checkpoint === CHECKPOINTS) first.end?.();
        prepared.push(await first.prepare(BigInt(checkpoint)));
        await second.write(batchOf(rowsOfCheckpoint(1, checkpoint)));
        if (checkpoint === CHECKPOINTS) second.end?.();
        prepared.push(await second.prepare(BigInt(checkpoint)));
      }
      // Of the first writer 1, 3, 2, among the second's 1, 2, 3.
      for (const i of [0, 1, 4, 3, 2, 5]) await (i % 2 === 0 ? first : second).commit(prepared[i]!);
      const source = exchangeSource(mine.exchange());
      const split = partitionSplit(mine.exchange(), 0);
      const readFrom = async (from: SplitProgress) => {
        const read: { rows: number[]; progress: SplitProgress }[] = [];
        for await (const each of source.read(split, contextOf(), from)) {
          assert.ok("position" in each);
          const rows = numbersOf(each.batch as unknown as RecordBatch);
          if (rows.length === 0) continue; // the position alone
          read.push({ rows, progress: { batches: from.batches + read.length + 1, position: each.position } });
        }
        return read;
      };
      const whole = await within("all of it", readFrom({ batches: 0, position: undefined }));
      assert.equal(whole.length, 2 * CHECKPOINTS);
      for (const [i, { progress }] of whole.entries()) {
        const rest = await within(`what is after batch ${i}`, readFrom(progress));
        assert.deepEqual(rest, whole.slice(i + 1), `after batch ${i}`);
      }
    });

    it("makes the writer wait while the log is full, and loses nothing (X5)", async () => {
      const mine = place({ bytesMax: 1_200_000 });
      const writer = await mine.writer();
      const text = "x".repeat(20_000);
      const rows = range(0, 200).map((i) => 2 * i);
      for (const n of rows) await writer.write(batchOf([n], text));
      writer.end?.();
      const committing = writer.prepare(1n).then((prepared) => writer.commit(prepared));
      committing.catch(() => {});
      // 4 MB of rows: nobody reads yet, so the log gets what it can hold, and the commit waits.
      const log = await mine.log(0);
      const taken = nothingTaken();
      await untilEqual("the log to be full", () => log.last(), 2n);
      assert.ok(await isOpen(committing), "the commit waits");
      await within("the reader to end", readLife(mine, 0, taken, new Guard()), 20_000);
      await within("the commit to end", committing);
      assert.deepEqual(taken.rows, rows);
    });

    it("refuses an entry that even the empty log has no room for", async () => {
      const mine = place({ bytesMax: 100_000 });
      const writer = await mine.writer();
      await writer.write(batchOf([0], "x".repeat(300_000)));
      const prepared = await writer.prepare(1n);
      await within("the refusal", assert.rejects(writer.commit(prepared), { code: "MILL_BUS_LOG_FULL" }));
    });

    it("ends a wait for room in the log when the writer is stopped", async () => {
      const mine = place({ bytesMax: 100_000 });
      const writer = await mine.writer();
      await writer.write(batchOf([0], "x".repeat(80_000)));
      await writer.commit(await writer.prepare(1n));
      await writer.write(batchOf([2], "x".repeat(80_000)));
      const blocked = writer.commit(await writer.prepare(2n));
      assert.ok(await isOpen(blocked), "the commit waits");
      await writer.abort();
      await within("the commit to fail", assert.rejects(blocked, { code: "MILL_JOB_FAILED" }));
    });

    it("carries a row larger than an entry", async () => {
      const mine = place();
      const writer = await mine.writer();
      const text = "mill".repeat(500_000);
      await writer.write(batchOf([2], text));
      await writer.write(batchOf([4]));
      writer.end?.();
      await writer.commit(await writer.prepare(1n));
      const source = exchangeSource(mine.exchange());
      const rows: unknown[] = [];
      const read = async () => {
        for await (const each of source.read(
          partitionSplit(mine.exchange(), 0),
          contextOf(),
          nothingTaken().progress,
        )) {
          assert.ok("position" in each);
          const batch = each.batch as unknown as RecordBatch;
          if (batch.numRows === 0) continue; // the position alone
          rows.push([...numbersOf(batch), String(batch.getChild("text")!.get(0)).length]);
        }
      };
      await within("all rows", read());
      assert.deepEqual(rows, [
        [2, text.length],
        [4, 3],
      ]);
    });

    it("fails when entries that a reader still needs are gone from the log (X4)", async () => {
      const mine = place();
      const writer = await mine.writer();
      for (const checkpoint of [1, 2]) {
        await writer.write(batchOf(rowsOfCheckpoint(0, checkpoint)));
        await writer.commit(await writer.prepare(BigInt(checkpoint)));
      }
      await (await mine.log(0)).purgeBelow(2n);
      await within(
        "the reader to fail",
        assert.rejects(readLife(mine, 0, nothingTaken(), new Guard()), {
          code: "MILL_EXCHANGE_LOST",
          message: /partition 0.* from entry 1, and its log begins at 2/,
        }),
      );
    });

    it("fails when a log ends before what a checkpoint says was published or read (X4)", async () => {
      const mine = place();
      const writer = await mine.writer();
      await writer.write(batchOf(rowsOfCheckpoint(0, 1)));
      await writer.commit(await writer.prepare(1n));
      const after = await writer.prepare(2n);
      const taken = nothingTaken();
      const reading = readLife(mine, 0, taken, new Guard({ at: 6, kind: "before" }));
      await within("the reader to die", assert.rejects(reading, Died));
      const emptied = place(); // as after a power loss
      await assert.rejects((await emptied.writer()).recover([after]), {
        code: "MILL_EXCHANGE_LOST",
        message: /its log ends at entry 0, and "out-0" has published up to 1/,
      });
      assert.notEqual(taken.progress.position, undefined, "the reader has taken something");
      await assert.rejects(readLife(emptied, 0, taken, new Guard()), { code: "MILL_EXCHANGE_LOST" });
    });
  });
}

export async function untilEqual<T>(what: string, seen: () => Promise<T>, expected: T): Promise<void> {
  const clock = realPorts().clock;
  const look = async () => {
    while ((await seen()) !== expected) await clock.sleep(1);
  };
  await within(what, look());
}
