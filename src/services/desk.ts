/**
 * The requests of one instance, from arrival to answer.
 *
 * Invariants:
 *   N2  Every request that is taken is answered once: OK, FAILED, REJECTED (no room), RETURNED (given back) or EXPIRED (its time is
 *       up). One that was cancelled is not answered.
 *   N3  At most `concurrency` calls are under way; what makes the next one is decided by `batching.ts`.
 *   N4  What waits, for a call or for others' rows, is bounded in rows and bytes; above it requests are refused, and the client keeps
 *       them. One request that is larger than all of it passes alone.
 *   N7  A row that was answered, or is under way, is not worked on again: it is answered from the journal, or waits for the call.
 *   N8  A call that nobody waits for any more, or that takes longer than the service's `timeoutMs`, is aborted. One that goes on long
 *       after that is hung, and its instance with it.
 *   N9  What fails in a call with others is called again alone, once: its neighbours do not share its fate.
 */
import { ERROR_CODES, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Service } from "../topology/service.js";
import { concatBatches } from "../types/concat.js";
import type { AnswerStore } from "./answer-store.js";
import type { AnswerWriter } from "./answer-writer.js";
import { BatchSize } from "./batch-size.js";
import type { CheckedHandler, RowOutcome } from "./handler-call.js";
import { Journal, type RowAnswer } from "./journal.js";
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

/** A request, and the rows of it that need no call. */
interface Admitted extends QueuedRequest {
  readonly whole: QueuedRequest;
  /** Of each row of the whole; undefined: in `records`. */
  readonly known: readonly (RowAnswer | undefined)[] | undefined;
}

interface Call {
  readonly requests: Set<Admitted>;
  /** Not answered yet. */
  rows: number;
  /** Of the handler's call that is under way for it. */
  abort: AbortController;
  watch: Timer | undefined;
}

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
  #size: BatchSize;
  #handler: CheckedHandler;
  #rowMs = 0;
  #closed = false;
  #pumping: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #onIdle: (() => void)[] = [];

  constructor(private readonly options: DeskOptions) {
    const { batch } = options.service;
    this.#size = new BatchSize(batch.rowsMax, batch.latencyMsTarget);
    this.#handler = options.handler((rows) => this.#size.ranOutOfMemory(rows));
  }

  get load(): { readonly queuedRows: number; readonly runningRows: number; readonly rowMs: number } {
    const runningRows = [...this.#calls].reduce((sum, { rows }) => sum + rows, 0);
    return { queuedRows: this.#queue.rows + this.#joined.rows, runningRows, rowMs: this.#rowMs };
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
    if (this.#closed) this.options.answers.refused(request, "RETURNED", "the instance is draining");
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
    const known = rowIds.map((id) => this.#journal.find(id));
    const missing = known.flatMap((answer, row) => (answer === undefined ? [row] : []));
    if (rowIds.length > 0 && missing.length === 0) {
      this.options.answers.ok(request, inOneBatch(known as RowAnswer[]), request.rows);
      return;
    }
    if (!this.#hasRoomFor(request)) {
      this.options.answers.refused(request, "REJECTED", "the instance's queue is full");
      return;
    }
    if (rowIds.some((id) => this.#underWay.has(id))) {
      this.#joined.push(request);
      return;
    }
    const admitted = this.#withoutKnown(request, known, missing);
    this.#queue.push(admitted);
    for (const id of admitted.rowIds) this.#underWay.add(id);
    this.#wake?.();
    this.#pump();
  }

  #withoutKnown(
    request: QueuedRequest,
    known: readonly (RowAnswer | undefined)[],
    missing: readonly number[],
  ): Admitted {
    if (missing.length === known.length) return { ...request, whole: request, known: undefined };
    const records = rowsAt(request.records, missing);
    const rowIds = missing.map((row) => request.rowIds[row]!);
    return { ...request, rows: missing.length, records, rowIds, whole: request, known };
  }

  /** N8 */
  cancel(client: string, requests: ReadonlySet<string>): void {
    const named = (request: { readonly client: string; readonly id: string }) =>
      request.client === client && requests.has(request.id);
    for (const request of this.#queue.remove(named)) this.#settle(request as Admitted);
    this.#joined.remove(named);
    for (const call of this.#calls) {
      for (const request of call.requests) if (named(request)) call.requests.delete(request);
      if (call.requests.size === 0) this.#abandon(call);
    }
    this.#readmit();
  }

  /** The newest of what waits goes back to its clients. @returns how many rows */
  giveBack(rows: number, why: string): number {
    const returned = this.#queue.removeNewest(rows) as Admitted[];
    for (const request of returned) this.#return(request, why);
    this.#readmit();
    return returned.reduce((sum, request) => sum + request.rows, 0);
  }

  /** Takes nothing new, gives back what waits, finishes what runs; what still runs after `limitMs` is aborted and given back. */
  async drain(limitMs: number): Promise<void> {
    this.#closed = true;
    for (const request of this.#queue.remove(() => true)) this.#return(request as Admitted, "the instance is draining");
    for (const request of this.#joined.remove(() => true)) {
      this.options.answers.refused(request, "RETURNED", "the instance is draining");
    }
    this.#wake?.();
    const limit = this.options.ports.clock.after(limitMs, () => {
      for (const call of this.#calls) {
        for (const request of call.requests) {
          this.options.answers.refused(request.whole, "RETURNED", "the instance was stopped");
        }
        call.requests.clear();
        this.#abandon(call);
      }
      for (const done of this.#onIdle.splice(0)) done();
    });
    if (this.#calls.size > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
    limit.cancel();
  }

  /** Those of these rows that are answered, or under way. */
  holding(rowIds: readonly string[]): string[] {
    return rowIds.filter((id) => this.#underWay.has(id) || this.#journal.find(id) !== undefined);
  }

  release(rowIds: readonly string[]): void {
    this.#journal.release(rowIds);
  }

  #return(request: Admitted, why: string): void {
    this.options.answers.refused(request.whole, "RETURNED", why);
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

  #pump(): void {
    this.#pumping ??= this.#run().finally(() => {
      this.#pumping = undefined;
      // A request may have come between the last look and here.
      if (this.#queue.length > 0 && this.#calls.size < this.options.service.concurrency) this.#pump();
    });
  }

  async #run(): Promise<void> {
    const { service, ports, yieldToMessages } = this.options;
    const { bytesMax, cost, delayMsMax } = service.batch;
    for (;;) {
      await yieldToMessages();
      this.#expire();
      if (this.#calls.size >= service.concurrency) return;
      const rules = { rowsMax: this.#size.rows, bytesMax, costMax: cost?.max ?? Number.POSITIVE_INFINITY, delayMsMax };
      const next = this.#queue.next(rules, ports.clock.monotonicMs());
      if (next.kind === "idle") return;
      if (next.kind === "wait") await this.#moreOrUntil(next.untilMs);
      else void this.#call(next.requests as readonly Admitted[]);
    }
  }

  #expire(): void {
    const now = this.options.ports.clock.monotonicMs();
    for (const request of this.#queue.remove(({ dueMs }) => dueMs <= now)) {
      this.options.answers.refused((request as Admitted).whole, "EXPIRED", "its time was up before it was begun");
      this.#settle(request as Admitted);
    }
  }

  /** Until the time has come, or there is something new to decide on. */
  #moreOrUntil(untilMs: number): Promise<void> {
    const { clock } = this.options.ports;
    return new Promise((resolve) => {
      const timer = clock.after(Math.max(untilMs - clock.monotonicMs(), 0), () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        timer.cancel();
        resolve();
      };
    });
  }

  async #call(requests: readonly Admitted[]): Promise<void> {
    const rows = requests.reduce((sum, request) => sum + request.rows, 0);
    const call: Call = { requests: new Set(requests), rows, abort: new AbortController(), watch: undefined };
    this.#calls.add(call);
    const outcome = await this.#outcomeOf(requests, call);
    if (MillraceError.is(outcome) && requests.length > 1 && isOfItsRows(outcome)) await this.#callAlone(requests, call);
    else this.#end(requests, call, outcome);
    this.#calls.delete(call);
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
    const { timeoutMs } = this.options.service;
    call.abort = new AbortController();
    const limit = timeoutMs === 0 ? undefined : clock.after(timeoutMs, () => this.#timeOut(requests, call));
    const rows = requests.reduce((sum, request) => sum + request.rows, 0);
    const startMs = clock.monotonicMs();
    const rowIds = requests.flatMap(idsOrNone);
    const dueMs = Math.max(...requests.map((request) => request.dueMs));
    try {
      const outcome = await this.#handler.call(concatBatches(requests.map(({ records }) => records)), {
        signal: call.abort.signal,
        timeLeftMs: Math.min(dueMs - startMs, timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs),
        rowId: (row) => Buffer.from(rowIds[row] ?? "", "latin1").toString("hex"),
      });
      const tookMs = clock.monotonicMs() - startMs;
      this.#rowMs += (this.#rowMs === 0 ? 1 : SMOOTHING) * (tookMs / rows - this.#rowMs);
      this.#size.took(rows, tookMs);
      const { persistAfterMs } = this.options.service;
      if (persistAfterMs > 0 && tookMs >= persistAfterMs) void this.options.saved?.save(rowIds, outcome);
      return outcome;
    } catch (cause) {
      return MillraceError.from(cause, "MILL_SERVICE_FAILED");
    } finally {
      limit?.cancel();
      call.watch?.cancel();
    }
  }

  /** N8 */
  #timeOut(requests: readonly Admitted[], call: Call): void {
    const what = `a call took longer than the service's timeoutMs of ${this.options.service.timeoutMs} ms`;
    const error = new MillraceError("MILL_SERVICE_TIMEOUT", what, { service: this.options.service.id });
    for (const request of requests)
      if (call.requests.delete(request)) this.options.answers.failed(request.whole, error);
    this.#abandon(call);
  }

  /** Answers those that have not been cancelled. */
  #end(requests: readonly Admitted[], call: Call, outcome: RowOutcome | MillraceError): void {
    const awaited = (request: Admitted) => call.requests.delete(request);
    for (const request of requests) this.#settle(request);
    call.rows -= requests.reduce((sum, { rows }) => sum + rows, 0);
    if (MillraceError.is(outcome)) {
      for (const request of requests) if (awaited(request)) this.options.answers.failed(request.whole, outcome);
      return;
    }
    this.#journal.add(requests.flatMap(idsOrNone), outcome.records, outcome.rejected);
    let at = 0;
    for (const request of requests) {
      if (awaited(request)) this.#answer(request, partOf(outcome, at, at + request.rows));
      at += request.rows;
    }
  }

  #answer({ whole, known, rows }: Admitted, outcome: RowOutcome): void {
    if (known === undefined) {
      this.options.answers.ok(whole, outcome, 0);
      return;
    }
    let row = 0;
    const all = known.map(
      (answer): RowAnswer => answer ?? { records: outcome.records, row, rejected: outcome.rejected.get(row++) },
    );
    this.options.answers.ok(whole, inOneBatch(all), whole.rows - rows);
  }

  /** N8 */
  #abandon(call: Call): void {
    if (call.abort.signal.aborted) return;
    call.abort.abort(new MillraceError("MILL_SERVICE_TIMEOUT", "nobody waits for the answer any more"));
    call.watch = this.options.ports.clock.after(limits.callHungMs, () => {
      const { id } = this.options.service;
      const what = `a call of service "${id}" did not end ${limits.callHungMs / 1_000} s after it was aborted; its handler should heed its signal.`;
      this.options.onHung(new MillraceError("MILL_SERVICE_TIMEOUT", what, { service: id }));
    });
  }
}

/** One for each row. */
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
