/** A row that an operator refuses, out of the batch in which it came. */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { rowsOf } from "../types/batches.js";
import type { Columns, Row } from "../types/columns.js";
import { sliceRows } from "../types/lineage.js";
import type { MoveOut } from "./content-mover.js";
import type { BadRecord } from "./operator.js";

/**
 * The row is read again: the function may have changed the one that it was given. After a recovery it may come with references, so it is
 * told of with references whenever it comes.
 */
export async function refusedRow(
  input: Columns,
  moveOut: MoveOut,
  batch: RecordBatch,
  number: number,
  cause: unknown,
): Promise<Omit<BadRecord, "operator">> {
  const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED");
  const one = await moveOut(sliceRows(batch, number, number + 1));
  const [row] = rowsOf(input, one) as Row<Columns>[];
  return { code: error.code, message: error.message, row: row!, batch: one };
}
