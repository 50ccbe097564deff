/**
 * Column functions: what `stream.apply` takes. They read some columns of a batch and make others; the runtime carries the rest along.
 */
import type { RecordBatch } from "apache-arrow";
import type { ArrowColumns, Columns } from "../types/columns.js";
import type { OperatorContext } from "./operator-context.js";

/** A row that the function refuses: it becomes a dead letter, or fails the job, as the user chose. */
export interface RefusedRow {
  /** Its number in the input batch. */
  readonly row: number;
  readonly error: unknown;
}

/** What a column function made of one batch. */
export interface Applied<O extends Columns = Columns> {
  /** The function's own columns, one row for each row that it made. */
  readonly batch: RecordBatch<ArrowColumns<O>>;
  /** For each row made, the input row that it was made from; never falling. Undefined: row i was made from row i, for all of them. */
  readonly from?: Int32Array;
  /** By row, each once. */
  readonly refused?: readonly RefusedRow[];
}

/**
 * Invariants that every column function keeps:
 *   F1  The same batch gives the same result, in any process; rows are independent of one another.
 *   F2  It refuses rows, and throws only where it is itself at fault: what it throws fails the job.
 *   F3  It changes nothing of its input; what it returns may share buffers with it.
 *   F4  It ends soon after `context.signal` is aborted, and bounds what one row may cost in memory and time.
 */
export interface ColumnFunction<O extends Columns = Columns> {
  /** As users write it: `decodeImage`. Operators are named after it. */
  readonly name: string;
  /** Columns that it makes; they replace those of the same name. */
  readonly to: O;
  /**
   * Asked once, when the topology is built.
   * @throws {MillraceError} `MILL_TOPOLOGY_COLUMN`, `MILL_TOPOLOGY_TYPE`: the stream lacks a column that it reads, or has it with another type
   */
  check(operator: string, input: Columns): void;
  /** @param columns of the batch */
  apply(batch: RecordBatch, columns: Columns, context: OperatorContext): Promise<Applied<O>>;
}
