/**
 * The rows of one batch, given to a function by key one after another. What comes of them is staged: state by key is read through what
 * the rows before have made of it, and changes only in `apply`.
 */
import { MillraceError } from "../base/errors.js";
import type { KeyState, ProcessNode, ReduceNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import type { Columns, Row } from "../types/columns.js";
import { copyOf, ownRow } from "../types/own-row.js";
import type { KeyEntry, KeyedState } from "./keyed-state.js";

type AnyRow = Row<Columns>;

/** What came of one row; all of it fits. */
interface Made {
  readonly rows: readonly AnyRow[];
  /** undefined: there is none any more. */
  readonly state: AnyRow | undefined;
}

/** Of one row. */
interface Call {
  /** What the function returns. */
  start(): unknown;
  /** @param result what the function has returned, or what its promise was resolved with */
  finish(result: unknown): Made;
  /** Nothing the function does counts from then on. */
  close?(): void;
}

/** A row with its key, and the state of the key before it. */
interface Keyed {
  readonly number: number;
  readonly key: string;
  readonly columns: AnyRow;
  readonly before: AnyRow | undefined;
}

export class KeyedBatch {
  /** What the functions have made, in the order of the rows. */
  readonly made: AnyRow[] = [];
  /** Rows by their numbers, and why. */
  readonly refused: (readonly [number, unknown])[] = [];
  #changes = new Map<string, KeyEntry | undefined>();
  #next = 0;

  constructor(
    private readonly node: ReduceNode | ProcessNode,
    private readonly keyColumns: Columns,
    private readonly state: KeyedState,
    private readonly rows: readonly AnyRow[],
    private readonly keyOf: (row: number) => string,
    private readonly signal: AbortSignal,
  ) {}

  /** @returns nothing where no function has returned a promise; else it resolves when all rows are done, or the actor has stopped */
  run(context: OperatorContext): void | Promise<void> {
    const underWay = this.#callOn(context);
    if (underWay !== undefined) return this.#follow(underWay, context);
  }

  /** All that changes, at once. */
  apply(): void {
    for (const [key, entry] of this.#changes) this.state.set(key, entry);
  }

  /** @returns what is settled once a function has returned a promise; undefined: all rows are done */
  #callOn(context: OperatorContext): Promise<void> | undefined {
    while (this.#next < this.rows.length) {
      const settled = this.#call(this.#next++, context);
      if (settled !== undefined) return settled;
    }
  }

  async #follow(first: Promise<void>, context: OperatorContext): Promise<void> {
    let underWay: Promise<void> | undefined = first;
    while (underWay !== undefined) {
      await underWay;
      if (this.signal.aborted) return;
      underWay = this.#callOn(context);
    }
  }

  #call(number: number, context: OperatorContext): Promise<void> | undefined {
    const row = this.rows[number]!;
    const key = this.keyOf(number);
    const entry = this.#changes.has(key) ? this.#changes.get(key) : this.state.get(key);
    // Its columns, before the function has the row in its hands.
    const keyed = { number, key, columns: entry?.key ?? ownRow(this.keyColumns, row), before: entry?.state };
    const call =
      this.node.kind === "reduce"
        ? reduceCall(this.node, row, keyed.columns, keyed.before, context)
        : processCall(this.node, row, keyed.before, context);
    let result: unknown;
    try {
      result = call.start();
    } catch (error) {
      return this.#refuse(keyed, call, error);
    }
    if (!(result instanceof Promise)) return this.#finish(keyed, call, result);
    return result.then(
      (value) => this.#finish(keyed, call, value),
      (error) => this.#refuse(keyed, call, error),
    );
  }

  #finish(keyed: Keyed, call: Call, result: unknown): undefined {
    let made: Made;
    try {
      made = call.finish(result);
    } catch (error) {
      return this.#refuse(keyed, call, error);
    }
    call.close?.();
    for (const one of made.rows) this.made.push(one);
    if (made.state === keyed.before) return;
    this.#changes.set(keyed.key, made.state && { key: keyed.columns, state: made.state });
  }

  #refuse({ number }: Keyed, call: Call, error: unknown): undefined {
    call.close?.();
    this.refused.push([number, error]);
  }
}

function reduceCall(
  node: ReduceNode,
  row: AnyRow,
  key: AnyRow,
  before: AnyRow | undefined,
  context: OperatorContext,
): Call {
  const accumulator = before ?? (node.initial as AnyRow | undefined);
  return {
    start: () => node.fn(accumulator && copyOf(node.state, accumulator), row, context),
    finish(result) {
      const state = ownRow(node.state, result as AnyRow);
      return { state, rows: node.emit === "changes" ? [{ ...key, ...state }] : [] };
    },
  };
}

function processCall(node: ProcessNode, row: AnyRow, before: AnyRow | undefined, context: OperatorContext): Call {
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
  return {
    start: () => node.fn(row, handle, context),
    finish(result) {
      const rows = [...(result as Iterable<AnyRow>)].map((one) => ownRow(node.columns, one));
      return { rows, state };
    },
    close() {
      over = true;
    },
  };
}
