/**
 * `apply`: a column function makes columns, and the other columns of the rows go along with them.
 *
 * Invariants:
 *   O3  A row is refused, or what was made of it goes on with the row's other columns; never both.
 */
import { type Data, makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { asDeclared } from "../services/declared-batch.js";
import type { Applied } from "../topology/column-function.js";
import type { ApplyNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { columnOf, rowsOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { derived, sliceRows } from "../types/lineage.js";
import { takeRows } from "../types/take.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { contextOf } from "./traced-context.js";

export class ApplyOperator implements Operator {
  #made: Schema;
  #schema: Schema;

  constructor(
    private readonly node: ApplyNode,
    private readonly input: Columns,
    private readonly context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {
    this.#made = arrowSchema(node.fn.to);
    this.#schema = arrowSchema(node.columns);
  }

  async process(batch: RecordBatch): Promise<void> {
    const { batch: returned, from, refused = [] } = await this.#apply(batch);
    const made = asDeclared(this.#name, this.#made, returned);
    const others = this.#rowsOf(batch, made.numRows, from);
    for (const { row, error } of refused) await this.#refuse(batch, row, error);
    if (made.numRows > 0) await this.emit(derived(this.#join(others, made), batch));
  }

  end(): void {}

  get #name(): string {
    return `operator "${this.node.id}"`;
  }

  async #apply(batch: RecordBatch): Promise<Applied> {
    try {
      return await this.node.fn.apply(batch, this.input, contextOf(this.context, batch));
    } catch (cause) {
      this.context.signal.throwIfAborted();
      throw new MillraceError(
        "MILL_OPERATOR_FAILED",
        `${this.#name}: ${this.node.fn.name} threw: ${(cause as Error)?.message ?? cause}. A column function must not throw; it refuses rows.`,
        { operator: this.node.id },
        { cause },
      );
    }
  }

  /** The input rows that the rows made were made from, one each. */
  #rowsOf(batch: RecordBatch, rows: number, from: Int32Array | undefined): RecordBatch {
    if (from === undefined ? rows !== batch.numRows : rows !== from.length) {
      throw new MillraceError(
        "MILL_OPERATOR_FAILED",
        `${this.#name}: ${this.node.fn.name} made ${rows} rows of ${batch.numRows} and says of ${from?.length ?? batch.numRows} where they are from. Return \`from\` with one entry a row.`,
        { operator: this.node.id },
      );
    }
    return from === undefined ? batch : takeRows(batch, from);
  }

  #join(others: RecordBatch, made: RecordBatch): RecordBatch {
    const children = this.#schema.fields.map(({ name }) =>
      Object.hasOwn(this.node.fn.to, name) ? columnOf(made, name).data[0]! : columnOf(others, name).data[0]!,
    );
    const type = new Struct(this.#schema.fields);
    const data = makeData({ type, length: made.numRows, nullCount: 0, children: children as Data[] } as never);
    return new RecordBatch(this.#schema, data as never) as RecordBatch;
  }

  async #refuse(batch: RecordBatch, row: number, cause: unknown): Promise<void> {
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED");
    const one = sliceRows(batch, row, row + 1);
    const [seen] = rowsOf(this.input, one as never);
    await this.runtime.refuse({ code: error.code, message: error.message, row: seen!, batch: one });
  }
}
