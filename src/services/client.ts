/**
 * A host's door to one service: takes requests from `infer` operators, sends each to an instance, matches answers.
 *
 * Invariants:
 *   S1  A request has one owner at a time: this client's queue, or one instance. Nothing else sends it again.
 *   S2  Every `call` ends: with an answer, or with an error that names the service.
 *   S3  Only instances that reported READY are sent requests (guarantee 5).
 *   S4  Outstanding rows of an instance go down on every way a request can leave it: answered, returned, lost, not sent.
 *   S5  A request that was on board of `limits.inferCrashesMax` lost instances is refused, not sent again. After its
 *       first crash it travels alone, so that its neighbours do not share its fate.
 *   S6  An instance that is gone stays gone, whatever of it still arrives.
 *   S7  A request that was sent `limits.requestLostMs` ago and that its instance says it does not hold was lost, or its
 *       answer was: it is this client's again.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { type ErrorCode, isErrorCode, MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import { type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import { type Held, heldFrame } from "../wire/control.js";
import { answerFrame, type LoadReport, loadReportFrame, requestFrame } from "../wire/frames.js";
import { chooseInstance, type InstanceView } from "./balance.js";

export interface Answer {
  /** As many rows as were sent; the places of rejected rows hold anything. */
  readonly records: RecordBatch;
  readonly rejected: readonly { readonly row: number; readonly code: string; readonly message: string }[];
}

interface Pending {
  readonly id: string;
  readonly owner: object;
  readonly records: RecordBatch;
  readonly rows: number;
  readonly bucket: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: MillraceError) => void;
  crashes: number;
  sentMs: number;
}

interface KnownInstance {
  view: InstanceView;
  report: LoadReport;
  schemaSent: boolean;
  /** It has refused a request and not said since then that it has room. */
  full: boolean;
  readonly pending: Map<string, Pending>;
}

export interface ServiceClientOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly attempt: number;
  /** Unique among the clients of the job. */
  readonly client: string;
  readonly service: Service;
}

export class ServiceClient {
  readonly service: Service;
  #instances = new Map<InstanceId, KnownInstance>();
  #gone = new Set<InstanceId>();
  #queue: Pending[] = [];
  #subscriptions: Subscription[] = [];
  #subjects: JobSubjects;
  #inputSchema: Uint8Array;
  #inputSchemaId: Uint8Array;
  #outputSchema: Schema;
  #calls = 0;
  #sends = 0;
  #error: MillraceError | undefined;

  constructor(private readonly options: ServiceClientOptions) {
    this.service = options.service;
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#inputSchema = encodeSchema(arrowSchema(this.service.input));
    this.#inputSchemaId = schemaId(this.#inputSchema);
    this.#outputSchema = arrowSchema(this.service.output);
  }

  /** Rows waiting here for an instance. */
  get queuedRows(): number {
    return this.#queue.reduce((sum, request) => sum + request.rows, 0);
  }

  /** Subscribes to answers and load reports; instances that report afterwards are known. */
  async open(): Promise<void> {
    const { bus } = this.options;
    this.#subscriptions = await Promise.all([
      bus.subscribe(this.#subjects.answer(this.options.client), (message) => this.#onAnswer(message)),
      bus.subscribe(this.#subjects.load(this.service.id), (message) => {
        const report = loadReportFrame.decode(message.payload).header;
        const known = this.#instances.get(report.instance as InstanceId);
        if (known !== undefined) known.full = false;
        this.#onReport(report);
      }),
      bus.subscribe(this.#subjects.held(this.service.id), (message) => {
        this.#onHeld(heldFrame.decode(message.payload).header);
      }),
    ]);
  }

  /**
   * Runs the service on the rows of `records`, whose columns are the service's input.
   * @param bucket rows of different calls meet in one batch of an instance only where this is equal
   * @param owner what `giveUp` names it by
   * @throws {MillraceError} `MILL_SERVICE_FAILED` when the handler failed on these rows; `MILL_SERVICE_LOST` (S5)
   */
  call(records: RecordBatch, bucket: string, owner: object): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      const id = `${this.options.client}-${++this.#calls}`;
      this.#queue.push({ id, owner, records, rows: records.numRows, bucket, resolve, reject, crashes: 0, sentMs: 0 });
      this.#dispatch();
    });
  }

  /** Ends the owner's calls with the error: what still waits here is not sent, what was sent is not awaited. */
  giveUp(owner: object, error: MillraceError): void {
    const given = this.#queue.filter((request) => request.owner === owner);
    this.#queue = this.#queue.filter((request) => request.owner !== owner);
    for (const instance of this.#instances.values()) {
      for (const request of [...instance.pending.values()]) {
        if (request.owner === owner) given.push(this.#take(instance, request.id)!);
      }
    }
    for (const request of given) request.reject(error);
    this.#dispatch();
  }

  /** Ends every call with the error, now and from now on. */
  fail(error: MillraceError): void {
    this.#error ??= error;
    for (const request of this.#queue.splice(0)) request.reject(error);
    for (const instance of this.#instances.values()) {
      for (const request of [...instance.pending.values()]) {
        this.#take(instance, request.id);
        request.reject(error);
      }
    }
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.fail(new MillraceError("MILL_SERVICE_LOST", `service "${this.service.id}": its client was closed.`));
  }

  #dispatch(): void {
    // Two calls' worth for each instance: one runs, one waits, and the rest stays here for whoever is free first.
    const outstandingMax = 2 * this.service.batch.rowsMax;
    for (let request = this.#queue[0]; request !== undefined; request = this.#queue[0]) {
      // A suspect waits for an instance that has nothing of ours, and nothing joins it there (S5).
      const open = [...this.#instances.values()].filter((instance) => !instance.full && !holdsSuspect(instance));
      const chosen = chooseInstance(
        open.map((instance) => instance.view),
        isSuspect(request) ? 1 : outstandingMax,
      );
      if (chosen === undefined) return;
      this.#queue.shift();
      this.#send(request, this.#instances.get(chosen.instance)!);
    }
  }

  #send(request: Pending, instance: KnownInstance): void {
    request.sentMs = this.options.ports.clock.monotonicMs();
    instance.pending.set(request.id, request);
    this.#count(instance, request.rows);
    instance.view = { ...instance.view, lastSent: ++this.#sends };
    // The window of the `infer` operators bounds what is under way, so the bus's own bound is not waited for here.
    void this.#publish(request, instance).catch((cause: unknown) => {
      if (!this.#take(instance, request.id)) return;
      request.reject(MillraceError.from(cause, "MILL_SERVICE_LOST", `service "${this.service.id}"`));
      this.#dispatch();
    });
  }

  async #publish(request: Pending, instance: KnownInstance): Promise<void> {
    const frame = requestFrame.encode(
      {
        id: request.id,
        client: this.options.client,
        service: this.service.id,
        instance: instance.view.instance,
        attempt: this.options.attempt,
        timeoutMs: 0,
        crashes: request.crashes,
        // A suspect has a call of its own, too, apart from the requests of other clients.
        bucket: isSuspect(request) ? `${request.bucket}#${request.id}` : request.bucket,
        rows: request.rows,
        schemaId: this.#inputSchemaId,
        schema: instance.schemaSent ? null : this.#inputSchema,
      },
      encodeBatch(request.records),
    );
    instance.schemaSent = true;
    await this.options.bus.publish(instance.report.subject, frame);
  }

  /** S4. The request leaves the instance. @returns whether it was there */
  #take(instance: KnownInstance, id: string): Pending | undefined {
    const request = instance.pending.get(id);
    if (request === undefined) return undefined;
    instance.pending.delete(id);
    this.#count(instance, -request.rows);
    return request;
  }

  #count(instance: KnownInstance, rows: number): void {
    instance.view = { ...instance.view, outstandingRows: instance.view.outstandingRows + rows };
  }

  #onAnswer(message: BusMessage): void {
    const { header, payload } = answerFrame.decode(message.payload);
    const instance = this.#instances.get(header.instance as InstanceId);
    const request = instance && this.#take(instance, header.id);
    if (instance !== undefined) instance.full = header.status === "REJECTED";
    this.#onReport(header.load);
    if (request === undefined) return; // answered before, or given to another since
    if (header.status === "OK") {
      this.#resolve(request, payload, header.rejectedRows);
    } else if (header.status === "FAILED") {
      const code: ErrorCode = isErrorCode(header.code) ? header.code : "MILL_SERVICE_FAILED";
      request.reject(
        new MillraceError(code, `service "${this.service.id}": ${header.message}`, { service: this.service.id }),
      );
    } else {
      this.#queue.unshift(request);
    }
    this.#dispatch();
  }

  /** A payload that does not fit ends the call, too (S2). */
  #resolve(request: Pending, payload: Uint8Array, rejected: Answer["rejected"]): void {
    try {
      request.resolve({ records: decodeBatch(this.#outputSchema, payload), rejected });
    } catch (cause) {
      const what = `service "${this.service.id}" answered with bytes that are not of its columns`;
      request.reject(new MillraceError("MILL_SERVICE_FAILED", `${what}: ${(cause as Error).message}`, {}, { cause }));
    }
  }

  #onReport(report: LoadReport): void {
    const id = report.instance as InstanceId;
    if (this.#gone.has(id)) return;
    const known = this.#instances.get(id);
    if (known !== undefined && report.sequence <= known.report.sequence) return;
    if (report.state === "STOPPED" || report.state === "FAILED") {
      this.#gone.add(id);
      if (known !== undefined) this.#lose(known, report);
      return;
    }
    const told = { state: report.state, reportedRows: report.queuedRows + report.runningRows, rowMs: report.rowMs };
    if (known === undefined) {
      const view = { instance: id, outstandingRows: 0, lastSent: 0, ...told };
      this.#instances.set(id, { view, report, schemaSent: false, full: false, pending: new Map() });
    } else {
      known.view = { ...known.view, ...told };
      known.report = report;
    }
    this.#dispatch();
  }

  /** S7 */
  #onHeld({ instance: id, requests }: Held): void {
    const instance = this.#instances.get(id as InstanceId);
    if (instance === undefined) return;
    const held = new Set(requests);
    const before = this.options.ports.clock.monotonicMs() - limits.requestLostMs;
    const lost = [...instance.pending.values()].filter(
      ({ sentMs, id: request }) => sentMs < before && !held.has(request),
    );
    for (const request of lost) this.#take(instance, request.id);
    this.#queue.unshift(...lost);
    if (lost.length > 0) {
      instance.schemaSent = false; // it may have been in what was lost
      this.options.ports.log.warn("requests were lost and are sent again", { instance: id, requests: lost.length });
      this.#dispatch();
    }
  }

  /** The instance is gone: what it had on board goes to another, oldest first (S4, S5). */
  #lose(lost: KnownInstance, report: LoadReport): void {
    this.#instances.delete(lost.view.instance);
    const again: Pending[] = [];
    for (const request of lost.pending.values()) {
      // One that was told to stop has not crashed.
      if (report.state === "FAILED") request.crashes++;
      if (request.crashes < limits.inferCrashesMax) again.push(request);
      else {
        request.reject(
          new MillraceError(
            "MILL_SERVICE_LOST",
            `service "${this.service.id}": this request was on board of ${request.crashes} instances that were lost; the last one: ${report.reason}`,
            { service: this.service.id, crashes: request.crashes },
          ),
        );
      }
    }
    this.#queue.unshift(...again);
    this.#dispatch();
  }
}

/** It was on board of an instance that crashed, and may be why. */
function isSuspect(request: Pending): boolean {
  return request.crashes > 0;
}

function holdsSuspect(instance: KnownInstance): boolean {
  for (const request of instance.pending.values()) if (isSuspect(request)) return true;
  return false;
}
