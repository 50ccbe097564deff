/** Operators that work on whole batches: `map`, `select`, and those that only mark a place in the graph. */
import { makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { asDeclared } from "../services/declared-batch.js";
import type { MapNode, SelectNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { columnOf } from "../types/batches.js";
import { arrowSchema } from "../types/columns.js";
import { derived } from "../types/lineage.js";
import { BatchCalls } from "./batch-calls.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import { mayRefer } from "./noted-puts.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";

export class MapOperator implements Operator {
  #schema: Schema;
  #calls: BatchCalls;

  constructor(
    private readonly node: MapNode,
    context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
    moveOut: MoveOut = staysAsItIs,
  ) {
    this.#schema = arrowSchema(node.columns);
    this.#calls = new BatchCalls(context, runtime, moveOut, mayRefer(node.columns));
  }

  async process(batch: RecordBatch): Promise<void> {
    let result: RecordBatch;
    try {
      result = await this.#calls.call(batch, (context) => this.node.fn(batch, context));
    } catch (cause) {
      this.runtime.signal.throwIfAborted();
      throw new MillraceError(
        "MILL_OPERATOR_FAILED",
        `operator "${this.node.id}" threw: ${(cause as Error)?.message ?? cause}. A batch function must not throw; to refuse single rows, use mapRows.`,
        { operator: this.node.id },
        { cause },
      );
    }
    const declared = asDeclared(`operator "${this.node.id}"`, this.#schema, result);
    if (declared.numRows > 0) await this.emit(derived(declared, batch));
  }

  end(): void {}
}

export class SelectOperator implements Operator {
  #schema: Schema;
  #names: string[];

  constructor(
    node: SelectNode,
    private readonly emit: Emit,
  ) {
    this.#schema = arrowSchema(node.columns);
    this.#names = Object.keys(node.columns);
  }

  process(batch: RecordBatch): void | Promise<void> {
    // Not the batch's own `select`, which keeps the columns in their old order and leaves holes before them.
    const children = this.#names.map((name) => columnOf(batch, name).data[0]!);
    const type = new Struct(this.#schema.fields);
    const data = makeData({ type, length: batch.numRows, nullCount: 0, children } as never);
    return this.emit(derived(new RecordBatch(this.#schema, data as never) as RecordBatch, batch));
  }

  end(): void {}
}

/** `union` and `keyBy`: the meeting of inputs and the choice of a receiver are the actor's work, not theirs. */
export class PassOperator implements Operator {
  constructor(private readonly emit: Emit) {}

  process(batch: RecordBatch): void | Promise<void> {
    return this.emit(batch);
  }

  end(): void {}
}
