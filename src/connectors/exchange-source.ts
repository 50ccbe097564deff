/**
 * The reading end of a durable exchange: a source whose splits are the partitions. A split ends when all writers have.
 *
 * Each partition has one reader: it alone decides what may be purged (`release`), from its committed position.
 */

import type { RecordBatch } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { DurableLog } from "../bus/bus.js";
import type { PositionedBatch, Source, SourceContext, Split, SplitProgress } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import type { ArrowColumns, Columns } from "../types/columns.js";
import { exchangePositionFrame, unpackEntries } from "../wire/exchange-frames.js";
import { type Exchange, entriesLost, goneAsLost } from "./exchange.js";
import { isTransient } from "./exchange-append.js";
import { ExchangeCursor } from "./exchange-cursor.js";
import { rowBeside } from "./exchange-large.js";
import { seededBatches } from "./exchange-seed.js";

export function exchangeSource<C extends Columns>(exchange: Exchange<C>): Source<C> {
  return {
    kind: "exchange",
    columns: exchange.columns,
    describe: `durable exchange of "${exchange.id}", ${exchange.partitions} partitions`,
    async *splits() {
      for (let partition = 0; partition < exchange.partitions; partition++) yield partitionSplit(exchange, partition);
    },
    read: (split, context, from) => read(exchange, partitionOf(split), context, from),
    async release(split, position) {
      const log = await exchange.log(partitionOf(split));
      await log.purgeBelow(exchangePositionFrame.decode(position).header.next);
    },
  };
}

/** The split of a partition; its reader is fixed where rows are keyed. */
export function partitionSplit({ id }: Pick<Exchange, "id">, partition: number): Split {
  return { id: `${id}-${partition}`, payload: new TextEncoder().encode(`${partition}`), rows: 0 };
}

function partitionOf(split: Split): number {
  return Number(new TextDecoder().decode(split.payload));
}

async function* read<C extends Columns>(
  exchange: Exchange<C>,
  partition: number,
  context: SourceContext,
  from: SplitProgress,
): ReturnType<Source<C>["read"]> {
  const log = await exchange.log(partition);
  const cursor = new ExchangeCursor(exchange.writers, from.position);
  await checkLog(exchange, partition, log, cursor);
  for await (const { batch, position } of seeds(exchange, partition, cursor, from.position)) {
    yield { batch: batch as unknown as RecordBatch<ArrowColumns<C>>, position };
  }
  if (cursor.ended) return;
  const nothing = batchFromRows(exchange.columns, []);
  const watch = watchGaps(exchange, partition, cursor);
  for await (const { sequence, payload } of following(log, cursor, exchange, partition, context.signal)) {
    let gave = false;
    const lacks = cursor.lacks(payload);
    const row = lacks && (await rowBeside(exchange, partition, lacks, context.signal));
    for (const batch of cursor.take(sequence, payload, row)) {
      gave = true;
      yield { batch: batch as RecordBatch<ArrowColumns<C>>, position: cursor.position };
    }
    // Else a log full of entries that were there before would never be let go of.
    if (!gave) yield { batch: nothing, position: cursor.position };
    watch();
    if (cursor.ended) return;
  }
}

/** X6. What is left of the seeds that the position names. */
async function* seeds(
  exchange: Exchange,
  partition: number,
  cursor: ExchangeCursor,
  from: Uint8Array | undefined,
): AsyncGenerator<PositionedBatch> {
  const at = from === undefined ? undefined : exchangePositionFrame.decode(from).header;
  if (at === undefined || at.seed === 0n) return;
  invariant(exchange.seed !== undefined, "a position that names a seed is of an exchange that has some");
  let before = at.seedBatches;
  for (let number = at.seed, last = false; !last; number += 1n) {
    const seed = unpackEntries(await exchange.seed(partition, number));
    let taken = 0;
    for (const batch of seededBatches(seed.entries)) {
      if (++taken > before) yield { batch: batch as never, position: cursor.positionIn(number, taken) };
    }
    before = 0;
    last = seed.header.last;
  }
}

/** The log from the cursor on; a read that the server ended is begun again. */
async function* following(
  log: DurableLog,
  cursor: ExchangeCursor,
  exchange: Exchange,
  partition: number,
  signal: AbortSignal,
): ReturnType<DurableLog["read"]> {
  for (let failures = 0; ; ) {
    const watch = watchLog(exchange, partition, log, cursor, signal);
    try {
      if (failures > 0) await checkLog(exchange, partition, log, cursor);
      for await (const entry of log.read(cursor.next, watch.signal)) {
        failures = 0;
        yield entry;
      }
      watch.signal.throwIfAborted();
      throw new MillraceError("MILL_BUS_UNREACHABLE", "a log ended while it was being read.");
    } catch (error) {
      if (signal.aborted || !isTransient(error) || ++failures >= limits.exchangeAttemptsMax) {
        throw goneAsLost(exchange, partition, error, `its reader goes on from entry ${cursor.next}`);
      }
    } finally {
      watch.stop();
    }
    await exchange.ports.clock.sleep(
      Math.min(limits.exchangeBackoffMs * 2 ** failures, limits.exchangeBackoffMsMax),
      signal,
    );
  }
}

/** Rule 13: the log must be the one that was read, and reach from the recorded position to its end. */
async function checkLog(exchange: Exchange, partition: number, log: DurableLog, cursor: ExchangeCursor): Promise<void> {
  const { next } = cursor;
  const [first, last] = [await log.first(), await log.last()];
  if (first > next) {
    const what = `its reader goes on from entry ${next}, and its log begins at ${first}`;
    throw entriesLost(exchange, partition, what);
  }
  if (last + 1n < next) {
    const what = `its reader has read up to entry ${next - 1n}, and its log ends at ${last}`;
    throw entriesLost(exchange, partition, what);
  }
  await checkIncarnation(exchange, partition, log, cursor);
}

/** X7 */
async function checkIncarnation(
  exchange: Exchange,
  partition: number,
  log: DurableLog,
  cursor: ExchangeCursor,
): Promise<void> {
  const incarnation = await log.incarnation();
  if (cursor.incarnation !== "" && cursor.incarnation !== incarnation) {
    const what = `its log was deleted and made anew, and its reader goes on from entry ${cursor.next}`;
    throw entriesLost(exchange, partition, what);
  }
  cursor.incarnation = incarnation;
}

/** X7. What follows a log's end hears nothing of it when another log of that name is made. */
function watchLog(
  exchange: Exchange,
  partition: number,
  log: DurableLog,
  cursor: ExchangeCursor,
  signal: AbortSignal,
): { readonly signal: AbortSignal; stop(): void } {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  const { clock } = exchange.ports;
  const look = async () => {
    for (;;) {
      await clock.sleep(limits.exchangeCheckIntervalMs, either);
      try {
        await checkIncarnation(exchange, partition, log, cursor);
      } catch (error) {
        if (isTransient(error)) continue;
        const what = `its reader goes on from entry ${cursor.next}`;
        over.abort(goneAsLost(exchange, partition, error, what));
      }
    }
  };
  look().catch(() => {}); // it is stopped, or has said what it found
  return { signal: either, stop: () => over.abort() };
}

/** X4 */
function watchGaps(exchange: Exchange, partition: number, cursor: ExchangeCursor): () => void {
  let warned = false;
  return () => {
    const [gap] = cursor.gaps;
    if (gap === undefined) {
      warned = false;
      return;
    }
    const { checkpoint, index } = gap.after;
    const what = `after entry ${index} of checkpoint ${checkpoint} of writer "${gap.writer}" the next one has not come`;
    if (gap.heldBytes > limits.exchangeHeldBytesMax) {
      throw entriesLost(exchange, partition, `${what}, and ${gap.heldBytes} bytes came behind it`);
    }
    if (!warned)
      exchange.ports.log.warn(`durable exchange: ${what}; waiting for it`, { exchange: exchange.id, partition });
    warned = true;
  };
}
