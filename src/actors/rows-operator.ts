/**
 * Row functions (`mapRows`, `flatMap`, `filter`) on batches.
 *
 * Where functions return promises, calls go on across batches: whoever hands a batch in goes on when its rows' turn has come, and a pump of
 * its own hands on what came of each batch when all of it is there.
 *
 * Invariants:
 *   O1  A row whose function throws, or one of whose results does not fit the columns, is refused alone, once and whole:
 *       none of its results goes on.
 *   O2  Results go on in the order of their rows, batch by batch in the order in which those came, however many calls are under way. What is
 *       refused of a batch is, in order, before the rest goes on.
 *   O4  No more is held than keeps `concurrency` calls busy: a batch comes in only when a call is free that no row of those before it
 *       wants, and fewer rows than `concurrency` are held behind the oldest batch. The others wait in one line, whichever input they
 *       came from.
 *   O5  A batch under way is state of the actor, as one on its way in: a checkpoint waits for no promise of a function, and after a recovery
 *       the functions are called again. What they have put meanwhile is named by its snapshots.
 *   O6  Where a function returns no promise, and nothing is under way, a batch is handed on at once, and no promise is made.
 *   O7  Once the actor has stopped nothing is called, refused or handed on any more.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { Span } from "../base/telemetry.js";
import type { RowsNode } from "../topology/nodes.js";
import type { OperatorContext } from "../topology/operator-context.js";
import { batchFromRows, rowsOf } from "../types/batches.js";
import type { Columns } from "../types/columns.js";
import { derived } from "../types/lineage.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import { mayRefer, noted } from "./noted-puts.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { batchSpan } from "./operator-telemetry.js";
import { refusedRow } from "./refused-row.js";
import { type AnyRow, CalledBatch, Refusal, type Result, RowCalls } from "./row-calls.js";
import { contextOf } from "./traced-context.js";

/** A batch in the operator's hands. */
interface Held {
  readonly called: CalledBatch;
  /** Hashes of what its functions have put. */
  readonly contents: () => Iterable<string>;
  readonly span: Span | undefined;
  /** From then on no snapshot holds it; undefined: none could, as the flow that brought it is inside. */
  letGo?: () => void;
}

export class RowsOperator implements Operator {
  #calls: RowCalls;
  /** Under way, oldest first. */
  #held: Held[] = [];
  #rowsHeld = 0;
  #pump: Promise<void> | undefined;
  /** The pump has taken the oldest out of `#held`, and hands it on. */
  #handsOn = false;
  /** Wakes the pump when all of the oldest batch is there. */
  #oldestDone: (() => void) | undefined;
  /** Batches that wait for room (O4), each by an object of its own. */
  #line: object[] = [];
  #waiting: (() => void)[] = [];
  #error: unknown;
  /** Results may refer to content that the functions have put. */
  #refers: boolean;

  constructor(
    private readonly node: RowsNode,
    private readonly input: Columns,
    private readonly context: OperatorContext,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
    /** Told while calls are under way: that is work of its own. */
    busy: { begin(): void; end(): void } = { begin() {}, end() {} },
    private readonly moveOut: MoveOut = staysAsItIs,
  ) {
    this.#calls = new RowCalls(node, runtime.signal, () => this.#look(), busy);
    this.#refers = node.kind !== "filter" && mayRefer(node.columns);
  }

  process(batch: RecordBatch): void | Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (this.#line.length > 0 || !this.#hasRoom) return this.#waitInLine(batch);
    const isAlone = this.#pump === undefined;
    const held = this.#begin(batch);
    if (isAlone && held.called.isDone) return this.#handOn(held); // O6
    this.#hold(held);
  }

  async end(): Promise<void> {
    await this.#pump;
    if (this.#error !== undefined) throw this.#error;
  }

  close(): void {
    this.#stop(new MillraceError("MILL_JOB_FAILED", `operator "${this.node.id}" was stopped.`));
  }

  /** O4 */
  get #hasRoom(): boolean {
    const oldest = this.#handsOn ? 0 : (this.#held[0]?.called.rows.length ?? 0);
    return this.#calls.isFree && this.#rowsHeld - oldest < this.node.concurrency;
  }

  async #waitInLine(batch: RecordBatch): Promise<void> {
    const place = {};
    this.#line.push(place);
    const take = () => {
      if (this.#error !== undefined) return true;
      if (this.#line[0] !== place || !this.#hasRoom) return false;
      this.#hold(this.#begin(batch));
      return true;
    };
    const changed = () => new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      await this.runtime.park(batch, take, changed, { rows: () => this.moveOut(batch) });
    } finally {
      this.#line.splice(this.#line.indexOf(place), 1);
      this.#look(); // there may be room for the next one, too
    }
    if (this.#error !== undefined) throw this.#error;
  }

  #begin(batch: RecordBatch): Held {
    const { context, contents } = noted(contextOf(this.context, batch), this.#refers);
    const held = {
      called: new CalledBatch(batch, rowsOf(this.input, batch) as AnyRow[], context),
      contents,
      span: batchSpan(this.runtime.ports, "process", this.node.id, batch),
    };
    this.#calls.begin(held.called);
    return held;
  }

  /** O5 */
  #hold(held: Held): void {
    const { batch, rows } = held.called;
    held.letGo = this.runtime.keep(batch, { rows: () => this.moveOut(batch), contents: held.contents });
    this.#held.push(held);
    this.#rowsHeld += rows.length;
    this.#pump ??= this.#run();
  }

  /** Wakes whoever may go on. */
  #look(): void {
    if (this.#error !== undefined || this.#held[0]?.called.isDone) this.#oldestDone?.();
    if (this.#error !== undefined || this.#hasRoom) for (const wake of this.#waiting.splice(0)) wake();
  }

  #stop(error: unknown): void {
    this.#error ??= error;
    this.#look();
  }

  async #run(): Promise<void> {
    try {
      for (let oldest = this.#held[0]; oldest !== undefined; oldest = this.#held[0]) {
        if (!oldest.called.isDone && this.#error === undefined) await this.#untilOldestIsDone();
        await this.#handOnInside(oldest);
        this.#handsOn = false;
        this.#look();
      }
    } catch (error) {
      this.#stop(error);
      this.runtime.fail(error);
    } finally {
      this.#pump = undefined;
    }
  }

  #untilOldestIsDone(): Promise<void> {
    return new Promise<void>((resolve) => {
      this.#oldestDone = resolve;
    });
  }

  #handOnInside(held: Held): Promise<void> {
    return this.runtime.gate.flow(() => {
      this.runtime.signal.throwIfAborted(); // O7
      if (this.#error !== undefined) throw this.#error;
      return this.#handOn(held);
    });
  }

  #handOn(held: Held): void | Promise<void> {
    const { batch, results } = held.called;
    if (results.some((result) => result instanceof Refusal)) return this.#refuseAndHandOn(held);
    const rows = rowsIn(results);
    const made = rows.length === 0 ? undefined : this.#fitting(rows);
    if (rows.length > 0 && made === undefined) return this.#refuseAndHandOn(held);
    this.#letGo(held);
    if (made !== undefined) return this.emit(derived(made, batch));
  }

  /** What does not fit is refused like what has thrown. */
  async #refuseAndHandOn(held: Held): Promise<void> {
    const { batch, results } = held.called;
    const all = this.#fitting(rowsIn(results));
    const fitting: AnyRow[] = [];
    for (const [row, result] of results.entries()) {
      const refusal = all === undefined ? this.#misfit(result) : result;
      if (refusal instanceof Refusal) await this.#refuse(held, row, refusal.error);
      else for (const one of refusal) fitting.push(one);
    }
    this.#letGo(held); // before it is handed on: from then on it is somebody else's (R1)
    if (fitting.length > 0) await this.emit(derived(all ?? batchFromRows(this.node.columns, fitting as never), batch));
  }

  #letGo({ called, span, letGo }: Held): void {
    span?.end();
    if (letGo === undefined) return;
    letGo();
    this.#held.shift();
    this.#rowsHeld -= called.rows.length;
    this.#handsOn = true;
  }

  /** The batch, or undefined when some row does not fit the columns. */
  #fitting(rows: readonly AnyRow[]): RecordBatch | undefined {
    try {
      return batchFromRows(this.node.columns, rows as never);
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_RECORD_INVALID") return undefined;
      throw error;
    }
  }

  /** @returns why the rows do not fit the columns, or they themselves */
  #misfit(result: Result): Result {
    if (result instanceof Refusal) return result;
    try {
      batchFromRows(this.node.columns, result as never);
      return result;
    } catch (error) {
      return new Refusal(error);
    }
  }

  async #refuse({ called, span }: Held, number: number, cause: unknown): Promise<void> {
    try {
      await this.runtime.refuse(await refusedRow(this.input, this.moveOut, called.batch, number, cause));
    } catch (failure) {
      span?.end(MillraceError.from(failure).code);
      throw failure;
    }
  }
}

function rowsIn(results: readonly Result[]): AnyRow[] {
  return results.flatMap((result) => (result instanceof Refusal ? [] : result));
}
