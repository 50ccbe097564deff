/**
 * `infer`: the asynchronous operator inside the graph that calls a service outside it.
 *
 * It stands between two drivers: whoever calls `process` sends requests and goes on; a pump of its own hands finished
 * batches on, in the order in which they came. So the operators before it work while instances do.
 *
 * Invariants:
 *   I1  Batches leave in the order in which they came, rows in theirs, whatever order answers come in.
 *   I2  Input rows and bytes under way stay within the window; a full window holds `process` back.
 *   I3  Every row that came in is handed on, or refused with a reason, exactly once.
 *   I4  `end` resolves when the last answer was handed on.
 *   I5  Once the actor has stopped nothing is handed on or refused any more.
 */
import { type Data, makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Answer, ServiceClient } from "../services/client.js";
import type { InferNode } from "../topology/nodes.js";
import { batchBytes, batchFromRows, columnOf, rowsOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import type { Emit, Operator, OperatorRuntime } from "./operator.js";
import { Window } from "./window.js";

/** A run of neighbouring rows that one request carries. */
interface Call {
  readonly start: number;
  readonly rows: number;
  readonly answer: Promise<Answer>;
}

interface Entry {
  readonly batch: RecordBatch;
  readonly calls: readonly Call[];
  readonly rows: number;
  readonly bytes: number;
}

export class InferOperator implements Operator {
  #entries: Entry[] = [];
  #window = new Window(limits.inferWindowRows, limits.inferWindowBytes);
  #pump: Promise<void> | undefined;
  #error: unknown;
  #schema: Schema;
  #requestSchema: Schema;

  constructor(
    private readonly node: InferNode,
    private readonly input: Columns,
    private readonly client: ServiceClient,
    private readonly runtime: OperatorRuntime,
    private readonly emit: Emit,
  ) {
    this.#schema = arrowSchema(node.columns);
    this.#requestSchema = arrowSchema(node.service.input);
  }

  async process(batch: RecordBatch): Promise<void> {
    const requests = this.#requestRows(batch);
    const entry = { batch, rows: Math.max(requests.numRows, 1), bytes: batchBytes(batch) };
    await this.#window.enter(entry.rows, entry.bytes);
    if (this.#error !== undefined) throw this.#error;
    this.runtime.counters.rowsInFlight += entry.rows;
    this.#entries.push({ ...entry, calls: this.#send(requests) });
    this.#pump ??= this.#run();
  }

  async end(): Promise<void> {
    await this.#pump;
    if (this.#error !== undefined) throw this.#error;
  }

  async #run(): Promise<void> {
    try {
      for (let entry = this.#entries[0]; entry !== undefined; entry = this.#entries[0]) {
        this.runtime.signal.throwIfAborted();
        if (this.node.each === undefined) await this.#emitSlices(entry);
        else await this.#emitLists(entry);
        this.#entries.shift();
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

  /** Sends the rows in runs of at most `rowsMax` neighbours of one bucket. */
  #send(requests: RecordBatch): Call[] {
    const { rowsMax, bucketBy } = this.node.service.batch;
    const keys = bucketBy.map((name) => columnOf(requests, name));
    const bucketOf = (row: number) => keys.map((key) => String(key.get(row))).join("/");
    const calls: Call[] = [];
    for (let start = 0; start < requests.numRows; ) {
      const bucket = bucketOf(start);
      let rows = 1;
      while (rows < rowsMax && start + rows < requests.numRows && bucketOf(start + rows) === bucket) rows++;
      const whole = rows === requests.numRows;
      const answer = this.client.call(whole ? requests : requests.slice(start, start + rows), bucket);
      answer.catch(() => {}); // met by the pump when the batch's turn comes
      calls.push({ start, rows, answer });
      start += rows;
    }
    return calls;
  }

  /** Rows are the batch's own: each answered run goes on as a slice, without the rows that were refused. */
  async #emitSlices(entry: Entry): Promise<void> {
    for (const call of entry.calls) {
      const answer = await this.#settle(call, (row) => this.#refuse(entry.batch, call.start + row.row, row));
      if (answer === undefined) continue;
      const bad = new Map(answer.rejected.map((row) => [row.row, row]));
      for (const [from, to] of runsWithout(call.rows, bad)) {
        const rows = entry.batch.slice(call.start + from, call.start + to);
        const answers = answer.records.slice(from, to);
        await this.emit(this.#withColumns(rows, (name) => answers.getChild(name)?.data[0]));
      }
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
    for (const [row, reason] of bad) await this.#refuse(entry.batch, row, reason);
    for (const [from, to] of runsWithout(entry.batch.numRows, bad)) {
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
      await this.emit(
        this.#withColumns(entry.batch.slice(from, to), (name) => (name === this.node.into ? list : undefined)),
      );
    }
  }

  /** The answer; refused rows are told one by one. Undefined when the whole call was refused. */
  async #settle(call: Call, onBad: (row: RejectedRow) => void | Promise<void>): Promise<Answer | undefined> {
    let answer: Answer;
    try {
      answer = await call.answer;
    } catch (error) {
      this.runtime.signal.throwIfAborted();
      if (!MillraceError.is(error) || !PER_REQUEST.has(error.code)) throw error;
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
    const [record] = rowsOf(this.input, batch.slice(row, row + 1) as never);
    await this.runtime.refuse({ code: reason.code, message: reason.message, row: record! });
  }

  #withColumns(batch: RecordBatch, added: (name: string) => Data | undefined): RecordBatch {
    const children = this.#schema.fields.map((field) => added(field.name) ?? columnOf(batch, field.name).data[0]!);
    return recordBatch(this.#schema, children, batch.numRows);
  }
}

type RejectedRow = Answer["rejected"][number];

/** Errors of one request: its rows are bad records, the operator goes on. */
const PER_REQUEST: ReadonlySet<string> = new Set([
  "MILL_SERVICE_FAILED",
  "MILL_SERVICE_LOST",
  "MILL_SERVICE_TIMEOUT",
  "MILL_RECORD_INVALID",
  "MILL_FRAME_TOO_LARGE",
]);

function recordBatch(schema: Schema, children: Data[], length: number): RecordBatch {
  const type = new Struct(schema.fields);
  return new RecordBatch(schema, makeData({ type, length, nullCount: 0, children } as never) as never);
}

/** The runs `[from, to)` of row numbers below `rows` that `bad` does not have. */
function runsWithout(rows: number, bad: ReadonlyMap<number, unknown>): [number, number][] {
  const runs: [number, number][] = [];
  for (let from = 0; from < rows; from++) {
    if (bad.has(from)) continue;
    let to = from + 1;
    while (to < rows && !bad.has(to)) to++;
    runs.push([from, to]);
    from = to;
  }
  return runs;
}
