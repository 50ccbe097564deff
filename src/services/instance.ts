/**
 * One instance of a service: an actor that loads a handler, warms it, serves, and drains. Its requests are its `Desk`'s.
 *
 * Invariants:
 *   N1  No request is taken before load and warmup succeeded, each within its time (guarantee 5).
 *   N5  A draining instance takes nothing new, gives back what is queued, finishes what runs, then stops; what still runs when
 *       the time to drain is up is aborted and given back.
 *   N6  A heartbeat names the requests it holds, unless a call kept it from looking at what has arrived. One that comes
 *       again while it is held is dropped.
 *   N10 What waits here and would be served sooner elsewhere is given back (`rebalance.ts`).
 *   N11 A change of its load is told to all clients at once, as far as `report-pace.ts` lets it.
 *   N12 Every state that it has been in, with its time and reason, is told to the coordinator on every change and on the heartbeat;
 *       so is what it has done.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { METRICS } from "../base/metrics.js";
import { type Ports, type Timer, telemetryOf } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { clusterSubjects, type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { LoadedHandler, Service } from "../topology/service.js";
import { rowsOf } from "../types/batches.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { decodeBatch } from "../wire/arrow.js";
import { heldFrame, instanceHistoryFrame } from "../wire/control.js";
import {
  type AskHeader,
  type CancelHeader,
  decodeFrame,
  holdingFrame,
  type LifeCycle,
  type LoadReport,
  loadReportFrame,
  type ReleaseHeader,
  type RequestHeader,
} from "../wire/frames.js";
import { AnswerStore } from "./answer-store.js";
import { AnswerWriter } from "./answer-writer.js";
import { Desk } from "./desk.js";
import { RequestTrace } from "./desk-telemetry.js";
import { CheckedHandler } from "./handler-call.js";
import { LifeHistory } from "./life-history.js";
import { type QueueLoad, rowsToReturn } from "./rebalance.js";
import { ReportPace } from "./report-pace.js";
import { idBytes, idsOf } from "./row-ids.js";

export interface InstanceOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly instance: InstanceId;
  readonly service: Service;
  /** What its handler reads content with. */
  readonly content: ContentAccess;
  /** Local path of each asset of the handler, content checked. */
  asset(name: string): string;
  /** A variable of the instance's environment: keys of endpoints are there, never in a plan. */
  env(name: string): string | undefined;
  /** Yields to incoming messages after a call that blocked this thread. */
  yieldToMessages(): Promise<void>;
  /** Opens the job's object store; undefined: answers that took long are not kept there. */
  readonly openStore?: () => Promise<ObjectStore>;
  /** A call cannot be stopped: the process must end. The instance has reported that it FAILED. */
  onHung(error: MillraceError): void;
}

export class Instance {
  #state: LifeCycle = "PROVISIONING";
  #enteredMs = 0;
  #reason = "";
  #code = "";
  #history = new LifeHistory();
  #reports = 0n;
  #desk: Desk | undefined;
  #draining: Promise<void> | undefined;
  #heartbeat: Timer | undefined;
  #pace = new ReportPace();
  #telling: Timer | undefined;
  /** When each client has sent its newest request, lately. */
  #clients = new Map<string, number>();
  /** READY ones, without this one. */
  #peers = 0;
  #subscriptions: Subscription[] = [];
  #handler: LoadedHandler<Columns, Columns> | undefined;
  #others = new Map<string, QueueLoad & { readonly heardMs: number }>();
  #stop = new AbortController();
  #subjects: JobSubjects;
  #ownSubject: string;
  #answerSubjects = new Map<string, string>();
  #inputSchema: Schema;
  #answers: AnswerWriter;

  constructor(private readonly options: InstanceOptions) {
    const { service, instance } = options;
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#ownSubject = this.#subjects.instanceRequest(service.id, instance);
    this.#inputSchema = arrowSchema(service.input);
    this.#answers = new AnswerWriter({
      instance,
      schema: arrowSchema(service.output),
      load: () => this.#report(),
      // The client's window bounds how many answers can be under way.
      publish: (client, frame) => {
        this.#publish(this.#answerSubject(client), frame);
        this.#tellLoad();
      },
    });
  }

  /** The same text each time: a bus knows that it has checked it. */
  #answerSubject(client: string): string {
    const known = this.#answerSubjects.get(client);
    if (known !== undefined) return known;
    const subject = this.#subjects.answer(client);
    this.#answerSubjects.set(client, subject);
    return subject;
  }

  get state(): LifeCycle {
    return this.#state;
  }

  /**
   * Loads, warms, then serves until `drain`.
   * @throws {MillraceError} what the handler threw while loading or warming; the instance is FAILED and has reported it
   */
  async start(): Promise<void> {
    const { service, bus } = this.options;
    try {
      this.#enter("LOADING");
      this.#handler = await this.#within(service.load.timeoutMs, "load", (signal) => this.#load(signal));
      this.#enter("WARMING", `loaded in ${this.#inState} ms`);
      await this.#within(service.load.warmTimeoutMs, "warm", async () => this.#handler!.warm?.());
    } catch (cause) {
      if (this.#stop.signal.aborted) return; // `drain` has said how it ended
      const error = MillraceError.from(cause, "MILL_SERVICE_FAILED", `service "${service.id}"`);
      this.#fail(error);
      await bus.flush().catch(() => {}); // what failed first is what counts
      throw error;
    }
    this.#desk = this.#openDesk(this.#handler);
    this.#observe(this.#desk);
    await this.#listen();
    if (this.#stop.signal.aborted) return this.#deafen();
    this.#enter("READY", `warmed in ${this.#inState} ms`);
    this.#beat();
  }

  /** As long as its process lives. */
  #observe(desk: Desk): void {
    const telemetry = telemetryOf(this.options.ports);
    const named = { "millrace.service": this.options.service.id };
    telemetry.observe(METRICS.queuedRows, named, () => desk.load.queuedRows);
    telemetry.observe(METRICS.runningRows, named, () => desk.load.runningRows);
  }

  #load(signal: AbortSignal): Promise<LoadedHandler<Columns, Columns>> {
    const { service, instance, asset, env, ports, content } = this.options;
    const { id, input, output, handler } = service;
    return handler.load({
      service: id,
      instance,
      input,
      output,
      asset: (name) => asset(name),
      env: (name) => env(name),
      content,
      clock: ports.clock,
      signal,
    });
  }

  /** N1. A step that blocks its thread is late by as long as it blocks. */
  async #within<T>(timeoutMs: number, what: "load" | "warm", step: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, this.#stop.signal]);
    const timer = this.options.ports.clock.after(timeoutMs, () => {
      const text = `service "${this.options.service.id}": its handler did not ${what} within ${timeoutMs} ms; see its setting load.${what === "load" ? "timeoutMs" : "warmTimeoutMs"}.`;
      late.abort(new MillraceError("MILL_SERVICE_TIMEOUT", text));
    });
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    try {
      const result = await Promise.race([step(signal), aborted]);
      this.#stop.signal.throwIfAborted();
      return result;
    } finally {
      timer.cancel();
      aborted.catch(() => {});
    }
  }

  #openDesk(handler: LoadedHandler<Columns, Columns>): Desk {
    const { service, ports, job, content, openStore } = this.options;
    const schema = arrowSchema(service.output);
    return new Desk({
      service,
      handler: (onOutOfMemory) =>
        new CheckedHandler(service.id, handler, schema, content, ports.log, (rows) => {
          ports.log.warn("a call did not fit the memory; it is made again in halves", { service: service.id, rows });
          onOutOfMemory(rows);
        }),
      ports,
      answers: this.#answers,
      saved: openStore && new AnswerStore({ job, service: service.id, schema, log: ports.log, store: openStore }),
      yieldToMessages: () => this.options.yieldToMessages(),
      onHung: (error) => {
        if (this.#state === "STOPPED") return; // its process ends anyway, and nobody waits
        this.#fail(error);
        this.options.onHung(error);
      },
    });
  }

  async #listen(): Promise<void> {
    const { service, bus } = this.options;
    this.#subscriptions = await Promise.all([
      bus.subscribe(this.#ownSubject, ({ payload }) => this.#obey(payload)),
      bus.subscribe(this.#subjects.ask(service.id), ({ payload }) => this.#obey(payload)),
      bus.subscribe(this.#subjects.load(service.id), ({ payload }) => this.#hear(payload)),
    ]);
  }

  #deafen(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  /** N5. Resolves when the instance has stopped. Before it is READY, that gives up loading and warming. */
  drain(): Promise<void> {
    if (this.#state === "STOPPED" || this.#state === "FAILED") return Promise.resolve();
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async #drain(): Promise<void> {
    const stopped = new MillraceError("MILL_SERVICE_LOST", "the instance was stopped");
    if (this.#state !== "READY") this.#stop.abort(stopped);
    this.#enter("DRAINING", "it was told to stop");
    await this.#desk?.drain(limits.drainCallsMs);
    try {
      await this.#handler?.unload?.();
    } catch (error) {
      this.options.ports.log.warn("a handler could not be unloaded", { service: this.options.service.id, error });
    }
    this.#heartbeat?.cancel();
    // What arrives up to here is returned. What comes later meets nobody; STOPPED tells its client to send it elsewhere.
    await this.options.bus.flush();
    this.#deafen();
    this.#stop.abort(stopped);
    this.#enter("STOPPED");
    await this.options.bus.flush();
  }

  #obey(bytes: Uint8Array): void {
    const { kind, header, payload } = decodeFrame(bytes);
    if (kind === "request") this.#take(header as RequestHeader, payload, bytes.length);
    else if (kind === "cancel") {
      const { client, requests } = header as CancelHeader;
      this.#desk!.cancel(client, new Set(requests));
    } else if (kind === "ask") this.#tell(header as AskHeader);
    else if (kind === "release") {
      const { rowIds, requests } = header as ReleaseHeader;
      this.#desk!.release(idsOf(rowIds), requests);
    }
  }

  #take(header: RequestHeader, payload: Uint8Array, bytes: number): void {
    const { id, client, rows, bucket } = header;
    const nowMs = this.options.ports.clock.monotonicMs();
    const trace = header.traceparent === "" ? undefined : this.#traceOf(header, nowMs);
    try {
      const records = this.#recordsOf(rows, payload);
      const rowIds = idsOf(header.rowIds);
      if (rowIds.length > 0 && rowIds.length !== header.rows) {
        throw new MillraceError("MILL_FRAME_INVALID", `a request has ${header.rows} rows and ${rowIds.length} ids.`);
      }
      const dueMs = header.timeoutMs > 0 ? nowMs + header.timeoutMs : Number.POSITIVE_INFINITY;
      const cost = this.#costOf(records);
      this.#clients.set(client, nowMs);
      this.#desk!.take({ id, client, rows, bucket, bytes, cost, arrivedMs: nowMs, dueMs, records, rowIds, trace });
      this.#tellLoad();
    } catch (cause) {
      this.#answers.failed({ id, client, rows, trace }, MillraceError.from(cause, "MILL_FRAME_INVALID"));
    }
  }

  #traceOf({ traceparent, rows }: RequestHeader, startMs: number): RequestTrace | undefined {
    const telemetry = telemetryOf(this.options.ports);
    const { id } = this.options.service;
    const attributes = { "millrace.service": id, "millrace.instance": this.options.instance, "millrace.rows": rows };
    const span = telemetry.span(`serve ${id}`, traceparent, { kind: "server", startMs, attributes });
    return span && new RequestTrace(span, telemetry);
  }

  /** @throws what is wrong with them: it must not reach the requests they would share a call with */
  #recordsOf(rows: number, payload: Uint8Array): RecordBatch {
    const records = decodeBatch(this.#inputSchema, payload);
    if (rows > 0 && records.numRows === rows) return records;
    throw new MillraceError(
      "MILL_FRAME_INVALID",
      `a request says that it has ${rows} rows and carries ${records.numRows}; it must carry what it says, and at least one.`,
    );
  }

  #costOf(records: RecordBatch): number {
    const { id, input, batch } = this.options.service;
    if (batch.cost === undefined) return 0;
    const cost = rowsOf(input, records as never).reduce((sum, row) => sum + batch.cost!.of(row), 0);
    if (cost >= 0) return cost;
    throw new MillraceError(
      "MILL_SERVICE_FAILED",
      `service "${id}": batch.cost.of gave ${cost} for a row; give a number from 0 on.`,
    );
  }

  #tell({ client, rowIds, round }: AskHeader): void {
    const { service, instance } = this.options;
    this.#publishLoad();
    if (rowIds.length === 0) return;
    const held = this.#desk!.holding(idsOf(rowIds));
    const header = { service: service.id, instance, rowIds: idBytes(held), round };
    this.#publish(this.#subjects.answer(client), holdingFrame.encode(header));
  }

  /** N10 */
  #hear(payload: Uint8Array): void {
    const { header } = loadReportFrame.decode(payload);
    const { instance, ports, service } = this.options;
    if (header.instance === instance) return;
    const heardMs = ports.clock.monotonicMs();
    const { queuedRows, rowMs } = header;
    this.#others.set(header.instance, { ready: header.state === "READY", queuedRows, rowMs, heardMs });
    if (this.#state !== "READY") return;
    const fresh = [...this.#others].filter(([, other]) => heardMs - other.heardMs <= limits.heartbeatTimeoutMs);
    const ready = fresh.filter(([, other]) => other.ready);
    this.#peers = ready.length;
    const own = { ready: true, ...this.#desk!.load };
    const excess = rowsToReturn(
      own,
      ready.map(([, other]) => other),
      service.batch.rowsMax * service.concurrency,
    );
    const returned = excess === 0 ? 0 : this.#desk!.giveBack(excess, "others are less busy");
    if (returned === 0) return;
    // They will have these rows before they can tell of it; without that the rest would seem too much again.
    for (const [other, load] of ready) {
      this.#others.set(other, { ...load, queuedRows: load.queuedRows + returned / ready.length });
    }
    this.#publishLoad();
  }

  /** A client asks again for what is lost here. */
  #publish(subject: string, frame: Uint8Array): void {
    const { bus, ports } = this.options;
    void publishLossy(bus, ports.log, subject, frame);
  }

  #fail({ code, message }: MillraceError): void {
    this.#code = code;
    this.#reason = message;
    this.#enter("FAILED");
  }

  /** Milliseconds since it came into its state. */
  get #inState(): number {
    return Math.round(this.options.ports.clock.nowMs() - this.#enteredMs);
  }

  #enter(state: LifeCycle, reason = this.#reason): void {
    const { ports, service } = this.options;
    ports.log.info("instance state", { service: service.id, from: this.#state, to: state, reason });
    this.#state = state;
    this.#enteredMs = ports.clock.nowMs();
    this.#history.note(state, this.#enteredMs, reason, this.#code);
    this.#publishLoad();
    this.#publishHistory();
  }

  /** N12 */
  #publishHistory(): void {
    const { namespace, job, instance } = this.options;
    const work = this.#desk?.work ?? null;
    const frame = instanceHistoryFrame.encode({ job, instance, transitions: this.#history.transitions, work });
    this.#publish(clusterSubjects(namespace).coordinatorReport, frame);
  }

  #beat(): void {
    const { clock } = this.options.ports;
    const dueMs = clock.monotonicMs() + limits.heartbeatIntervalMs;
    this.#heartbeat = clock.after(limits.heartbeatIntervalMs, () => {
      this.#publishLoad();
      this.#publishHistory();
      const sinceMs = clock.monotonicMs() - limits.heartbeatTimeoutMs;
      for (const [client, sentMs] of this.#clients) {
        if (sentMs >= sinceMs) continue;
        this.#clients.delete(client);
        this.#answerSubjects.delete(client);
      }
      if (clock.monotonicMs() - dueMs <= limits.heartbeatLateMs) this.#publishHeld();
      this.#beat();
    });
  }

  /** N6 */
  #publishHeld(): void {
    const { service, instance } = this.options;
    const { requests } = this.#desk!;
    this.#publish(this.#subjects.held(service.id), heldFrame.encode({ service: service.id, instance, requests }));
  }

  /** N11. In a turn of its own: all that one message or one answer changes is told at once. */
  #tellLoad(): void {
    const { clock } = this.options.ports;
    if (this.#telling !== undefined) return;
    const waitMs = this.#pace.delayMs(clock.monotonicMs(), this.#peers + 1, this.#clients.size);
    if (waitMs === undefined) return;
    this.#telling = clock.after(waitMs, () => {
      this.#telling = undefined;
      if (this.#state !== "READY") return; // a change of state tells it by itself
      this.#pace.told();
      this.#publishLoad();
    });
  }

  #publishLoad(): void {
    const subject = this.#subjects.load(this.options.service.id);
    this.#publish(subject, loadReportFrame.encode(this.#report()));
  }

  #report(): LoadReport {
    const { service, instance } = this.options;
    const { queuedRows, runningRows, rowMs } = this.#desk?.load ?? { queuedRows: 0, runningRows: 0, rowMs: 0 };
    return {
      service: service.id,
      instance,
      sequence: ++this.#reports,
      subject: this.#ownSubject,
      state: this.#state,
      queuedRows,
      runningRows,
      rowMs,
      reason: this.#reason,
      code: this.#code,
      enteredMs: BigInt(Math.round(this.#enteredMs)),
    };
  }
}
