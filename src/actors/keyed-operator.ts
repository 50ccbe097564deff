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
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { keyGroupRange } from "../checkpoint/key-groups.js";
import type { KeyState, ProcessNode, ReduceNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns, Row } from "../types/columns.js";
import { derived, lineageFrom, sliceRows, withLineage } from "../types/lineage.js";
import { copyOf, ownRow } from "../types/own-row.js";
import type { BlobReader } from "./blobs.js";
import { KeyedState } from "./keyed-state.js";
import type { Emit, Encode, Operator, OperatorRuntime } from "./operator.js";
import { rowKeys } from "./row-keys.js";
import { contextOf } from "./traced-context.js";
import { Window } from "./window.js";

type AnyRow = Row<Columns>;
/** What came of one row; all of it fits. */
interface Made {
  readonly rows: readonly AnyRow[];
  /** undefined: there is none any more. */
  readonly state: AnyRow | undefined;
}

export class KeyedOperator implements Operator {
  #keyColumns: Columns;
  #state: KeyedState;
  /** Room for one batch. */
  #turn = new Window(1, Number.POSITIVE_INFINITY);

  constructor(
    private readonly node: ReduceNode | ProcessNode,
    private readonly input: Columns,
    parallelism: number,
    private readonly context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {
    this.#keyColumns = Object.fromEntries(node.keys.map((key) => [key, input[key]!]));
    const range = keyGroupRange(runtime.subtask, parallelism, limits.keyGroups);
    this.#state = new KeyedState(this.#keyColumns, node.state, range, limits.keyGroups, runtime.ports.clock);
  }

  async process(batch: RecordBatch): Promise<void> {
    const take = () => this.#turn.tryEnter(1, 0);
    if (!take()) await this.runtime.park(batch, take, () => this.#turn.changed());
    try {
      this.runtime.signal.throwIfAborted();
      const made = await this.#work(batch);
      if (made.length > 0) await this.emit(derived(this.#batchOf(made), batch));
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

  async #work(batch: RecordBatch): Promise<AnyRow[]> {
    const rows = rowsOf(this.input, batch) as AnyRow[];
    const keyOf = rowKeys(batch, this.node.keys);
    const context = contextOf(this.context, batch);
    const all: AnyRow[] = [];
    for (const [i, row] of rows.entries()) {
      const key = keyOf(i);
      const before = this.#state.get(key);
      // Before the function has the row in its hands.
      const columns = before?.key ?? ownRow(this.#keyColumns, row);
      let made: Made;
      try {
        made = await this.#call(row, columns, before?.state, context);
      } catch (error) {
        await this.#refuse(batch, i, error);
        continue;
      }
      for (const one of made.rows) all.push(one);
      if (made.state !== before?.state) {
        this.#state.set(key, made.state === undefined ? undefined : { key: columns, state: made.state });
      }
    }
    return all;
  }

  #call(row: AnyRow, key: AnyRow, state: AnyRow | undefined, context: OperatorContext): Promise<Made> {
    return this.node.kind === "reduce"
      ? reduceRow(this.node, row, key, state, context)
      : processRow(this.node, row, state, context);
  }

  #batchOf(rows: readonly AnyRow[]): RecordBatch {
    return batchFromRows(this.node.columns, rows) as unknown as RecordBatch;
  }

  /** Read again: the function may have changed the row that it was given. */
  async #refuse(batch: RecordBatch, row: number, cause: unknown): Promise<void> {
    const error = MillraceError.from(cause, "MILL_OPERATOR_FAILED");
    const one = sliceRows(batch, row, row + 1);
    const [record] = rowsOf(this.input, one) as AnyRow[];
    await this.runtime.refuse({ code: error.code, message: error.message, row: record!, batch: one });
  }
}

async function reduceRow(
  node: ReduceNode,
  row: AnyRow,
  key: AnyRow,
  before: AnyRow | undefined,
  context: OperatorContext,
): Promise<Made> {
  const accumulator = before ?? (node.initial as AnyRow | undefined);
  const result = node.fn(accumulator && copyOf(node.state, accumulator), row, context);
  const state = ownRow(node.state, (result instanceof Promise ? await result : result) as AnyRow);
  return { state, rows: node.emit === "changes" ? [{ ...key, ...state }] : [] };
}

async function processRow(
  node: ProcessNode,
  row: AnyRow,
  before: AnyRow | undefined,
  context: OperatorContext,
): Promise<Made> {
  let state = before;
  let over = false;
  const change = (to: AnyRow | undefined) => {
    if (over) {
      throw new MillraceError(
        "MILL_OPERATOR_FAILED",
        `operator "${node.id}": the state of a key was changed after the function had returned. Await what the function starts.`,
      );
    }
    state = to;
  };
  const handle: KeyState<AnyRow> = {
    get: () => state && copyOf(node.state, state),
    set: (to) => change(ownRow(node.state, to)),
    clear: () => change(undefined),
  };
  try {
    const result = node.fn(row, handle, context);
    const made = (result instanceof Promise ? await result : result) as Iterable<AnyRow>;
    return { rows: [...made].map((one) => ownRow(node.columns, one)), state };
  } finally {
    over = true;
  }
}
