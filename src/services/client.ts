/**
 * A host's door to one service: takes requests from `infer` operators, sends each to an instance, matches answers.
 *
 * Invariants:
 *   S1  A request has one owner at a time: this client's queue, or one instance. Nothing else sends it again.
 *   S2  Every `call` ends: with an answer, or with an error that names the service.
 *   S5  A request that was on board of `limits.inferCrashesMax` lost instances is refused, not sent again. After its first crash its
 *       rows travel alone, each by itself, so that their neighbours do not share their fate.
 *   S7  A request that was sent `limits.requestLostMs` ago and that its instance says it does not hold was lost, or its
 *       answer was: it is this client's again.
 *   S9  What fails is tried again, split, handed to the fallback, or refused, as `retry.ts` says; nothing waits longer than its time.
 *   S10, S11 Rows that may have been answered before are looked for first (`holders.ts`).
 *   S13 Where a service shares answers (`cache: "content"`) its rows are known by their content: equal ones are one row to its instances,
 *       whoever asks, and none of those who ask may say that the answer is not needed any more.
 *   S14 A request that its instance has refused, given back or failed is sent under another name: a late copy of it is not taken for it.
 *   S15 Of a release an instance hears that has answered the rows, where it is known which: what goes to all of them costs each of them.
 *   S12 What may have gone to the fallback before is looked for there, too (`fallback.ts`).
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { type ErrorCode, isErrorCode, MillraceError } from "../base/errors.js";
import type { InstanceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Timer } from "../base/ports.js";
import type { BusMessage, Subscription } from "../bus/bus.js";
import { type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { decodeBatch } from "../wire/arrow.js";
import { heldFrame, serviceOrdersFrame } from "../wire/control.js";
import {
  type AnswerHeader,
  decodeFrame,
  type HoldingHeader,
  type LoadReport,
  loadReportFrame,
} from "../wire/frames.js";
import type { AnswerStore } from "./answer-store.js";
import { type CallCounts, noCounts } from "./call-counts.js";
import { ClientMessages, type ClientMessagesOptions } from "./client-messages.js";
import { ClientTelemetry } from "./client-telemetry.js";
import { Fallback } from "./fallback.js";
import { Holders } from "./holders.js";
import { InstanceTable, type KnownInstance } from "./instance-table.js";
import type { RowAnswer } from "./journal.js";
import { KeptIds } from "./kept-ids.js";
import { type CallOptions, newPending, type PassedRows, type Pending, rowsOf } from "./pending.js";
import { afterFailure } from "./retry.js";
import { inOneBatch } from "./row-answers.js";
import { isOfRows, poisoned, timedOut } from "./row-errors.js";
import { contentIdsOf } from "./row-ids.js";
import { runsOf } from "./runs.js";
import { splitPending } from "./split-pending.js";
import { type Answer, checkRows, halves, joinAnswers, singles } from "./split-request.js";

export type { CallOptions, PassedRows } from "./pending.js";
export type { Answer } from "./split-request.js";

export interface ServiceClientOptions extends ClientMessagesOptions {
  /** Where instances keep answers that took long; undefined: nowhere. */
  readonly saved?: AnswerStore | undefined;
  /** Of the service's fallback. */
  readonly fallback?: ServiceClient | undefined;
}

export class ServiceClient {
  readonly service: Service;
  readonly counts: CallCounts = noCounts();
  readonly standings = () => this.#instances.standings();
  readonly readyCount = () => this.#instances.readyCount();
  #instances: InstanceTable<Pending>;
  #queue: Pending[] = [];
  #holders: Holders<Pending>;
  #fallback: Fallback<Pending> | undefined;
  /** Rows whose answers may have been kept. */
  #kept = new KeptIds(limits.answersKeptMax);
  #subscriptions: Subscription[] = [];
  #telemetry: ClientTelemetry;
  #subjects: JobSubjects;
  #messages: ClientMessages;
  #outputSchema: Schema;
  #calls = 0;
  /** Names that requests got anew. */
  #renamed = 0;
  /** The oldest request has found no room; what may give it some dispatches again. */
  #blocked = false;
  /** Told when there is nothing to send, and an instance that would take it. */
  #suppliers = new Set<() => void>();
  #error: MillraceError | undefined;
  #sweep: Timer | undefined;

  constructor(private readonly options: ServiceClientOptions) {
    this.service = options.service;
    this.#instances = new InstanceTable(options.service, options.ports);
    this.#telemetry = new ClientTelemetry(options.ports, this.service.id, {
      queuedRows: () => this.queuedRows,
      rowsInFlight: () => [...this.#instances].reduce((sum, { pending }) => sum + rowsOf(pending.values()), 0),
      retries: () => this.counts.retries,
    });
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#messages = new ClientMessages(options);
    this.#outputSchema = arrowSchema(this.service.output);
    if (options.fallback !== undefined) this.#fallback = new Fallback(options.fallback);
    this.#holders = new Holders<Pending>({
      clock: options.ports.clock,
      saved: options.saved,
      ready: () => [...this.#instances].filter(({ report }) => report.state === "READY").map(({ id }) => id),
      ask: (rowIds, round) => this.#messages.ask(rowIds, round),
      split: (request, parts) => splitPending(request, parts, {}),
      send: (requests) => this.#onAsked(requests),
      answered: (request, answers) => this.#onAnswered(request, answers),
    });
  }

  get queuedRows(): number {
    return rowsOf(this.#queue);
  }

  /** Nothing waits here, and an instance has less than the calls that it makes at once and as much again. */
  get isStarved(): boolean {
    return this.#queue.length === 0 && this.#instances.wantsMore();
  }

  /** Calls `supply` once, as soon as it is. The same function is called once, however often it was given. */
  whenStarved(supply: () => void): void {
    this.#suppliers.add(supply);
  }

  /** Subscribes to answers and load reports, and asks all instances for theirs. */
  async open(): Promise<void> {
    const { bus } = this.options;
    this.#telemetry.open();
    this.#subscriptions = await Promise.all([
      bus.subscribe(this.#subjects.answer(this.options.client), (message) => this.#onAnswer(message)),
      bus.subscribe(this.#subjects.load(this.service.id), (message) => {
        const report = loadReportFrame.decode(message.payload).header;
        const known = this.#instances.get(report.instance);
        if (known !== undefined) known.full = false;
        this.#onReport(report);
      }),
      bus.subscribe(this.#subjects.orders(this.service.id), ({ payload }) => this.#onOrders(payload)),
      bus.subscribe(this.#subjects.held(this.service.id), ({ payload }) => this.#onHeld(payload)),
    ]);
    this.#messages.ask([], 0);
  }

  /**
   * Runs the service on the rows of `records`, whose columns are the service's input.
   * @param owner what `giveUp` names it by
   * @throws {MillraceError} what the last try failed with, when there is no further one and no fallback
   */
  call(records: RecordBatch, owner: object, about: CallOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      const { bucket = "", affinity = "", rowIds: lineageIds = [], ask = false, trace = "" } = about;
      const cacheIds = about.cacheIds ?? this.#cacheIds(records);
      const rowIds = this.service.cache === "content" ? cacheIds : lineageIds;
      const id = `${this.options.client}-${++this.#calls}`;
      const given = { owner, records, lineageIds, ask, resolve, reject };
      const request = newPending(id, given, { rowIds, bucket, affinity, deadlineMs: this.#deadlineMs() });
      if (this.#telemetry.on) this.#telemetry.follow(request, trace);
      if (ask && rowIds.length > 0) this.#holders.find(request);
      else {
        this.#queue.push(request);
        if (!this.#blocked) this.#dispatch();
      }
    });
  }

  /** Of a call that begins now. */
  #deadlineMs(): number {
    const { deadlineMs } = this.service;
    return deadlineMs === 0 ? Number.POSITIVE_INFINITY : this.options.ports.clock.monotonicMs() + deadlineMs;
  }

  /** Cuts the rows into requests as the service wants them, and calls with each. */
  async callInRuns(
    records: RecordBatch,
    owner: object,
    rowIds: readonly string[] = [],
    ask = false,
    trace = "",
  ): Promise<Answer> {
    const cacheIds = this.#cacheIds(records);
    const runs = runsOf(this.service, records, cacheIds);
    const answers = runs.map(({ start, rows, bucket, affinity }) =>
      this.call(records.slice(start, start + rows), owner, {
        ...{ bucket, affinity, ask, trace },
        rowIds: rowIds.slice(start, start + rows),
        cacheIds: cacheIds.slice(start, start + rows),
      }),
    );
    return joinAnswers(runs, answers, isOfRows);
  }

  /** Whether any of these rows was answered here, or is worked on, as far as can be told: by this service or its own fallback. */
  async holds(rowIds: readonly string[], records: RecordBatch): Promise<boolean> {
    const own = this.service.cache === "content" ? this.#cacheIds(records) : rowIds;
    const { fallback } = this.options;
    const all = await Promise.all([this.#holders.holds(own), fallback?.holds(rowIds, records) ?? false]);
    return all.includes(true);
  }

  /** S13 */
  #cacheIds(records: RecordBatch): readonly string[] {
    return this.service.cache === "content" ? contentIdsOf(this.service.id, records) : [];
  }

  /** The answers of these rows may be forgotten: nobody will ask for them again. */
  release(passed: readonly PassedRows[]): void {
    // Who keeps what the fallback was asked before is not known.
    this.options.fallback?.release(passed.map(({ ids }) => ({ ids, by: undefined })));
    if (this.service.cache === "content") return;
    this.#messages.release(passed.flatMap(({ ids, by }) => (by === undefined ? ids : [])));
    for (const [instance, requests] of requestsOf(passed)) {
      const known = this.#instances.get(instance as InstanceId);
      if (known !== undefined) this.#messages.releaseRequests(known, requests); // else it is gone, and its answers with it
    }
    if (this.#kept.isEmpty) return;
    const kept = this.#kept.take(passed.flatMap(({ ids }) => ids));
    if (kept.length > 0) void this.options.saved?.delete(kept);
  }

  /**
   * Ends the owner's calls with the error: what still waits here is not sent, what was sent is not awaited. It goes on where it runs: an
   * owner that was stopped may be restored, and asks for it again.
   */
  giveUp(owner: object, error: MillraceError): void {
    this.options.fallback?.giveUp(owner, error);
    this.#endAll((request) => request.owner === owner, error);
    this.#dispatch();
  }

  /** Ends every call with the error, now and from now on. */
  fail(error: MillraceError): void {
    this.#error ??= error;
    this.#endAll(() => true, error);
    this.#sweep?.cancel();
    this.#holders.close();
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#telemetry.close();
    this.fail(new MillraceError("MILL_SERVICE_LOST", `service "${this.service.id}": its client was closed.`));
  }

  #endAll(matches: (request: Pending) => boolean, error: MillraceError): void {
    const ended = [
      ...this.#queue.filter(matches),
      ...this.#holders.remove(matches),
      ...(this.#fallback?.remove(matches) ?? []),
    ];
    this.#queue = this.#queue.filter((request) => !matches(request));
    for (const instance of this.#instances) {
      for (const request of [...instance.pending.values()].filter(matches)) {
        this.#instances.take(instance, request.id);
        ended.push(request);
      }
    }
    for (const request of ended) request.reject(error);
  }

  // Sending

  #dispatch(): void {
    if (this.#queue.length === 0) {
      this.#blocked = false;
      this.#sweepLater();
      this.#askForMore();
      return;
    }
    const now = this.options.ports.clock.monotonicMs();
    const pausing: Pending[] = [];
    let i = 0;
    // The oldest that finds no room waits before all others, so that none is passed over for ever.
    for (; i < this.#queue.length; i++) {
      const request = this.#queue[i]!;
      if (request.notBeforeMs > now) {
        pausing.push(request);
        continue;
      }
      const chosen = this.#instanceFor(request);
      if (chosen === undefined) break;
      this.#send(request, chosen);
    }
    this.#blocked = i < this.#queue.length;
    if (i > pausing.length) this.#queue = [...pausing, ...this.#queue.slice(i)];
    this.#sweepLater();
    this.#askForMore();
  }

  #askForMore(): void {
    if (this.#suppliers.size === 0 || !this.isStarved) return;
    const suppliers = [...this.#suppliers];
    this.#suppliers.clear();
    for (const supply of suppliers) supply();
  }

  get #hasRequests(): boolean {
    return this.#queue.length > 0 || [...this.#instances].some(({ pending }) => pending.size > 0);
  }

  #instanceFor(request: Pending): KnownInstance<Pending> | undefined {
    const holder = request.holder === "" ? undefined : this.#instances.get(request.holder);
    if (holder?.report.state === "READY") return holder;
    return this.#instances.choose(request, request, request.avoid);
  }

  #send(request: Pending, instance: KnownInstance<Pending>): void {
    request.sentMs = this.options.ports.clock.monotonicMs();
    request.tries += 1;
    if (request.calledMs > 0) this.#telemetry.sent(request);
    this.counts.calls += 1;
    this.#instances.add(instance, request);
    // The window of the `infer` operators bounds what is under way, so the bus's own bound is not waited for here.
    try {
      this.#messages.request(request, instance)?.catch((cause: unknown) => this.#unsent(request, instance, cause));
    } catch (cause) {
      // Not in the middle of a dispatch.
      queueMicrotask(() => this.#unsent(request, instance, cause));
    }
  }

  #unsent(request: Pending, instance: KnownInstance<Pending>, cause: unknown): void {
    instance.schemaSent = false; // it may have been in what was not sent
    if (!this.#instances.take(instance, request.id)) return;
    request.reject(MillraceError.from(cause, "MILL_SERVICE_LOST", `service "${this.service.id}"`));
    this.#dispatch();
  }

  // What comes back

  #onAnswer({ payload: bytes }: BusMessage): void {
    const { kind, header, payload } = decodeFrame(bytes);
    if (kind === "answer") this.#onOutcome(header as AnswerHeader, payload);
    else if (kind === "holding") this.#holders.onHolding(header as HoldingHeader);
    else throw new MillraceError("MILL_FRAME_INVALID", `a client was sent a frame of kind "${kind}".`);
  }

  #onOutcome(header: AnswerHeader, payload: Uint8Array): void {
    const instance = this.#instances.get(header.instance);
    const request = instance && this.#instances.take(instance, header.id);
    if (instance !== undefined) instance.full = header.status === "REJECTED";
    this.#onReport(header.load);
    if (instance === undefined || request === undefined) return; // answered before, or given to another since
    request.span?.link(header.traceparent);
    if (header.status === "OK") {
      this.#instances.onOutcome(instance, header.rejectedRows.length === request.rows);
      this.#noteKept(request);
      this.counts.rows += request.rows;
      this.counts.repeatedRows += header.repeatedRows;
      this.counts.refusedRows += header.rejectedRows.length;
      const by = request.scattered ? undefined : [{ instance: header.instance, request: header.id }];
      this.#resolve(request, payload, header.rejectedRows, by);
    } else if (header.status === "FAILED") {
      const error = this.#errorOf(header);
      this.#instances.onOutcome(instance, isOfRows(error));
      request.avoid = instance.id;
      this.#onFailure(request, error);
    } else if (header.status === "EXPIRED") {
      this.#onFailure(request, this.#timedOut(request));
    } else {
      request.tries -= 1; // it was not begun
      this.#rename(request);
      // One that holds the rows has no room just now; elsewhere they would be paid for again.
      if (header.status === "REJECTED" && request.holder !== "") request.notBeforeMs = this.#nextSweepMs;
      this.#queue.unshift(request);
      if (header.status === "RETURNED") {
        if (instance.report.state !== "READY") this.#forgetHolder(instance.id);
        else request.holder = ""; // this one waited there in vain; what else it holds it goes on holding
      }
    }
    this.#dispatch();
  }

  /** S14 */
  #rename(request: Pending): void {
    const [first] = request.id.split("~", 1);
    request.id = `${first}~${++this.#renamed}`;
  }

  #errorOf({ code, message, retryAfterMs }: AnswerHeader): MillraceError {
    const { id } = this.service;
    const known: ErrorCode = isErrorCode(code) ? code : "MILL_SERVICE_FAILED";
    if (known === "MILL_SERVICE_TIMEOUT") this.counts.timeouts += 1;
    return new MillraceError(known, `service "${id}": ${message}`, { service: id, retryAfterMs });
  }

  /** It took at least as long here as it did there. */
  #noteKept({ rowIds, sentMs }: Pending): void {
    const { persistAfterMs } = this.service;
    if (this.options.saved === undefined || persistAfterMs === 0) return;
    if (this.options.ports.clock.monotonicMs() - sentMs < persistAfterMs) return;
    this.#kept.add(rowIds);
  }

  /** A payload that does not fit ends the call, too (S2); other rows than were sent would be taken for those of its neighbours. */
  #resolve(request: Pending, payload: Uint8Array, rejected: Answer["rejected"], by: Answer["by"]): void {
    try {
      const records = decodeBatch(this.#outputSchema, payload);
      checkRows(request.rows, records.numRows, rejected);
      request.resolve({ by, records, rejected });
    } catch (cause) {
      const what = `service "${this.service.id}" answered with what is not an answer to its request`;
      request.reject(new MillraceError("MILL_SERVICE_FAILED", `${what}: ${(cause as Error).message}`, {}, { cause }));
    }
  }

  /** S9 */
  #onFailure(request: Pending, error: MillraceError): void {
    const { clock, random } = this.options.ports;
    request.holder = "";
    request.scattered = true;
    const next = afterFailure(request, error, this.service.retry, clock.monotonicMs(), random.next());
    if (next.kind === "retry") {
      request.notBeforeMs = next.atMs;
      this.counts.retries += 1;
      this.#rename(request);
      this.#queue.push(request);
    } else if (next.kind === "split") {
      // Each part has one try more: all of them have been spent on the whole.
      const about = { tries: Math.max(0, this.service.retry.attemptsMax - 1) };
      this.#queue.push(...splitPending(request, halves(request.rows), about));
    } else this.#giveUp(request, error);
  }

  #giveUp(request: Pending, error: MillraceError): void {
    const { fallback } = this.options;
    if (fallback === undefined || !isOfRows(error)) {
      this.counts.rows += request.rows;
      this.counts.refusedRows += request.rows;
      request.reject(error);
      return;
    }
    const { id } = this.service;
    this.options.ports.log.debug("rows go to the fallback", {
      service: id,
      fallback: fallback.service.id,
      error,
      trace: request.span?.traceparent,
    });
    this.#fallBack(request);
  }

  #fallBack(request: Pending): void {
    this.counts.fallbackRows += request.rows;
    this.#fallback!.take(request);
  }

  /** S12 */
  #onAsked(requests: readonly Pending[]): void {
    const fallback = this.#fallback;
    const unknown = ({ ask, holder, tries }: Pending) => ask && holder === "" && tries === 0;
    this.#queue.unshift(...requests.filter((request) => fallback === undefined || !unknown(request)));
    this.#dispatch();
    for (const request of fallback === undefined ? [] : requests.filter(unknown)) {
      void fallback!.ask(request).then((place) => {
        if (place === "here") this.#fallBack(request);
        else if (place === "elsewhere") this.#queue.push(request);
        this.#dispatch();
      });
    }
  }

  #onReport(report: LoadReport): void {
    const lost = this.#instances.onReport(report);
    if (report.state !== "READY") this.#forgetHolder(report.instance);
    if (lost !== undefined) this.#lose(lost, report);
    this.#dispatch();
  }

  #onOrders(frame: Uint8Array): void {
    if (this.#instances.onOrders(serviceOrdersFrame.decode(frame).header)) this.#dispatch();
  }

  /** S7 */
  #onHeld(frame: Uint8Array): void {
    const { instance: id, requests } = heldFrame.decode(frame).header;
    const instance = this.#instances.get(id as InstanceId);
    if (instance === undefined) return;
    const held = new Set(requests);
    const before = this.options.ports.clock.monotonicMs() - limits.requestLostMs;
    const lost = [...instance.pending.values()].filter((request) => request.sentMs < before && !held.has(request.id));
    if (lost.length === 0) return;
    for (const request of lost) this.#again(instance, request);
    this.#queue.unshift(...lost);
    instance.schemaSent = false; // it may have been in what was lost
    this.options.ports.log.warn("requests were lost and are sent again", { instance: id, requests: lost.length });
    this.#dispatch();
  }

  /** It leaves the instance, which may have worked on it. */
  #again(instance: KnownInstance<Pending>, request: Pending): void {
    this.#instances.take(instance, request.id);
    request.tries -= 1;
    request.scattered = true;
    this.counts.duplicateCalls += request.rows;
  }

  /** The instance is gone: what it had on board goes to another, oldest first (S4, S5). */
  #lose(lost: KnownInstance<Pending>, report: LoadReport): void {
    const again: Pending[] = [];
    for (const request of [...lost.pending.values()]) {
      this.#again(lost, request);
      // One that was told to stop has not crashed.
      const crashes = request.crashes + (report.state === "FAILED" ? 1 : 0);
      if (crashes === 0) again.push(request);
      else if (crashes >= limits.inferCrashesMax)
        this.#giveUp(request, poisoned(this.service, request, crashes, report.reason));
      else if (request.rows > 1)
        again.push(...splitPending(request, singles(request.rows), { crashes, suspect: true }));
      else again.push({ ...request, crashes, suspect: true });
    }
    // It may have finished, and kept, what it could not send any more.
    this.#holders.lookUp(again);
  }

  // Time

  get #nextSweepMs(): number {
    return this.options.ports.clock.monotonicMs() + limits.callSweepMs;
  }

  #sweepLater(): void {
    if (this.#sweep !== undefined || this.#error !== undefined || !this.#hasRequests) return;
    this.#sweep = this.options.ports.clock.after(limits.callSweepMs, () => {
      this.#sweep = undefined;
      this.#expire();
      this.#dispatch();
    });
  }

  /** S9. The time of a single call is its instance's to watch: it alone knows when the call began. */
  #expire(): void {
    const now = this.options.ports.clock.monotonicMs();
    const waited = this.#queue.filter(({ deadlineMs }) => deadlineMs <= now);
    this.#queue = this.#queue.filter(({ deadlineMs }) => deadlineMs > now);
    for (const request of waited) this.#giveUp(request, this.#timedOut(request));
    for (const instance of this.#instances) {
      const late = [...instance.pending.values()].filter(({ deadlineMs }) => deadlineMs <= now);
      this.#messages.cancel(instance, late);
      for (const request of late) {
        this.#instances.take(instance, request.id);
        this.#giveUp(request, this.#timedOut(request));
      }
    }
  }

  /** What it holds it will not answer any more (S11). */
  #forgetHolder(instance: string): void {
    const held = this.#queue.filter(({ holder }) => holder === instance);
    if (held.length === 0) return;
    this.#queue = this.#queue.filter(({ holder }) => holder !== instance);
    for (const request of held) request.holder = "";
    this.#holders.lookUp(held);
  }

  #timedOut(request: Pending): MillraceError {
    this.counts.timeouts += 1;
    return timedOut(this.service, request);
  }

  #onAnswered(request: Pending, answers: readonly (RowAnswer | undefined)[]): void {
    const known = answers.filter((answer) => answer !== undefined);
    this.#kept.add(request.rowIds.filter((_, row) => answers[row] !== undefined));
    this.counts.rows += known.length;
    this.counts.savedRows += known.length;
    this.counts.refusedRows += known.filter(({ rejected }) => rejected !== undefined).length;
    if (known.length < answers.length) this.#queue.push(...splitPending(request, singles(request.rows), {}, answers));
    else {
      const { records, rejected } = inOneBatch(known);
      request.resolve({ records, rejected: [...rejected.values()] });
    }
    this.#dispatch();
  }
}

/** Ids of requests by the instance that has answered them. */
function requestsOf(passed: readonly PassedRows[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>();
  for (const { by } of passed) {
    for (const { instance, request } of by ?? []) {
      const known = found.get(instance);
      if (known === undefined) found.set(instance, [request]);
      else known.push(request);
    }
  }
  return found;
}
