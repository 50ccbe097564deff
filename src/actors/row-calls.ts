/**
 * Calls a row function for the rows of one batch after another. What it returns may be a promise; it is asked for the next row
 * meanwhile, also for one of the next batch, as long as not too many calls are under way.
 *
 * Invariants:
 *   B1  At most `concurrency` calls are under way, over all batches.
 *   B2  Rows are called in their order, batch by batch: a batch is begun only when every row of those before it has been called.
 *   B3  Where a function returns no promise none is made: its batch has been called when `begin` returns.
 *   B4  Once the actor has stopped, no row is called any more.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import type { RowsNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";

export type AnyRow = Record<string, unknown>;

/** Why a row is refused. */
export class Refusal {
  constructor(readonly error: unknown) {}
}

/** What came of a row: the rows that it was made into, or why there are none. */
export type Result = readonly AnyRow[] | Refusal;

/** A batch whose rows are being called, or have been. */
export class CalledBatch {
  readonly results: Result[];
  /** The row that is called next. */
  next = 0;
  /** Calls that have not ended. */
  open = 0;

  constructor(
    readonly batch: RecordBatch,
    readonly rows: readonly AnyRow[],
    readonly context: OperatorContext,
  ) {
    this.results = new Array(rows.length);
  }

  get isDone(): boolean {
    return this.open === 0 && this.next === this.rows.length;
  }
}

export class RowCalls {
  #open = 0;
  #isBusy = false;
  /** The only one that may have rows which have not been called (B2). */
  #newest: CalledBatch | undefined;

  /**
   * @param ended told after each call that was under way
   * @param busy told when the first call goes under way, and when the last one has ended: that is work of the operator
   */
  constructor(
    private readonly node: Pick<RowsNode, "kind" | "fn" | "concurrency">,
    private readonly signal: AbortSignal,
    private readonly ended: () => void,
    private readonly busy: { begin(): void; end(): void },
  ) {}

  /** Whether another batch may be begun: one more call may be made, and there is no row for it. */
  get isFree(): boolean {
    return this.#open < this.node.concurrency;
  }

  begin(called: CalledBatch): void {
    invariant(this.isFree, "a batch is begun when the rows of those before it have been called (B2)");
    this.#newest = called;
    this.#callOn();
  }

  #callOn(): void {
    const called = this.#newest;
    if (called === undefined) return;
    while (called.next < called.rows.length) {
      if (!this.isFree || this.signal.aborted) return;
      this.#call(called, called.next++);
    }
    this.#newest = undefined;
  }

  #call(called: CalledBatch, row: number): void {
    const given = called.rows[row]!;
    try {
      const value = this.node.fn(given, called.context);
      if (value instanceof Promise) void this.#follow(called, row, value);
      else called.results[row] = this.#rowsFrom(given, value);
    } catch (error) {
      called.results[row] = new Refusal(error);
    }
  }

  async #follow(called: CalledBatch, row: number, value: Promise<unknown>): Promise<void> {
    called.open += 1;
    this.#open += 1;
    if (!this.#isBusy) this.busy.begin();
    this.#isBusy = true;
    try {
      called.results[row] = this.#rowsFrom(called.rows[row]!, await value);
    } catch (error) {
      called.results[row] = new Refusal(error);
    }
    called.open -= 1;
    this.#open -= 1;
    this.#callOn();
    if (this.#open === 0) {
      this.#isBusy = false;
      this.busy.end();
    }
    this.ended();
  }

  /** @throws what an iterable throws half-way, or `MILL_RECORD_INVALID` where a result is no row */
  #rowsFrom(row: AnyRow, value: unknown): readonly AnyRow[] {
    if (this.node.kind === "filter") return value ? [row] : [];
    const made = this.node.kind === "mapRows" ? [value] : [...(value as Iterable<unknown>)];
    for (const one of made) {
      if (typeof one === "object" && one !== null) continue;
      throw new MillraceError("MILL_RECORD_INVALID", `the function returned ${String(one)}; return an object.`);
    }
    return made as AnyRow[];
  }
}
