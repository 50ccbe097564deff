/**
 * `infer`: the asynchronous operator inside the graph that calls a service outside it.
 *
 * It stands between two drivers: whoever calls `process` sends requests and goes on; a pump of its own hands finished
 * batches on, in the order in which they came. So the operators before it work while instances do.
 *
 * Invariants:
 *   I1  Batches leave in the order in which they came, rows in theirs, whatever order answers come in. Where the order is not wanted
 *       a batch leaves as soon as all of it is answered.
 *   I2  Input rows and bytes under way stay within the window; a full window holds `process` back. Above `limits.inferAheadRows` a batch
 *       comes in only for instances that would stand still without it, behind calls that take long: what is under way is in each
 *       snapshot, so no more of it is taken than keeps instances busy.
 *   I3  Every row that came in is handed on, or refused with a reason, exactly once.
 *   I4  `end` resolves when the last answer was handed on.
 *   I5  Once the actor has stopped nothing is handed on or refused any more.
 *   I6  A cut holds every batch under way, how far it has been handed on, and the answers that have come; what is restored
 *       goes on from there and asks again only for what was not answered.
 *   I7  A row is asked about under one id, whichever attempt asks (guarantee 3). The id is released when a checkpoint is committed
 *       behind the row, no sooner.
 *   I8  Content above the limit of the topology is moved out before a row is asked about: requests, this operator's state and the ids of
 *       its rows know references to it.
 */
import { type Data, makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { invariant, isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Span } from "../base/telemetry.js";
import type { Answer, PassedRows, ServiceClient } from "../services/client.js";
import { isOfRows } from "../services/row-errors.js";
import { contentIdsOf, rowIdsOf } from "../services/row-ids.js";
import { type Run, runsOf } from "../services/runs.js";
import type { InferNode } from "../topology/nodes.js";
import { batchBytes, batchFromRows, columnOf, rowsOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import { derived, lineageOf, partsOf, sliceRows } from "../types/lineage.js";
import { type InferCall, type InferEntry, inferStateFrame } from "../wire/stored.js";
import type { BlobReader, BlobWriter } from "./blobs.js";
import { type MoveOut, staysAsItIs } from "./content-mover.js";
import type { Emit, Encode, Operator, OperatorRuntime, UnderWay } from "./operator.js";
import { batchSpan } from "./operator-telemetry.js";
import { outside } from "./outside.js";
import { Window } from "./window.js";

/** A run of neighbouring rows that one request carries. */
interface Call {
  readonly start: number;
  readonly rows: number;
  /** Of its rows, or none. */
  readonly ids: readonly string[];
  readonly answer: Promise<Answer>;
  /** Once it has ended. */
  outcome: Outcome | undefined;
}
type Outcome = { readonly answer: Answer } | { readonly error: MillraceError };

/** The rows of a batch as requests carry them; ids of each, or none; what is in each, where its service shares answers. */
interface Requests {
  readonly rows: RecordBatch;
  readonly ids: readonly string[];
  readonly cacheIds: readonly string[];
  /** From the batch's arrival until the last of them is answered; undefined: it is not traced. */
  readonly span?: Span | undefined;
}

interface Entry {
  /** Calls that have not ended. */
  open: number;
  readonly batch: RecordBatch;
  readonly calls: readonly Call[];
  readonly rows: number;
  readonly bytes: number;
  /** Rows of the batch, from its start, that were handed on or refused. */
  done: number;
  readonly span?: Span | undefined;
}

export class InferOperator implements Operator {
  #entries: Entry[] = [];
  #window = new Window(limits.inferWindowRows, limits.inferWindowBytes);
  #pump: Promise<void> | undefined;
  /** Wakes a pump that waits for any batch to be answered. */
  #answered: (() => void) | undefined;
  #error: unknown;
  /** Rows that were handed on since the last cut, and before each that is not known to be committed; how many all of these are. */
  #passed: PassedRows[] = [];
  #cuts: { readonly checkpoint: bigint; readonly passed: readonly PassedRows[] }[] = [];
  #passedRows = 0;
  /** Until then instances may hold rows of the attempt before, by the monotonic clock. */
  #askUntilMs = 0;
  #schema: Schema;
  #requestSchema: Schema;
  #inputSchema: Schema;
  #answerSchema: Schema;

  constructor(
    private readonly node: InferNode,
    private readonly input: Columns,
    private readonly client: ServiceClient,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
    askForMs: number = limits.askForMs,
    private readonly moveOut: MoveOut = staysAsItIs,
  ) {
    this.#schema = arrowSchema(node.columns);
    this.#requestSchema = arrowSchema(node.service.input);
    this.#inputSchema = arrowSchema(input);
    this.#answerSchema = arrowSchema(node.service.output);
    if (runtime.attempt > 1) this.#askUntilMs = runtime.ports.clock.monotonicMs() + askForMs;
  }

  async process(given: RecordBatch): Promise<void> {
    const span = batchSpan(this.runtime.ports, "infer", this.node.id, given);
    const moved = this.moveOut(given);
    const batch =
      moved instanceof Promise ? await outside(moved, given, this.runtime.park, { rows: () => moved }) : moved;
    const requests = { ...this.#requestsOf(batch), span };
    const [rows, bytes] = [Math.max(requests.rows.numRows, 1), batchBytes(batch)];
    // Answers that have come in leave before more goes out.
    if (this.#window.rows >= this.node.service.batch.rowsMax) await this.runtime.ports.clock.sleep(0);
    const enter = () => this.#error !== undefined || this.#tryEnter(rows, bytes);
    if (!enter()) await this.runtime.park(batch, enter, this.#changed);
    if (this.#error !== undefined) throw this.#error;
    this.runtime.counters.rowsInFlight += rows;
    this.#enter({ batch, rows, bytes, calls: this.#send(requests), done: 0, span });
    this.resume();
  }

  /** I2 */
  #tryEnter(rows: number, bytes: number): boolean {
    if (this.#window.tryEnter(rows, bytes, limits.inferAheadRows)) return true;
    return !this.#hasAnswered && this.client.isStarved && this.#window.tryEnter(rows, bytes);
  }

  /** Something is about to be handed on, or is held back behind this operator: that makes room, or no instance could. */
  get #hasAnswered(): boolean {
    const isAnswered = (entry: Entry | undefined) => entry?.open === 0;
    return this.node.ordered ? isAnswered(this.#entries[0]) : this.#entries.some(isAnswered);
  }

  #changed = (): Promise<void> => {
    this.client.whenStarved(this.#onStarved);
    return this.#window.changed();
  };

  #onStarved = (): void => this.#window.wake();

  async end(): Promise<void> {
    await this.#pump;
    if (this.#error !== undefined) throw this.#error;
  }

  close(): void {
    this.client.giveUp(this, new MillraceError("MILL_JOB_FAILED", `operator "${this.node.id}" was stopped.`));
  }

  /** I6 */
  cut(checkpoint: bigint): Encode | undefined {
    this.#cuts.push({ checkpoint, passed: this.#passed });
    this.#passed = [];
    if (this.#entries.length === 0) return undefined;
    const entries = this.#entries.map((entry) => ({ ...entry }));
    return (blobs) => inferStateFrame.encode({ entries: entries.map((entry) => encodeEntry(entry, blobs)) });
  }

  /** I7 */
  committed(checkpoint: bigint): void {
    const passed = this.#cuts.filter((cut) => cut.checkpoint <= checkpoint).flatMap((cut) => cut.passed);
    this.#cuts = this.#cuts.filter((cut) => cut.checkpoint > checkpoint);
    if (passed.length === 0) return;
    for (const { ids } of passed) this.#passedRows -= ids.length;
    this.client.release(passed);
  }

  restore(state: Uint8Array, blobs: BlobReader): void {
    for (const entry of inferStateFrame.decode(state).header.entries) {
      const batch = blobs.get(entry.batch, this.#inputSchema);
      const requests = this.#requestsOf(batch);
      const [rows, bytes] = [Math.max(requests.rows.numRows, 1), batchBytes(batch)];
      this.#window.force(rows, bytes);
      const calls = entry.calls.map((call) => this.#restoreCall(call, requests, blobs));
      this.runtime.counters.rowsInFlight += rows;
      this.#enter({ batch, rows, bytes, calls, done: entry.done });
    }
  }

  underWay(): UnderWay {
    let [requests, rows] = [0, 0];
    for (const entry of this.#entries) {
      requests += entry.open;
      rows += entry.rows;
    }
    return { requests, rows };
  }

  /** Hands on what was restored, from now on. */
  resume(): void {
    if (this.#entries.length > 0) this.#pump ??= this.#run();
  }

  #restoreCall(call: InferCall, requests: Requests, blobs: BlobReader): Call {
    const { start, rows, code, message, rejected } = call;
    const ids = requests.ids.slice(start, start + rows);
    if (call.answer !== null) {
      const answer = { records: blobs.get(call.answer, this.#answerSchema), rejected };
      return { start, rows, ids, answer: Promise.resolve(answer), outcome: { answer } };
    }
    if (isErrorCode(code)) {
      const error = new MillraceError(code, message);
      const answer = Promise.reject(error);
      answer.catch(() => {}); // met by the pump when the batch's turn comes
      return { start, rows, ids, answer, outcome: { error } };
    }
    const { rows: all, cacheIds } = requests;
    const [run] = runsOf(this.node.service, all.slice(start, start + 1), cacheIds.slice(start, start + 1));
    return this.#call(requests, { ...run!, start, rows });
  }

  async #run(): Promise<void> {
    try {
      while (this.#entries.length > 0) {
        const entry = await this.#next();
        this.runtime.signal.throwIfAborted();
        if (this.node.each === undefined) await this.#emitSlices(entry);
        else await this.#emitLists(entry);
        this.#entries.splice(this.#entries.indexOf(entry), 1);
        for (const call of entry.calls) this.#pass(call);
        this.runtime.counters.rowsInFlight -= entry.rows;
        this.#window.leave(entry.rows, entry.bytes);
      }
    } catch (error) {
      this.#error = error;
      this.#window.leave(Number.POSITIVE_INFINITY, 0); // lets a waiting `process` meet the error
      this.runtime.fail(error);
    } finally {
      this.#pump = undefined;
    }
  }

  /** I1. One that has been begun, by the attempt before, goes first. */
  async #next(): Promise<Entry> {
    if (this.node.ordered) return this.#entries[0]!;
    for (;;) {
      const ready = this.#entries.find(({ done }) => done > 0) ?? this.#entries.find(({ open }) => open === 0);
      if (ready !== undefined) return ready;
      await new Promise<void>((resolve) => {
        this.#answered = resolve;
      });
    }
  }

  #enter(entry: Omit<Entry, "open">): void {
    const entered: Entry = { ...entry, open: entry.calls.length };
    this.#entries.push(entered);
    const ended = () => {
      entered.open -= 1;
      if (entered.open === 0) entered.span?.end();
      this.#answered?.();
    };
    if (entered.open === 0) entered.span?.end();
    for (const { answer } of entry.calls) answer.then(ended, ended);
  }

  /** The rows that requests carry: the batch's own, or the elements of its list column. */
  #requestRows(batch: RecordBatch): RecordBatch {
    let fields: (name: string) => Data | undefined;
    let length = batch.numRows;
    if (this.node.each === undefined) {
      fields = (name) => columnOf(batch, name).data[0];
    } else {
      const list = columnOf(batch, this.node.each).data[0];
      invariant(list !== undefined, "a list column of a batch is one chunk");
      const start = list.valueOffsets[0] ?? 0;
      length = (list.valueOffsets[list.length] ?? start) - start;
      const elements = list.children[0]!.slice(start, length);
      const names = (elements.type as Struct).children.map((field) => field.name);
      fields = (name) => elements.children[names.indexOf(name)];
    }
    const children = this.#requestSchema.fields.map((field) => {
      const data = fields(field.name);
      invariant(data !== undefined, `the column "${field.name}" of a request was checked when the topology was made`);
      return data;
    });
    return recordBatch(this.#requestSchema, children, length);
  }

  /** Where no checkpoint comes for long, instances forget the oldest answers by themselves. */
  #pass({ ids, outcome }: Call): void {
    const room = limits.inferPassedIdsMax - this.#passedRows;
    if (ids.length === 0 || room <= 0) return;
    const answer = outcome !== undefined && "answer" in outcome ? outcome.answer : undefined;
    this.#passed.push(ids.length <= room ? { ids, by: answer?.by } : { ids: ids.slice(0, room), by: undefined });
    this.#passedRows += Math.min(ids.length, room);
  }

  #requestsOf(batch: RecordBatch): Requests {
    const rows = this.#requestRows(batch);
    const lineage = lineageOf(batch);
    const own = lineage === undefined || this.node.each === undefined ? lineage : partsOf(lineage);
    const { id: service, cache, fallback } = this.node.service;
    const cacheIds = cache === "content" ? contentIdsOf(service, rows) : [];
    // Where they are known by their content nobody else asks who they are.
    if (own === undefined || (cache === "content" && fallback === undefined)) return { rows, ids: [], cacheIds };
    // Rows without a position are told apart by all their columns, not by those that are sent alone.
    return { rows, ids: rowIdsOf(this.node.id, own.first < 0 ? batch : rows, own), cacheIds };
  }

  #send(requests: Requests): Call[] {
    return runsOf(this.node.service, requests.rows, requests.cacheIds).map((run) => this.#call(requests, run));
  }

  #call(requests: Requests, { start, rows, bucket, affinity }: Run): Call {
    const whole = rows === requests.rows.numRows;
    const records = whole ? requests.rows : requests.rows.slice(start, start + rows);
    const rowIds = whole ? requests.ids : requests.ids.slice(start, start + rows);
    const cacheIds = requests.cacheIds.slice(start, start + rows);
    const ask = this.runtime.ports.clock.monotonicMs() < this.#askUntilMs;
    const trace = requests.span?.traceparent ?? "";
    const answer = this.client.call(records, this, { bucket, affinity, rowIds, cacheIds, ask, trace });
    const call: Call = { start, rows, ids: rowIds, answer, outcome: undefined };
    answer.then(
      (ended) => {
        call.outcome = { answer: ended };
      },
      (error: unknown) => {
        if (isOfRows(error)) call.outcome = { error };
      },
    );
    return call;
  }

  /** Rows are the batch's own: each answered run goes on as a slice, without the rows that were refused. */
  async #emitSlices(entry: Entry): Promise<void> {
    for (const call of entry.calls) {
      if (call.start + call.rows <= entry.done) continue;
      const bad = new Map<number, RejectedRow>();
      const answer = await this.#settle(call, (row) => {
        bad.set(call.start + row.row, row);
      });
      await this.#handOn(entry, call.start, call.start + call.rows, bad, (from, to) => {
        const answers = answer!.records.slice(from - call.start, to - call.start);
        return this.#withColumns(sliceRows(entry.batch, from, to), (name) => answers.getChild(name)?.data[0]);
      });
    }
  }

  /** Rows are elements of a list: a batch goes on when all are answered; a row with a refused element is refused. */
  async #emitLists(entry: Entry): Promise<void> {
    const offsets = columnOf(entry.batch, this.node.each!).data[0]!.valueOffsets as Int32Array;
    const elementOf = (row: number) => offsets[row]! - offsets[0]!;
    const bad = new Map<number, RejectedRow>();
    const answered: { readonly start: number; readonly records: RecordBatch }[] = [];
    for (const call of entry.calls) {
      const answer = await this.#settle(call, (rejected) => {
        const element = call.start + rejected.row;
        let row = 0;
        while (elementOf(row + 1) <= element) row++;
        const place = `element ${element - elementOf(row)} of "${this.node.each}"`;
        bad.set(row, { ...rejected, message: `${place}: ${rejected.message}` });
      });
      if (answer !== undefined) answered.push({ start: call.start, records: answer.records });
    }
    await this.#handOn(entry, 0, entry.batch.numRows, bad, (from, to) => {
      const [first, last] = [elementOf(from), elementOf(to)];
      const slices = answered
        .filter(({ start, records }) => start < last && start + records.numRows > first)
        .map(({ start, records }) =>
          records.slice(Math.max(first - start, 0), Math.min(last - start, records.numRows)),
        );
      const answers = slices.length > 0 ? concatBatches(slices) : batchFromRows(this.node.service.output, []);
      const list = makeData({
        type: this.#schema.fields.find((field) => field.name === this.node.into)!.type,
        length: to - from,
        nullCount: 0,
        valueOffsets: Int32Array.from({ length: to - from + 1 }, (_, i) => elementOf(from + i) - first),
        child: answers.data,
      } as never) as Data;
      return this.#withColumns(sliceRows(entry.batch, from, to), (name) =>
        name === this.node.into ? list : undefined,
      );
    });
  }

  /** Refuses the bad ones of these rows and hands on the runs between them, in order; what a restored entry has done is left out. */
  async #handOn(
    entry: Entry,
    start: number,
    end: number,
    bad: ReadonlyMap<number, RejectedRow>,
    make: (from: number, to: number) => RecordBatch,
  ): Promise<void> {
    await this.runtime.gate.flow(async () => {
      this.runtime.signal.throwIfAborted();
      for (let row = Math.max(start, entry.done); row < end; row = entry.done) {
        const reason = bad.get(row);
        if (reason !== undefined) {
          await this.#refuse(entry.batch, row, reason);
          entry.done = row + 1;
          continue;
        }
        let to = row + 1;
        while (to < end && !bad.has(to)) to++;
        const made = make(row, to);
        entry.done = to; // before it is handed on: from then on it is somebody else's (R1)
        await this.emit(made);
      }
    });
  }

  /** The answer; refused rows are told one by one. Undefined when the whole call was refused. */
  async #settle(call: Call, onBad: (row: RejectedRow) => void | Promise<void>): Promise<Answer | undefined> {
    let answer: Answer;
    try {
      answer = await call.answer;
    } catch (error) {
      this.runtime.signal.throwIfAborted();
      if (!isOfRows(error)) throw error;
      for (let row = 0; row < call.rows; row++) await onBad({ row, code: error.code, message: error.message });
      return undefined;
    }
    this.runtime.signal.throwIfAborted();
    const { id } = this.node.service;
    invariant(answer.records.numRows === call.rows, `service "${id}" answers as many rows as it was sent`);
    // An instance may name a row twice; it is one bad record.
    const rejected = [...new Map(answer.rejected.map((row) => [row.row, row])).values()];
    for (const row of rejected) await onBad(row);
    return { records: answer.records, rejected };
  }

  async #refuse(batch: RecordBatch, row: number, reason: RejectedRow): Promise<void> {
    const one = sliceRows(batch, row, row + 1);
    const [record] = rowsOf(this.input, one as never);
    await this.runtime.refuse({ code: reason.code, message: reason.message, row: record!, batch: one });
  }

  #withColumns(batch: RecordBatch, added: (name: string) => Data | undefined): RecordBatch {
    const children = this.#schema.fields.map((field) => added(field.name) ?? columnOf(batch, field.name).data[0]!);
    return derived(recordBatch(this.#schema, children, batch.numRows), batch);
  }
}

type RejectedRow = Answer["rejected"][number];

function recordBatch(schema: Schema, children: Data[], length: number): RecordBatch {
  const type = new Struct(schema.fields);
  return new RecordBatch(schema, makeData({ type, length, nullCount: 0, children } as never) as never);
}

function encodeEntry(entry: Entry, blobs: BlobWriter): InferEntry {
  return {
    batch: blobs.add(entry.batch),
    done: entry.done,
    calls: entry.calls.map(({ start, rows, outcome }): InferCall => {
      const answer = outcome !== undefined && "answer" in outcome ? outcome.answer : undefined;
      const error = outcome !== undefined && "error" in outcome ? outcome.error : undefined;
      return {
        start,
        rows,
        answer: answer === undefined ? null : blobs.add(answer.records),
        rejected: (answer?.rejected ?? []).map(({ row, code, message }) => ({ row, code, message })),
        code: error?.code ?? "",
        message: error?.message ?? "",
      };
    }),
  };
}
