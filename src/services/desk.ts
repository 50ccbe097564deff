/**
 * The requests of one instance, from arrival to answer.
 *
 * Invariants:
 *   N2  Every request that is taken is answered once: OK, FAILED, REJECTED (no room), RETURNED (given back) or EXPIRED (its time is
 *       up). One that was cancelled is not answered. A copy of one that was refused, given back or failed comes too late: its client
 *       has sent it elsewhere, under another name.
 *   N3  At most `concurrency` calls are under way; what makes the next one is decided by `batching.ts`.
 *   N4  What waits, for a call or for others' rows, is bounded in rows and bytes; above it requests are refused, and the client keeps
 *       them. One request that is larger than all of it passes alone.
 *   N7  A row that was answered, or is under way, is not worked on again: it is answered from the journal, or waits for the call.
 *       Where the service shares answers, equal rows have one id, also within a request: they are one row.
 *   N8  A call that nobody waits for any more, or that takes longer than the service's `timeoutMs`, is aborted. One that goes on long
 *       after that is hung, and its instance with it.
 *   N9  What fails in a call with others is called again alone, once: its neighbours do not share its fate.
 */
import type { RecordBatch } from "apache-arrow";
import { ERROR_CODES, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { type Ports, type Timer, telemetryOf } from "../base/ports.js";
import type { Service } from "../topology/service.js";
import { concatBatches } from "../types/concat.js";
import type { InstanceWork } from "../wire/control.js";
import type { AnswerStore } from "./answer-store.js";
import type { AnswerWriter } from "./answer-writer.js";
import { AnsweredRequests } from "./answered-requests.js";
import { BatchSize } from "./batch-size.js";
import { CallAbort } from "./call-abort.js";
import { CallTimes } from "./call-times.js";
import { DeskTelemetry } from "./desk-telemetry.js";
import type { CheckedHandler, RowOutcome } from "./handler-call.js";
import { Journal, type RowAnswer } from "./journal.js";
import { KeptIds } from "./kept-ids.js";
import { type QueuedRequest, RequestQueue } from "./request-queue.js";
import { inOneBatch, rowsAt } from "./row-answers.js";

export interface DeskOptions {
  readonly service: Service;
  readonly handler: (onOutOfMemory: (rows: number) => void) => CheckedHandler;
  readonly ports: Ports;
  readonly answers: AnswerWriter;
  /** Where answers that took long are kept; undefined: nowhere. */
  readonly saved: AnswerStore | undefined;
  /** Yields to incoming messages after a call that blocked this thread. */
  yieldToMessages(): Promise<void>;
  /** A call does not end, though it was aborted: nothing but the end of the process stops it. */
  onHung(error: MillraceError): void;
}

/** A request, or the rows of it that need a call. */
interface Admitted extends QueuedRequest {
  readonly cut?: {
    readonly whole: QueuedRequest;
    /** Of each row of the whole; undefined: it needs the call. */
    readonly known: readonly (RowAnswer | undefined)[];
  };
}

interface Call {
  readonly requests: Set<Admitted>;
  /** Not answered yet. */
  rows: number;
  /** Of the handler's call that is under way for it. */
  attempt: Attempt | undefined;
  watch: Timer | undefined;
}

interface Attempt {
  readonly requests: readonly Admitted[];
  readonly abort: CallAbort;
  /** It is aborted then, by the monotonic clock; Infinity: never. */
  readonly untilMs: number;
}

const DRAINING = "the instance is draining";
/** Weight of the newest call in the smoothed time per row. */
const SMOOTHING = 0.1;

export class Desk {
  #queue = new RequestQueue();
  /** They wait for rows that are under way for others. */
  #joined = new RequestQueue();
  #calls = new Set<Call>();
  /** Ids of rows that wait or run. */
  #underWay = new Set<string>();
  #journal = new Journal(limits.journalBytesMax);
  #answered = new AnsweredRequests(limits.answeredRowsMax);
  /** Requests that are their clients' again. */
  #refused = new KeptIds(limits.refusalsKeptMax);
  #size: BatchSize;
  #handler: CheckedHandler;
  #rowMs = 0;
  #times = new CallTimes();
  #work = { calls: 0, rows: 0, errors: 0 };
  #closed = false;
  #pumping = false;
  /** A call may have blocked this thread since incoming messages were looked at last. */
  #blind = false;
  /** Fires when the oldest attempt that was under way when it was set has taken too long. */
  #limit: Timer | undefined;
  #wake: (() => void) | undefined;
  #onIdle: (() => void)[] = [];
  #telemetry: DeskTelemetry;

  constructor(private readonly options: DeskOptions) {
    const { batch } = options.service;
    this.#telemetry = new DeskTelemetry(telemetryOf(options.ports), options.service.id);
    this.#size = new BatchSize(batch.rowsMax, batch.latencyMsTarget);
    this.#handler = options.handler((rows) => this.#size.ranOutOfMemory(rows));
  }

  get load(): { readonly queuedRows: number; readonly runningRows: number; readonly rowMs: number } {
    let runningRows = 0;
    for (const { rows } of this.#calls) runningRows += rows;
    return { queuedRows: this.#queue.rows + this.#joined.rows, runningRows, rowMs: this.#rowMs };
  }

  /** What it has done, for reports. */
  get work(): InstanceWork {
    const { calls, rows, errors } = this.#work;
    const running = [...this.#calls].reduce((sum, call) => sum + call.requests.size, 0);
    return {
      requests: this.#queue.length + this.#joined.length + running,
      ...{ calls: BigInt(calls), rows: BigInt(rows), errors: BigInt(errors) },
      ...this.#times.view(this.options.ports.clock.monotonicMs()),
    };
  }

  /** Ids of the requests that wait or run here. */
  get requests(): string[] {
    const running = [...this.#calls].flatMap(({ requests }) => [...requests]);
    return [...this.#queue, ...this.#joined, ...running].map(({ id }) => id);
  }

  #holds(id: string): boolean {
    for (const request of this.#queue) if (request.id === id) return true;
    for (const { requests } of this.#calls) for (const request of requests) if (request.id === id) return true;
    for (const request of this.#joined) if (request.id === id) return true;
    return false;
  }

  take(request: QueuedRequest): void {
    if (this.#holds(request.id)) return;
    if (this.#closed) this.options.answers.refused(request, "RETURNED", DRAINING);
    else if (this.#refused.has(request.id)) this.options.answers.refused(request, "REJECTED", "it was refused before");
    else this.#admit(request);
  }

  /** N4 */
  #hasRoomFor({ rows, bytes }: QueuedRequest): boolean {
    const { rowsMax, bytesMax } = this.options.service.queue;
    if (this.#queue.length + this.#joined.length === 0) return true;
    const fits = this.#queue.rows + this.#joined.rows + rows <= rowsMax;
    return fits && this.#queue.bytes + this.#joined.bytes + bytes <= bytesMax;
  }

  /** N7 */
  #admit(request: QueuedRequest): void {
    const { rowIds } = request;
    const known = this.#known(rowIds);
    if (known?.every((answer) => answer !== undefined)) {
      this.#ok(request, inOneBatch(known), request.rows);
      return;
    }
    if (!this.#hasRoomFor(request)) {
      this.#refused.add([request.id]);
      this.options.answers.refused(request, "REJECTED", "the instance's queue is full");
      return;
    }
    if (rowIds.some((id) => this.#underWay.has(id))) {
      this.#joined.push(request);
      return;
    }
    if (this.#closed) {
      this.options.answers.refused(request, "RETURNED", DRAINING);
      return;
    }
    const admitted = known === undefined ? request : cut(request, known, this.#missing(rowIds, known));
    this.#queue.push(admitted);
    for (const id of admitted.rowIds) this.#underWay.add(id);
    this.#wake?.();
    this.#pump();
  }

  /** What the journal has of these rows; undefined: nothing, and all of them have to be worked on. */
  #known(rowIds: readonly string[]): (RowAnswer | undefined)[] | undefined {
    const known = rowIds.map((id) => this.#journal.find(id));
    return this.#missing(rowIds, known).length < known.length ? known : undefined;
  }

  /** Rows that have to be worked on. Where equal rows share an answer, the first of each. */
  #missing(rowIds: readonly string[], known: readonly (RowAnswer | undefined)[]): number[] {
    const missing: number[] = [];
    for (let row = 0; row < known.length; row++) if (known[row] === undefined) missing.push(row);
    if (this.options.service.cache !== "content") return missing;
    const seen = new Set<string>();
    return missing.filter((row) => {
      const isFirst = !seen.has(rowIds[row]!);
      seen.add(rowIds[row]!);
      return isFirst;
    });
  }

  /** N8 */
  cancel(client: string, requests: ReadonlySet<string>): void {
    const named = (request: { readonly client: string; readonly id: string }) =>
      request.client === client && requests.has(request.id);
    const cancelled = this.#queue.remove(named);
    for (const request of cancelled) this.#settle(request as Admitted);
    cancelled.push(...this.#joined.remove(named));
    for (const call of this.#calls) {
      for (const request of call.requests) if (named(request) && call.requests.delete(request)) cancelled.push(request);
      if (call.requests.size === 0) this.#abandon(call);
    }
    for (const { trace } of cancelled) trace?.span.end("CANCELLED");
    this.#readmit();
  }

  /** The newest of what waits goes back to its clients, but for what has some of its answers here. @returns how many rows */
  giveBack(rows: number, why: string): number {
    const returned = this.#queue.removeNewest(rows, (request) => (request as Admitted).cut === undefined) as Admitted[];
    for (const request of returned) this.#return(request, why);
    this.#readmit();
    return returned.reduce((sum, request) => sum + request.rows, 0);
  }

  /**
   * Takes nothing new, gives back what waits, finishes what runs, for whoever asked for it; what still runs after `limitMs` is aborted and
   * given back.
   */
  async drain(limitMs: number): Promise<void> {
    this.#closed = true;
    for (const request of this.#queue.remove(() => true)) this.#return(request as Admitted, DRAINING);
    const comes = (id: string) => this.#underWay.has(id) || this.#journal.find(id) !== undefined;
    this.#returnJoined(({ rowIds }) => !rowIds.every(comes), DRAINING);
    this.#wake?.();
    const limit = this.options.ports.clock.after(limitMs, () => {
      for (const call of this.#calls) {
        for (const request of call.requests) {
          this.options.answers.refused(wholeOf(request), "RETURNED", "the instance was stopped");
        }
        call.requests.clear();
        this.#abandon(call);
      }
      this.#returnJoined(() => true, "the instance was stopped");
      for (const done of this.#onIdle.splice(0)) done();
    });
    if (this.#calls.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    limit.cancel();
    this.#limit?.cancel();
  }

  /** Those of these rows that are answered, or under way. */
  holding(rowIds: readonly string[]): string[] {
    return rowIds.filter((id) => this.#underWay.has(id) || this.#journal.find(id) !== undefined);
  }

  /** @param requests that were answered here, all of whose rows are meant as well */
  release(rowIds: readonly string[], requests: readonly string[]): void {
    this.#journal.release(rowIds);
    for (const request of requests) this.#journal.release(this.#answered.take(request));
  }

  #ok(request: QueuedRequest, outcome: RowOutcome, repeated: number): void {
    if (this.options.service.cache !== "content") this.#answered.add(request.id, request.rowIds);
    this.options.answers.ok(request, outcome, repeated);
  }

  #returnJoined(matches: (request: QueuedRequest) => boolean, why: string): void {
    for (const request of this.#joined.remove(matches)) this.options.answers.refused(request, "RETURNED", why);
  }

  #return(request: Admitted, why: string): void {
    this.#refused.add([request.id]);
    this.options.answers.refused(wholeOf(request), "RETURNED", why);
    this.#settle(request);
  }

  /** It is neither waiting nor running any more. */
  #settle({ rowIds }: Admitted): void {
    for (const id of rowIds) this.#underWay.delete(id);
  }

  /** Looks again at what waited for others' rows. */
  #readmit(): void {
    for (const request of this.#joined.remove(() => true)) this.#admit(request);
  }

  /** @param looked at what has come, just now */
  #pump(looked = false): void {
    if (this.#pumping) return;
    const pause = this.#begin(looked);
    if (pause === undefined) return;
    this.#pumping = true;
    void pause.then((hasLooked) => {
      this.#pumping = false;
      this.#pump(hasLooked);
    });
  }

  /** Begins what can begin now. @returns a wait after which there is more to decide; undefined: whatever changes something pumps again */
  #begin(looked: boolean): Promise<boolean> | undefined {
    const { service, ports } = this.options;
    const { bytesMax, cost, delayMsMax } = service.batch;
    for (let fresh = looked; ; fresh = false) {
      this.#expire();
      if (this.#calls.size >= service.concurrency) return undefined;
      if (this.#queue.length === 0) return this.#blind ? this.#look() : undefined;
      if (!fresh && (this.#blind || this.#queue.rows < this.#size.rows)) return this.#look();
      const rules = { rowsMax: this.#size.rows, bytesMax, costMax: cost?.max ?? Number.POSITIVE_INFINITY, delayMsMax };
      const next = this.#queue.next(rules, ports.clock.monotonicMs());
      if (next.kind === "idle") return undefined;
      if (next.kind === "wait") return this.#moreOrUntil(next.untilMs);
      void this.#call(next.requests as readonly Admitted[]);
    }
  }

  /**
   * At what has come meanwhile, which may be more rows for the next call, or that one of them was cancelled. Nothing can have come that
   * matters to a full call where no other was made since the last look: so an instance without work looks as well.
   */
  async #look(): Promise<boolean> {
    this.#blind = false;
    await this.options.yieldToMessages();
    return true;
  }

  #expire(): void {
    if (this.#queue.length === 0) return;
    const now = this.options.ports.clock.monotonicMs();
    for (const request of this.#queue.remove(({ dueMs }) => dueMs <= now)) {
      this.options.answers.refused(wholeOf(request), "EXPIRED", "its time was up before it was begun");
      this.#settle(request as Admitted);
    }
  }

  /** Until the time has come, or there is something new to decide on. */
  #moreOrUntil(untilMs: number): Promise<boolean> {
    const { clock } = this.options.ports;
    return new Promise((resolve) => {
      const timer = clock.after(Math.max(untilMs - clock.monotonicMs(), 0), () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        timer.cancel();
        resolve(false);
      };
    });
  }

  async #call(requests: readonly Admitted[]): Promise<void> {
    const call: Call = { requests: new Set(requests), rows: rowsOf(requests), attempt: undefined, watch: undefined };
    const { concurrency } = this.options.service;
    if (this.#telemetry.on) this.#telemetry.taken(requests, this.options.ports.clock.monotonicMs());
    this.#calls.add(call);
    const outcome = await this.#outcomeOf(requests, call);
    if (MillraceError.is(outcome) && requests.length > 1 && isOfItsRows(outcome)) await this.#callAlone(requests, call);
    else this.#end(requests, call, outcome);
    if (this.#telemetry.on && this.#calls.size === concurrency)
      this.#telemetry.freed(this.options.ports.clock.monotonicMs());
    this.#calls.delete(call);
    this.#blind = true;
    this.#readmit();
    if (this.#calls.size === 0) for (const done of this.#onIdle.splice(0)) done();
    this.#pump();
  }

  /** N9 */
  async #callAlone(requests: readonly Admitted[], call: Call): Promise<void> {
    for (const request of requests) {
      if (call.requests.has(request)) this.#end([request], call, await this.#outcomeOf([request], call));
      else this.#settle(request); // cancelled meanwhile
    }
  }

  async #outcomeOf(requests: readonly Admitted[], call: Call): Promise<RowOutcome | MillraceError> {
    const { clock } = this.options.ports;
    const { timeoutMs, persistAfterMs } = this.options.service;
    const startMs = clock.monotonicMs();
    const abort = new CallAbort();
    call.attempt = { requests, abort, untilMs: timeoutMs === 0 ? Number.POSITIVE_INFINITY : startMs + timeoutMs };
    this.#watch();
    this.#blind = true;
    const rows = rowsOf(requests);
    const rowIds = idsOf(requests);
    const told = this.#telemetry.on ? this.#telemetry.called(requests, rows, startMs) : undefined;
    let dueMs = 0;
    for (const request of requests) dueMs = Math.max(dueMs, request.dueMs);
    try {
      const outcome = await this.#handler.call(recordsOf(requests), {
        abort,
        timeLeftMs: Math.min(dueMs, call.attempt.untilMs) - startMs,
        traceparent: told?.traceparent ?? "",
        rowId: (row) => Buffer.from(rowIds[row] ?? "", "latin1").toString("hex"),
      });
      const nowMs = clock.monotonicMs();
      const tookMs = nowMs - startMs;
      this.#times.add(tookMs, rows, nowMs);
      told?.end("", nowMs);
      this.#rowMs += (this.#rowMs === 0 ? 1 : SMOOTHING) * (tookMs / rows - this.#rowMs);
      this.#size.took(rows, tookMs);
      if (persistAfterMs > 0 && tookMs >= persistAfterMs) void this.options.saved?.save(rowIds, outcome);
      return outcome;
    } catch (cause) {
      this.#work.errors += 1;
      const error = MillraceError.from(cause, "MILL_SERVICE_FAILED");
      told?.end(error.code, clock.monotonicMs());
      return error;
    } finally {
      this.#work.calls += 1;
      this.#work.rows += rows;
      call.attempt = undefined;
      call.watch?.cancel();
    }
  }

  /** One timer for all calls, set anew when it fires: most end long before it, and need none of their own. */
  #watch(): void {
    if (this.#limit !== undefined) return;
    const { clock } = this.options.ports;
    let untilMs = Number.POSITIVE_INFINITY;
    for (const { attempt } of this.#calls)
      if (attempt?.abort.aborted === false) untilMs = Math.min(untilMs, attempt.untilMs);
    if (untilMs === Number.POSITIVE_INFINITY) return;
    this.#limit = clock.after(Math.max(0, untilMs - clock.monotonicMs()), () => {
      this.#limit = undefined;
      const now = clock.monotonicMs();
      for (const call of this.#calls)
        if (call.attempt !== undefined && call.attempt.untilMs <= now) this.#timeOut(call);
      this.#watch();
    });
  }

  /** N8 */
  #timeOut(call: Call): void {
    const { requests, abort } = call.attempt!;
    if (abort.aborted) return;
    const what = `a call took longer than the service's timeoutMs of ${this.options.service.timeoutMs} ms`;
    const error = new MillraceError("MILL_SERVICE_TIMEOUT", what, { service: this.options.service.id });
    for (const request of requests) if (call.requests.delete(request)) this.#fail(request, error);
    this.#abandon(call);
  }

  /** Answers those that have not been cancelled. */
  #end(requests: readonly Admitted[], call: Call, outcome: RowOutcome | MillraceError): void {
    const awaited = (request: Admitted) => call.requests.delete(request);
    for (const request of requests) this.#settle(request);
    call.rows -= rowsOf(requests);
    if (MillraceError.is(outcome)) {
      for (const request of requests) if (awaited(request)) this.#fail(request, outcome);
      return;
    }
    this.#journal.add(idsOf(requests), outcome.records, outcome.rejected);
    let at = 0;
    for (const request of requests) {
      if (awaited(request)) this.#answer(request, partOf(outcome, at, at + request.rows));
      at += request.rows;
    }
  }

  #fail(request: Admitted, error: MillraceError): void {
    this.#refused.add([request.id]);
    this.options.answers.failed(wholeOf(request), error);
  }

  #answer(request: Admitted, outcome: RowOutcome): void {
    if (request.cut === undefined) {
      this.#ok(request, outcome, 0);
      return;
    }
    const { whole, known } = request.cut;
    const shared = this.options.service.cache === "content" ? new Map<string, number>() : undefined;
    let next = 0;
    const all = known.map((answer, i): RowAnswer => {
      if (answer !== undefined) return answer;
      const row = shared?.get(whole.rowIds[i]!) ?? next++;
      shared?.set(whole.rowIds[i]!, row);
      return { records: outcome.records, row, rejected: outcome.rejected.get(row) };
    });
    this.#ok(whole, inOneBatch(all), whole.rows - request.rows);
  }

  /** N8 */
  #abandon(call: Call): void {
    if (call.attempt === undefined || call.attempt.abort.aborted) return;
    call.attempt.abort.abort(new MillraceError("MILL_SERVICE_TIMEOUT", "nobody waits for the answer any more"));
    call.watch = this.options.ports.clock.after(limits.callHungMs, () => {
      const { id } = this.options.service;
      const what = `a call of service "${id}" did not end ${limits.callHungMs / 1_000} s after it was aborted; its handler should heed its signal.`;
      this.options.onHung(new MillraceError("MILL_SERVICE_TIMEOUT", what, { service: id }));
    });
  }
}

function wholeOf(request: QueuedRequest): QueuedRequest {
  return (request as Admitted).cut?.whole ?? request;
}

/** The rows that are missing. */
function cut(request: QueuedRequest, known: readonly (RowAnswer | undefined)[], missing: readonly number[]): Admitted {
  const records = rowsAt(request.records, missing);
  const rowIds = missing.map((row) => request.rowIds[row]!);
  return { ...request, rows: missing.length, records, rowIds, cut: { whole: request, known } };
}

function rowsOf(requests: readonly Admitted[]): number {
  let sum = 0;
  for (const { rows } of requests) sum += rows;
  return sum;
}

function recordsOf(requests: readonly Admitted[]): RecordBatch {
  const [first] = requests;
  return requests.length === 1 ? first!.records : concatBatches(requests.map(({ records }) => records));
}

/** One for each row. */
function idsOf(requests: readonly Admitted[]): readonly string[] {
  const [first] = requests;
  return requests.length === 1 ? idsOrNone(first!) : requests.flatMap(idsOrNone);
}

function idsOrNone({ rowIds, rows }: QueuedRequest): readonly string[] {
  return rowIds.length > 0 ? rowIds : Array<string>(rows).fill("");
}

/** Not of a server that is busy or away, which would only be asked more often. */
function isOfItsRows({ code }: MillraceError): boolean {
  return code === "MILL_SERVICE_FAILED" || ERROR_CODES[code].retry === "never";
}

function partOf({ records, rejected }: RowOutcome, from: number, to: number): RowOutcome {
  if (from === 0 && to === records.numRows) return { records, rejected };
  const own = [...rejected.values()].filter(({ row }) => row >= from && row < to);
  return {
    records: records.slice(from, to),
    rejected: new Map(own.map((reason) => [reason.row - from, { ...reason, row: reason.row - from }])),
  };
}
