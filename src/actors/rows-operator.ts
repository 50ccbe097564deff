/**
 * Row functions (`mapRows`, `flatMap`, `filter`) on batches. A row whose function throws, or whose result does not
 * fit the columns, is refused alone; its neighbours go on, in order.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { OperatorContext, RowsNode } from "../topology/nodes.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns } from "../types/columns.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";

type AnyRow = Record<string, unknown>;
type Result = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: unknown };

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
    const results = await this.#callAll(rows);
    const good: AnyRow[] = [];
    const origin: number[] = [];
    for (let i = 0; i < rows.length; i++) {
      const result = results[i]!;
      if (!result.ok) {
        await this.#refuse(rows[i]!, result.error);
        continue;
      }
      for (const row of this.#rowsFrom(rows[i]!, result.value)) {
        good.push(row);
        origin.push(i);
      }
    }
    if (good.length > 0) await this.#emitRows(good, (i) => rows[origin[i]!]!);
  }

  end(): void {}

  #rowsFrom(row: AnyRow, value: unknown): Iterable<AnyRow> {
    if (this.node.kind === "mapRows") return [value as AnyRow];
    if (this.node.kind === "filter") return value === true ? [row] : [];
    return value as Iterable<AnyRow>;
  }

  /** Results by row; at most `concurrency` calls under way. */
  async #callAll(rows: readonly AnyRow[]): Promise<Result[]> {
    const results: Result[] = new Array(rows.length);
    let next = 0;
    const lane = async () => {
      while (next < rows.length) {
        const i = next++;
        try {
          const value = this.node.fn(rows[i], this.context);
          results[i] = { ok: true, value: value instanceof Promise ? await value : value };
        } catch (error) {
          results[i] = { ok: false, error };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.node.concurrency, rows.length) }, lane));
    return results;
  }

  async #emitRows(rows: readonly AnyRow[], sourceOf: (row: number) => AnyRow): Promise<void> {
    const columns = this.node.columns;
    const batch = this.#fitting(rows);
    if (batch !== undefined) return this.emit(batch);
    // Some row does not fit: find which, refuse them, keep the rest.
    const fitting: AnyRow[] = [];
    for (const [i, row] of rows.entries()) {
      try {
        batchFromRows(columns, [row] as never);
        fitting.push(row);
      } catch (error) {
        await this.#refuse(sourceOf(i), error);
      }
    }
    if (fitting.length > 0) await this.emit(batchFromRows(columns, fitting as never));
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

  async #refuse(row: AnyRow, cause: unknown): Promise<void> {
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED");
    await this.runtime.refuse({ code: error.code, message: error.message, row });
  }
}
