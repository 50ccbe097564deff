/**
 * Column functions that work row by row: most of those that call a library for one picture, sound or text.
 */
import { MillraceError } from "../base/errors.js";
import type { Applied, ColumnFunction, RefusedRow } from "../topology/column-function.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns, ColumnType, Row } from "../types/columns.js";

/** What a column that a function reads may be. */
export interface Accepted {
  /** For the message: `an image, an object reference or binary`. */
  readonly says: string;
  fits(type: ColumnType): boolean;
}

/** What `rowFunction` is made of. */
export interface RowFunctionSpec<O extends Columns> {
  readonly name: string;
  /** Columns that it reads. A row without a value in one of them is refused. */
  readonly reads: Readonly<Record<string, Accepted>>;
  readonly to: O;
  /** Rows under way at a time; default 1. */
  readonly concurrency?: number;
  /** The rows made of one, which has the columns of `reads`. What it throws refuses the row. */
  rows(row: Readonly<Record<string, unknown>>, context: OperatorContext): Promise<readonly Row<O>[]>;
}

/**
 * Makes a column function (for `apply` of a stream) of one that works on a row at a time. Rows that it refuses are bad records; results keep the
 * order of rows.
 */
export function rowFunction<O extends Columns>(spec: RowFunctionSpec<O>): ColumnFunction<O> {
  const { name, reads, to, concurrency = 1 } = spec;
  return {
    name,
    to,
    check: (operator, input) => {
      for (const [column, accepted] of Object.entries(reads)) checkColumn(operator, name, input, column, accepted);
    },
    async apply(batch, columns, context) {
      const read = Object.fromEntries(Object.keys(reads).map((column) => [column, columns[column]!]));
      const rows = rowsOf(read, batch as never);
      const made: Row<O>[][] = rows.map(() => []);
      const refused = await workOnRows(rows.length, concurrency, context, async (row) => {
        made[row] = [...(await spec.rows(complete(rows[row]!), context))];
      });
      return together(to, made, refused);
    },
  };
}

/** @param work on the row of that number. @returns the rows for which it threw */
export async function workOnRows(
  count: number,
  concurrency: number,
  { signal }: Pick<OperatorContext, "signal">,
  work: (row: number) => Promise<void>,
): Promise<RefusedRow[]> {
  const refused: RefusedRow[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const row = next++;
      try {
        await work(row);
      } catch (error) {
        signal.throwIfAborted();
        refused.push({ row, error });
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, count) }, lane));
  return refused;
}

/** Without a value there is nothing to work on. */
export function complete(row: Row<Columns>): Row<Columns> {
  const missing = Object.keys(row).find((column) => row[column] === null || row[column] === undefined);
  if (missing === undefined) return row;
  throw new MillraceError("MILL_RECORD_INVALID", `column "${missing}" has no value.`, { column: missing });
}

/** The rows made of each row, as one batch. Rows of which some do not fit are found only then, and refused. */
function together<O extends Columns>(to: O, made: Row<O>[][], refused: RefusedRow[]): Applied<O> {
  try {
    const all = made.every((rows) => rows.length === 1);
    return { batch: batchFromRows(to, made.flat()), refused, ...(all ? {} : { from: origins(made) }) };
  } catch (error) {
    if (!MillraceError.is(error) || error.code !== "MILL_RECORD_INVALID") throw error;
  }
  for (const [row, rows] of made.entries()) {
    try {
      batchFromRows(to, rows);
    } catch (error) {
      made[row] = [];
      refused.push({ row, error });
    }
  }
  return { batch: batchFromRows(to, made.flat()), refused, from: origins(made) };
}

function origins(made: readonly unknown[][]): Int32Array {
  return Int32Array.from(made.flatMap((rows, row) => rows.map(() => row)));
}

export function checkColumn(operator: string, name: string, input: Columns, column: string, accepted: Accepted): void {
  const type = Object.hasOwn(input, column) ? input[column]! : undefined;
  if (type === undefined) {
    throw new MillraceError(
      "MILL_TOPOLOGY_COLUMN",
      `operator "${operator}": ${name} reads a column "${column}" that the stream lacks. It has: ${Object.keys(input).join(", ")}.`,
      { operator, column },
    );
  }
  if (accepted.fits(type)) return;
  throw new MillraceError(
    "MILL_TOPOLOGY_TYPE",
    `operator "${operator}": column "${column}" is ${type.name}, but ${name} reads ${accepted.says}.`,
    { operator, column, found: type.name },
  );
}
