/**
 * The start of a stream: asks for splits, reads them, and hands batches on as fast as they are taken.
 *
 * Its state is its place: the number of its newest assignment, and how far that split has been handed on. A batch counts
 * from the moment it is through the gate.
 */
import type { RecordBatch } from "apache-arrow";
import type { Bus } from "../bus/bus.js";
import type { PositionedBatch } from "../topology/endpoints.js";
import type { SourceNode } from "../topology/nodes.js";
import { type SourceState, sourceStateFrame } from "../wire/stored.js";
import type { Emit, Encode, Operator, OperatorRuntime } from "./operator.js";
import { requestSplit } from "./split-request.js";

export class SourceReader implements Operator {
  #state: SourceState = { taken: 0n, ended: false, split: null, batches: 0n, position: null };

  constructor(
    private readonly node: SourceNode,
    private readonly bus: Bus,
    private readonly subject: string,
    private readonly reader: string,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {}

  /** It takes rows from its source alone. */
  process(): void {}
  end(): void {}

  get ended(): boolean {
    return this.#state.ended;
  }

  /** Resolves when the source has no split left. */
  async run(): Promise<void> {
    const { signal, ports } = this.runtime;
    while (!this.#state.ended) {
      if (this.#state.split === null) {
        const number = this.#state.taken + 1n;
        const request = { operator: this.node.id, reader: this.reader, number };
        const split = await requestSplit(this.bus, ports.clock, this.subject, request, signal);
        const none = { split: null, batches: 0n, position: null };
        this.#state =
          split === undefined
            ? { ...this.#state, ...none, ended: true }
            : { taken: number, ended: false, ...none, split };
      }
      await this.#read();
    }
  }

  cut(): Encode {
    const state = this.#state;
    return () => sourceStateFrame.encode(state);
  }

  restore(state: Uint8Array): void {
    this.#state = sourceStateFrame.decode(state).header;
  }

  async #read(): Promise<void> {
    const { split, batches, position } = this.#state;
    if (split === null) return;
    let seen = 0n;
    const from = { batches: Number(batches), position: position ?? undefined };
    for await (const item of this.node.source.read(split, this.runtime, from)) {
      this.runtime.signal.throwIfAborted();
      seen += 1n;
      const positioned = "position" in item;
      // Without positions a split is read again from its start (E2).
      if (!positioned && seen <= batches) continue;
      await this.runtime.gate.flow(() => this.#handOn(positioned ? item : { batch: item, position: null }));
    }
    this.#state = { ...this.#state, split: null, batches: 0n, position: null };
  }

  #handOn(item: { readonly batch: RecordBatch; readonly position: PositionedBatch["position"] | null }): unknown {
    this.#state = { ...this.#state, batches: this.#state.batches + 1n, position: item.position };
    this.runtime.counters.rowsRead += item.batch.numRows;
    return this.emit(item.batch);
  }
}
