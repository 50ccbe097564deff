/** The end of a stream: hands batches to a transactional writer and counts them. */
import type { RecordBatch } from "apache-arrow";
import type { SinkWriter } from "../topology/endpoints.js";
import type { Operator, OperatorRuntime } from "./operator.js";
import { TransactionalOutput } from "./output.js";

export class SinkOperator implements Operator {
  readonly output: TransactionalOutput;
  #turn: Promise<void> = Promise.resolve();

  constructor(
    openWriter: () => Promise<SinkWriter>,
    private readonly runtime: OperatorRuntime,
  ) {
    this.output = new TransactionalOutput(openWriter);
  }

  async open(): Promise<void> {
    await this.output.open();
  }

  /** Several inputs may come at once; a writer takes one batch after another. */
  process(batch: RecordBatch): Promise<void> {
    const turn = this.#turn.then(() => this.output.write(batch));
    this.#turn = turn.catch(() => {});
    return turn.then(() => {
      this.runtime.counters.rowsWritten += batch.numRows;
    });
  }

  end(): void {}

  cut(checkpoint: bigint): ReturnType<TransactionalOutput["cut"]> {
    return this.output.cut(checkpoint);
  }
}
