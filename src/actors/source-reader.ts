/** The start of a stream: asks for splits, reads them, and hands batches on as fast as they are taken. */
import type { Bus } from "../bus/bus.js";
import type { SourceNode } from "../topology/nodes.js";
import type { Emit, OperatorRuntime } from "./operator.js";
import { requestSplit } from "./splits.js";

export class SourceReader {
  constructor(
    private readonly node: SourceNode,
    private readonly bus: Bus,
    private readonly subject: string,
    private readonly actor: string,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {}

  /** Resolves when the source has no split left. */
  async run(): Promise<void> {
    const { signal, attempt, counters } = this.runtime;
    const request = { operator: this.node.id, actor: this.actor, attempt };
    for (;;) {
      const split = await requestSplit(this.bus, this.subject, request, signal);
      if (split === undefined) return;
      for await (const batch of this.node.source.read(split, this.runtime)) {
        signal.throwIfAborted();
        counters.rowsRead += batch.numRows;
        await this.emit(batch);
      }
    }
  }
}
