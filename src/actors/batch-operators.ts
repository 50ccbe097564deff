/** Operators that work on whole batches: `map`, `select`, and those that only mark a place in the graph. */
import { RecordBatch, type Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { MapNode, OperatorContext, SelectNode } from "../topology/nodes.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import type { Emit, Operator } from "./operator.js";

export class MapOperator implements Operator {
  constructor(
    private readonly node: MapNode,
    private readonly context: OperatorContext,
    private readonly emit: Emit,
  ) {}

  async process(batch: RecordBatch): Promise<void> {
    let result: RecordBatch;
    try {
      result = await this.node.fn(batch, this.context);
    } catch (cause) {
      throw new MillraceError(
        "MILL_OPERATOR_FAILED",
        `operator "${this.node.id}" threw: ${(cause as Error)?.message ?? cause}. A batch function must not throw; to refuse single rows, use mapRows.`,
        { operator: this.node.id },
        { cause },
      );
    }
    requireColumns(this.node.id, this.node.columns, result);
    if (result.numRows > 0) await this.emit(result);
  }

  end(): void {}
}

/** @throws `MILL_TOPOLOGY_TYPE` naming operator and column where the batch is not of the columns declared */
function requireColumns(operator: string, columns: Columns, batch: RecordBatch): void {
  for (const [name, type] of Object.entries(columns)) {
    const field = batch.schema.fields.find((candidate) => candidate.name === name);
    if (field === undefined || field.type.toString() !== type.arrow.toString()) {
      throw new MillraceError(
        "MILL_TOPOLOGY_TYPE",
        `operator "${operator}": it declared column "${name}" as ${type.name}, but returned ${field === undefined ? "no such column" : field.type}.`,
        { operator, column: name },
      );
    }
  }
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
    const selected = batch.select(this.#names);
    return this.emit(new RecordBatch(this.#schema, selected.data));
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
