/**
 * `reduce` and `process`: operators that keep a row of state for each key.
 *
 * Batches of several inputs come at once and take turns. A turn lasts until what came of the batch has been handed on, so
 * results of a key leave in the order in which its rows were taken.
 *
 * Invariants:
 *   V1  A row whose function throws, or makes something that does not fit its columns, is refused alone, once and whole: none
 *       of its results goes on, and the state is as it was.
 *   V2  Functions are handed copies and what they return is copied: nothing outside can change the state.
 *   V3  At the end of the input `reduce` takes keys out of the state as it hands their rows on, so that a cut in between holds
 *       each key once, here or with whoever was handed it.
 *   V4  Results of one key leave in order.
 *   V5  A batch is in the state as a whole or not at all. While its functions are under way it is state of the actor as one on its way in:
 *       a checkpoint waits for no promise of a function, and after a recovery the functions are called again.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { keyGroupRange } from "../checkpoint/key-groups.js";
import type { ProcessNode, ReduceNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns, Row } from "../types/columns.js";
import { derived, lineageFrom, withLineage } from "../types/lineage.js";
import { BatchCalls } from "./batch-calls.js";
import type { BlobReader } from "./blobs.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import { KeyedBatch } from "./keyed-batch.js";
import { KeyedState } from "./keyed-state.js";
import { mayRefer } from "./noted-puts.js";
import type { Emit, Encode, Operator, OperatorRuntime } from "./operator.js";
import { refusedRow } from "./refused-row.js";
import { rowKeys } from "./row-keys.js";
import { Window } from "./window.js";

type AnyRow = Row<Columns>;

export class KeyedOperator implements Operator {
  #keyColumns: Columns;
  #state: KeyedState;
  /** Room for one batch. */
  #turn = new Window(1, Number.POSITIVE_INFINITY);
  #calls: BatchCalls;

  constructor(
    private readonly node: ReduceNode | ProcessNode,
    private readonly input: Columns,
    parallelism: number,
    context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
    private readonly moveOut: MoveOut = staysAsItIs,
  ) {
    this.#keyColumns = Object.fromEntries(node.keys.map((key) => [key, input[key]!]));
    const range = keyGroupRange(runtime.subtask, parallelism, limits.keyGroups);
    this.#state = new KeyedState(this.#keyColumns, node.state, range, limits.keyGroups, runtime.ports.clock);
    this.#calls = new BatchCalls(context, runtime, moveOut, mayRefer(node.columns) || mayRefer(node.state));
  }

  async process(batch: RecordBatch): Promise<void> {
    const { runtime } = this;
    const take = () => this.#turn.tryEnter(1, 0);
    if (!take()) await runtime.park(batch, take, () => this.#turn.changed(), { rows: () => this.moveOut(batch) });
    try {
      runtime.signal.throwIfAborted();
      const work = this.#workOn(batch);
      await this.#calls.call(batch, (context) => work.run(context));
      for (const [row, error] of work.refused) {
        await runtime.refuse(await refusedRow(this.input, this.moveOut, batch, row, error));
      }
      work.apply();
      if (work.made.length > 0) await this.emit(derived(this.#batchOf(work.made), batch));
    } finally {
      this.#turn.leave(1, 0);
    }
  }

  /** V3 */
  async end(): Promise<void> {
    const { node, runtime } = this;
    let more = node.kind === "reduce" && node.emit === "end";
    while (more) {
      await runtime.gate.flow(() => {
        runtime.signal.throwIfAborted();
        const taken = this.#state.take(limits.keyedBatchRows);
        more = taken.length === limits.keyedBatchRows;
        if (taken.length === 0) return;
        const batch = this.#batchOf(taken.map(({ key, state }) => ({ ...key, ...state })));
        // One row for each key, in an order that depends on the attempt.
        return this.emit(withLineage(batch, lineageFrom(node.id, -1)));
      });
    }
    await runtime.gate.flow(() => this.#state.clear()); // no row comes any more that could ask for it
  }

  cut(): Encode | undefined {
    return this.#state.cut();
  }

  restore(state: Uint8Array, blobs: BlobReader): void {
    this.#state.restore(state, blobs);
  }

  #workOn(batch: RecordBatch): KeyedBatch {
    const rows = rowsOf(this.input, batch) as AnyRow[];
    const keyOf = rowKeys(batch, this.node.keys);
    return new KeyedBatch(this.node, this.#keyColumns, this.#state, rows, keyOf, this.runtime.signal);
  }

  #batchOf(rows: readonly AnyRow[]): RecordBatch {
    return batchFromRows(this.node.columns, rows) as unknown as RecordBatch;
  }
}
