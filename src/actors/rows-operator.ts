/**
 * Row functions (`mapRows`, `flatMap`, `filter`) on batches.
 *
 * Invariants:
 *   O1  A row whose function throws, or one of whose results does not fit the columns, is refused alone, once and whole:
 *       none of its results goes on.
 *   O2  Results go on in the order of their rows, however many calls are under way.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { RowsNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns } from "../types/columns.js";
import { derived, sliceRows } from "../types/lineage.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { contextOf } from "./traced-context.js";

type AnyRow = Record<string, unknown>;
type Result = { readonly ok: true; readonly rows: readonly AnyRow[] } | { readonly ok: false; readonly error: unknown };
/** What came of one row. */
interface Made {
  /** Its number in the batch. */
  readonly from: number;
  readonly rows: readonly AnyRow[];
}

export class RowsOperator implements Operator {
  constructor(
    private readonly node: RowsNode,
    private readonly input: Columns,
    private readonly context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {}

  async process(batch: RecordBatch): Promise<void> {
    const rows = rowsOf(this.input, batch) as AnyRow[];
    const results = await this.#callAll(rows, contextOf(this.context, batch));
    const good: Made[] = [];
    for (const [i, result] of results.entries()) {
      if (result.ok) good.push({ from: i, rows: result.rows });
      else await this.#refuse(batch, i, result.error);
    }
    await this.#emitRows(good, batch);
  }

  end(): void {}

  /** @throws what an iterable throws half-way, or `MILL_RECORD_INVALID` where a result is no row */
  #rowsFrom(row: AnyRow, value: unknown): readonly AnyRow[] {
    if (this.node.kind === "filter") return value ? [row] : [];
    const made = this.node.kind === "mapRows" ? [value] : [...(value as Iterable<unknown>)];
    for (const one of made) {
      if (typeof one === "object" && one !== null) continue;
      throw new MillraceError("MILL_RECORD_INVALID", `the function returned ${String(one)}; return an object.`);
    }
    return made as AnyRow[];
  }

  /** Results by row; at most `concurrency` calls under way. */
  async #callAll(rowsIn: readonly AnyRow[], context: OperatorContext): Promise<Result[]> {
    const results: Result[] = new Array(rowsIn.length);
    let next = 0;
    const lane = async () => {
      while (next < rowsIn.length) {
        const i = next++;
        try {
          const value = this.node.fn(rowsIn[i], context);
          const rows = this.#rowsFrom(rowsIn[i]!, value instanceof Promise ? await value : value);
          results[i] = { ok: true, rows };
        } catch (error) {
          results[i] = { ok: false, error };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.node.concurrency, rowsIn.length) }, lane));
    return results;
  }

  async #emitRows(made: readonly Made[], input: RecordBatch): Promise<void> {
    const rows = made.flatMap((one) => one.rows);
    if (rows.length === 0) return;
    const batch = this.#fitting(rows);
    if (batch !== undefined) return this.emit(derived(batch, input));
    // Some row does not fit: find whose, refuse those, keep the rest.
    const fitting: AnyRow[] = [];
    for (const one of made) {
      try {
        batchFromRows(this.node.columns, one.rows as never);
        for (const row of one.rows) fitting.push(row);
      } catch (error) {
        await this.#refuse(input, one.from, error);
      }
    }
    if (fitting.length > 0) await this.emit(derived(batchFromRows(this.node.columns, fitting as never), input));
  }

  /** The batch, or undefined when some row does not fit the columns. */
  #fitting(rows: readonly AnyRow[]): RecordBatch | undefined {
    try {
      return batchFromRows(this.node.columns, rows as never);
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_RECORD_INVALID") return undefined;
      throw error;
    }
  }

  /** Read again: the function may have changed the row that it was given. */
  async #refuse(input: RecordBatch, number: number, cause: unknown): Promise<void> {
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED");
    const batch = sliceRows(input, number, number + 1);
    const [row] = rowsOf(this.input, batch) as AnyRow[];
    await this.runtime.refuse({ code: error.code, message: error.message, row: row!, batch });
  }
}
