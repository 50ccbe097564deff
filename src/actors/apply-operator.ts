/**
 * `apply`: a column function makes columns, and the other columns of the rows go along with them.
 *
 * Invariants:
 *   O3  A row is refused, or what was made of it goes on with the row's other columns; never both.
 *   O5  While the function works on it a batch is state of the actor, as one on its way in: a checkpoint does not wait for the function, and
 *       after a recovery it is called again.
 */
import { type Data, makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { asDeclared } from "../services/declared-batch.js";
import type { Applied } from "../topology/column-function.js";
import type { ApplyNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { columnOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { derived } from "../types/lineage.js";
import { takeRows } from "../types/take.js";
import { BatchCalls } from "./batch-calls.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import { mayRefer } from "./noted-puts.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { refusedRow } from "./refused-row.js";

export class ApplyOperator implements Operator {
  #made: Schema;
  #schema: Schema;
  #calls: BatchCalls;

  constructor(
    private readonly node: ApplyNode,
    private readonly input: Columns,
    context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
    private readonly moveOut: MoveOut = staysAsItIs,
  ) {
    this.#calls = new BatchCalls(context, runtime, moveOut, mayRefer(node.columns));
    this.#made = arrowSchema(node.fn.to);
    this.#schema = arrowSchema(node.columns);
  }

  async process(batch: RecordBatch): Promise<void> {
    const { batch: returned, from, refused = [] } = await this.#apply(batch);
    const made = asDeclared(this.#name, this.#made, returned);
    const others = this.#rowsOf(batch, made.numRows, from);
    for (const { row, error } of refused) {
      await this.runtime.refuse(await refusedRow(this.input, this.moveOut, batch, row, error));
    }
    if (made.numRows > 0) await this.emit(derived(this.#join(others, made), batch));
  }

  end(): void {}

  get #name(): string {
    return `operator "${this.node.id}"`;
  }

  async #apply(batch: RecordBatch): Promise<Applied> {
    try {
      return await this.#calls.call(batch, (context) => this.node.fn.apply(batch, this.input, context));
    } catch (cause) {
      this.runtime.signal.throwIfAborted();
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
}
