/**
 * The start of a stream: takes splits, reads them, and hands batches on as fast as they are taken.
 *
 * Its state is its place: the number of its newest assignment, and how far that split has been handed on. A batch counts
 * from the moment it is through the gate.
 *
 * What a committed checkpoint has passed is let go of: the source is told the position that the checkpoint holds.
 */
import type { RecordBatch } from "apache-arrow";
import type { PositionedBatch, Source, Split } from "../topology/endpoints.js";
import { lineageFrom, ownBatch, withLineage } from "../types/lineage.js";
import { type SourceState, sourceStateFrame } from "../wire/stored.js";
import type { Emit, Encode, Operator, OperatorRuntime } from "./operator.js";
import { ReadTelemetry } from "./operator-telemetry.js";

/** The reader's assignment of that number, from 1 on; the same for the same number. undefined: there is none, and none after it. */
export type Assignments = (number: bigint) => Split | undefined | Promise<Split | undefined>;

interface CutAt {
  readonly checkpoint: bigint;
  readonly state: SourceState;
}

export class SourceReader implements Operator {
  #state: SourceState = { taken: 0n, ended: false, split: null, batches: 0n, position: null, started: [] };
  /** Where checkpoints were cut that are not known to be committed; oldest first. */
  #cuts: CutAt[] = [];
  readonly #telemetry: ReadTelemetry;
  private readonly emit: Emit;

  constructor(
    private readonly source: Source,
    private readonly assignments: Assignments,
    private readonly runtime: OperatorRuntime,
    emit: Emit,
    /** Told when it begins to read, and when it does not any more: reading is work of its own. Default: it waits for input. */
    private readonly reading: { begin(): void; end(): void } = { begin() {}, end() {} },
  ) {
    this.#telemetry = new ReadTelemetry(runtime.ports, runtime.operator, source.kind !== "exchange");
    this.emit = this.#telemetry.exit(emit);
  }

  /** It takes rows from its source alone. */
  process(): void {}
  end(): void {}

  get ended(): boolean {
    return this.#state.ended;
  }

  /** Resolves when the source has no split left. */
  async run(): Promise<void> {
    while (!this.#state.ended) {
      const [begun, ...started] = this.#state.started;
      if (this.#state.split === null && begun !== undefined) {
        const { batches, position, ...split } = begun;
        this.#state = { ...this.#state, split, batches, position, started };
      } else if (this.#state.split === null) {
        const number = this.#state.taken + 1n;
        const split = await this.assignments(number);
        const none = { split: null, batches: 0n, position: null };
        this.#state =
          split === undefined
            ? { ...this.#state, ...none, ended: true }
            : { ...this.#state, taken: number, ...none, split };
      }
      this.reading.begin();
      try {
        await this.#read();
      } finally {
        this.reading.end();
      }
    }
  }

  cut(checkpoint: bigint): Encode {
    const state = this.#state;
    if (this.source.release !== undefined) this.#cuts.push({ checkpoint, state });
    return () => sourceStateFrame.encode(state);
  }

  restore(state: Uint8Array): void {
    this.#state = sourceStateFrame.decode(state).header;
    this.#cuts.push({ checkpoint: 0n, state: this.#state });
  }

  /** Whether the source hears of it does not matter to what is read. */
  async committed(checkpoint: bigint): Promise<void> {
    const at = this.#cuts.findLast((cut) => cut.checkpoint <= checkpoint);
    if (at === undefined) return;
    this.#cuts = this.#cuts.filter((cut) => cut.checkpoint > checkpoint);
    const { split, position } = at.state;
    if (split === null || position === null) return;
    try {
      await this.source.release?.(split, position, this.runtime);
    } catch (error) {
      this.runtime.log.warn("a source was not told what is not needed any more", {
        split: split.id,
        checkpoint,
        error,
      });
    }
  }

  async #read(): Promise<void> {
    const { split, batches, position } = this.#state;
    if (split === null) return;
    let seen = 0n;
    const from = { batches: Number(batches), position: position ?? undefined };
    this.#telemetry.asks();
    for await (const item of this.source.read(split, this.runtime, from)) {
      this.runtime.signal.throwIfAborted();
      seen += 1n;
      const positioned = "position" in item;
      // Without positions a split is read again from its start (E2).
      if (!positioned && seen <= batches) continue;
      await this.runtime.gate.flow(() => this.#handOn(positioned ? item : { batch: item, position: null }));
      this.#telemetry.asks();
    }
    this.#state = { ...this.#state, split: null, batches: 0n, position: null };
  }

  #handOn(item: { readonly batch: RecordBatch; readonly position: PositionedBatch["position"] | null }): unknown {
    const lineage = lineageFrom(`${this.runtime.operator}/${this.#state.split!.id}/${this.#state.batches}`);
    this.#state = { ...this.#state, batches: this.#state.batches + 1n, position: item.position };
    this.runtime.counters.rowsRead += item.batch.numRows;
    if (item.batch.numRows === 0) return;
    return this.emit(withLineage(ownBatch(item.batch), lineage));
  }
}
