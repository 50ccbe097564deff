/**
 * A durable exchange: a transactional writer in one region, a source in the next, and one log for each partition between
 * them (rules 4 and 13). It is a sink and a source like others; no third mechanism, and no server knows of it.
 *
 * Invariants of the pair:
 *   X1  Only what a committed manifest covers is in a log: readers see committed batches only.
 *   X2  A writer publishes its entries of a partition one after another, checkpoint by checkpoint, each acknowledged before
 *       the next. An entry may be there again, at any later time: after a lost answer, a recovery, from a zombie.
 *   X3  A reader hands on each (writer, checkpoint, index) once, in that order for each writer. It knows them by number,
 *       from its own checkpointed position: no time window is relied on.
 *   X4  An entry whose predecessor is missing waits for it. One that never comes is an error, never a silent gap.
 *   X5  A full log makes its writers wait and their input with them; nothing is dropped. It is emptied up to the positions
 *       that committed checkpoints of its readers hold.
 *   X6  In a job that began from a savepoint a reader takes the seeds of its partition before the log: what the savepoint kept
 *       between writers and readers. They never change, so they are read again as any source is, by (seed, batches taken).
 *   X7  A reader goes on with the log that it began to read, or fails: it looks again and again which one it is.
 *   X8  Every entry that is appended to a log is whole: rows, or where they are. So a reader can always hand on what it meets, and let go of it,
 *       whatever fills the log behind it: a log is never full of what waits for an entry that has no room.
 */
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import type { DurableLog } from "../bus/bus.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { Columns } from "../types/columns.js";

export interface Exchange<C extends Columns = Columns> {
  /** Operator whose output is exchanged; for messages. */
  readonly id: string;
  readonly columns: C;
  readonly partitions: number;
  /** Everybody who writes: a partition has ended when all of them have. */
  readonly writers: readonly string[];
  /** Of the log of a partition; undefined: as many as its server has room for. */
  readonly bytesMax?: number;
  /** Where rows are that are too large for an entry. */
  readonly content: Pick<ContentAccess, "bytes" | "put">;
  /** The log of a partition; created if it is not there. */
  log(partition: number): Promise<DurableLog>;
  /** A seed of a partition, by its number: what its reader takes before the log, in a job that began from a savepoint. */
  seed?(partition: number, number: bigint): Promise<Uint8Array>;
  readonly ports: Ports;
}

/** The name of a writer in the entries, the same over all attempts. */
export function exchangeWriterId(operator: string, subtask: number): string {
  return `${operator}-${subtask}`;
}

/** What failed, said as what it means for the rows where the log itself is gone. */
export function goneAsLost(exchange: Exchange, partition: number, error: unknown, what: string): unknown {
  const gone = MillraceError.is(error) && error.code === "MILL_BUS_LOG_GONE";
  return gone ? entriesLost(exchange, partition, `its log was deleted, and ${what}`) : error;
}

/** X4: entries that a committed checkpoint relies on are not there. */
export function entriesLost(exchange: Exchange, partition: number, what: string): MillraceError {
  return new MillraceError(
    "MILL_EXCHANGE_LOST",
    `durable exchange "${exchange.id}", partition ${partition}: ${what}. Rows are missing; start from a savepoint, or restore the log.`,
    { exchange: exchange.id, partition },
  );
}
