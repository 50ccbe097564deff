/** The end of a stream: hands batches to a transactional writer and counts them. */
import type { RecordBatch } from "apache-arrow";
import type { SinkWriter } from "../topology/endpoints.js";
import type { Operator, OperatorRuntime } from "./operator.js";

export class SinkOperator implements Operator {
  #writer: SinkWriter | undefined;

  constructor(
    private readonly openWriter: () => Promise<SinkWriter>,
    private readonly runtime: OperatorRuntime,
  ) {}

  async open(): Promise<void> {
    this.#writer = await this.openWriter();
  }

  async process(batch: RecordBatch): Promise<void> {
    await this.#writer!.write(batch);
    this.runtime.counters.rowsWritten += batch.numRows;
  }

  end(): void {}

  prepare(checkpoint: bigint): Promise<Uint8Array> {
    return this.#writer!.prepare(checkpoint);
  }

  commit(prepared: Uint8Array): Promise<void> {
    return this.#writer!.commit(prepared);
  }

  async abort(): Promise<void> {
    await this.#writer?.abort();
  }
}
