/**
 * Seeds a durable exchange of a job that begins from a savepoint: what lay between its writers and its readers, in the order in which
 * it would have been read, shared out over the partitions that there are now.
 *
 * Invariants:
 *   J5  Every row that a writer's checkpoint holds and the reader's does not is in one seed: whether it was published, published twice,
 *       or only prepared. Rows of one old partition keep their order.
 *   J6  What is missing is an error: each writer's chain must reach the checkpoint that its own snapshot names.
 *   J7  Keyed rows go to the owner of their key, others to the successor of their partition, where readers' state went, too.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { successorOf } from "../checkpoint/redistribute.js";
import { ExchangeCursor } from "../connectors/exchange-cursor.js";
import { decodePending } from "../connectors/exchange-pending.js";
import { SeedWriter, seededBatches } from "../connectors/exchange-seed.js";
import type { Topology } from "../topology/nodes.js";
import { exchangePositionFrame, unpackEntries } from "../wire/exchange-frames.js";
import type { KeptEntries, SavepointExchange, SavepointPartition } from "../wire/stored.js";
import { partsByHash } from "./exchange.js";
import type { SavedEnds } from "./saved-state.js";

export interface SeedingOptions {
  readonly topology: Topology;
  /** That there are now. */
  readonly partitions: number;
  readonly kept: SavepointExchange;
  readonly ends: SavedEnds;
  read(object: KeptEntries): Promise<Uint8Array>;
  put(partition: number, number: bigint, bytes: Uint8Array): Promise<void>;
}

/** @throws {MillraceError} `MILL_STORE_CORRUPT` (J6) */
export async function seedExchange({ topology, partitions, kept, ends, read, put }: SeedingOptions): Promise<void> {
  const { operator } = kept;
  const writers = Array.from({ length: partitions }, (_, partition) => {
    return new SeedWriter(operator, partition, (number, bytes) => put(partition, number, bytes));
  });
  const node = topology.operators.find(({ id }) => id === operator);
  const input = topology.operators.find(({ id }) => id === node?.inputs[0]);
  for (const [old, partition] of kept.partitions.entries()) {
    if (!ends.positions.has(old)) continue;
    const successor = successorOf(old, kept.partitions.length, partitions);
    for await (const batch of left(operator, old, partition, ends, read)) {
      const parts =
        input?.kind === "keyBy" ? partsByHash(batch, input.keys, partitions) : [[successor, batch] as const];
      for (const [to, part] of parts) await writers[to]!.write(part);
    }
  }
  for (const writer of writers) await writer.close();
}

/** J5. Seeds that were left, then the log, then what had not been published; an entry that is there again is dropped as a reader does. */
async function* left(
  operator: string,
  partition: number,
  kept: SavepointPartition,
  { positions, pending }: SavedEnds,
  read: (object: KeptEntries) => Promise<Uint8Array>,
): AsyncGenerator<RecordBatch> {
  const position = positions.get(partition);
  let before = position === undefined ? 0 : exchangePositionFrame.decode(position).header.seedBatches;
  for (const seed of kept.objects.slice(0, kept.seeds)) {
    for (const batch of seededBatches(unpackEntries(await read(seed)).entries)) {
      if (before > 0) before -= 1;
      else yield batch;
    }
    before = 0;
  }
  const cursor = new ExchangeCursor([], position);
  let sequence = kept.next;
  for (const object of kept.objects.slice(kept.seeds)) {
    for (const entry of unpackEntries(await read(object)).entries) yield* cursor.take(sequence++, entry);
  }
  const ends = new Map<string, bigint>();
  for (const prepared of pending) {
    const { header, entries } = decodePending(prepared);
    for (const entry of entries[partition] ?? []) yield* cursor.take(sequence++, entry);
    ends.set(header.writer, header.partitions[partition]?.previous ?? 0n);
  }
  for (const [writer, checkpoint] of ends) {
    const at = cursor.handedOn(writer);
    const whole = checkpoint === (at?.checkpoint ?? 0n) && (at?.last ?? true);
    if (!whole) throw incomplete(operator, partition, writer, checkpoint);
  }
}

/** J6 */
function incomplete(operator: string, partition: number, writer: string, checkpoint: bigint): MillraceError {
  return new MillraceError(
    "MILL_STORE_CORRUPT",
    `the savepoint lacks rows of durable exchange "${operator}": partition ${partition} does not hold what writer "${writer}" wrote up to checkpoint ${checkpoint}. Use another savepoint.`,
    { exchange: operator, partition, writer },
  );
}
