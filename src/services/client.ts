/**
 * A host's door to one service: takes requests from `infer` operators, sends each to an instance, matches answers.
 *
 * Invariants:
 *   S1  A request has one owner at a time: this client's queue, or one instance. Nothing else sends it again.
 *   S2  Every `call` ends: with an answer, or with an error that names the service.
 *   S3  Only instances that reported READY are sent requests (DESIGN guarantee 5).
 *   S4  Outstanding rows of an instance go down on every way a request can leave it: answered, returned, lost.
 *   S5  A request that was on board of `limits.inferCrashesMax` lost instances is refused, not sent again.
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
import { answerFrame, type LoadReport, loadReportFrame, requestFrame } from "../wire/frames.js";
import { chooseInstance, type InstanceView } from "./balance.js";

export interface Answer {
  /** As many rows as were sent; the places of rejected rows hold anything. */
  readonly records: RecordBatch;
  readonly rejected: readonly { readonly row: number; readonly code: string; readonly message: string }[];
}

interface Pending {
  readonly id: string;
  readonly records: RecordBatch;
  readonly rows: number;
  readonly bucket: string;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: MillraceError) => void;
  crashes: number;
}

interface KnownInstance {
  view: InstanceView;
  report: LoadReport;
  heardMs: number;
  schemaSent: boolean;
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
  #queue: Pending[] = [];
  #subscriptions: Subscription[] = [];
  #subjects: JobSubjects;
  #inputSchema: Uint8Array;
  #inputSchemaId: Uint8Array;
  #outputSchema: Schema;
  #sent = 0;
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
        this.#onReport(loadReportFrame.decode(message.payload).header);
      }),
    ]);
  }

  /**
   * Runs the service on the rows of `records`, whose columns are the service's input.
   * @param bucket rows of different calls meet in one batch of an instance only where this is equal
   * @throws {MillraceError} `MILL_SERVICE_FAILED` when the handler failed on these rows; `MILL_SERVICE_LOST` (S5)
   */
  call(records: RecordBatch, bucket: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#error !== undefined) return reject(this.#error);
      const id = `${this.options.client}-${++this.#sent}`;
      this.#queue.push({ id, records, rows: records.numRows, bucket, resolve, reject, crashes: 0 });
      this.#dispatch();
    });
  }

  /** Ends every call with the error, now and from now on. */
  fail(error: MillraceError): void {
    this.#error ??= error;
    for (const request of this.#queue.splice(0)) request.reject(error);
    for (const instance of this.#instances.values()) {
      for (const request of instance.pending.values()) request.reject(error);
      instance.pending.clear();
    }
  }

  close(): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.fail(new MillraceError("MILL_SERVICE_LOST", `service "${this.service.id}": its client was closed.`));
  }

  #dispatch(): void {
    // Two calls' worth for each instance: one runs, one waits, and the rest stays here for whoever is free first.
    const outstandingMax = 2 * this.service.batch.rowsMax;
    while (this.#queue.length > 0) {
      const chosen = chooseInstance(
        [...this.#instances.values()].map((instance) => instance.view),
        outstandingMax,
      );
      if (chosen === undefined) return;
      this.#send(this.#queue.shift()!, this.#instances.get(chosen.instance)!);
    }
  }

  #send(request: Pending, instance: KnownInstance): void {
    instance.pending.set(request.id, request);
    this.#count(instance, request.rows);
    instance.view = { ...instance.view, lastSent: ++this.#sent };
    const frame = requestFrame.encode(
      {
        id: request.id,
        client: this.options.client,
        service: this.service.id,
        instance: instance.view.instance,
        attempt: this.options.attempt,
        timeoutMs: 0,
        crashes: request.crashes,
        bucket: request.bucket,
        rows: request.rows,
        schemaId: this.#inputSchemaId,
        schema: instance.schemaSent ? null : this.#inputSchema,
      },
      encodeBatch(request.records),
    );
    instance.schemaSent = true;
    // The window of the `infer` operators bounds what is under way, so the bus's own bound is not waited for here.
    void Promise.resolve(this.options.bus.publish(instance.report.subject, frame)).catch((cause: unknown) => {
      if (instance.pending.delete(request.id)) request.reject(MillraceError.from(cause, "MILL_SERVICE_LOST"));
    });
  }

  #count(instance: KnownInstance, rows: number): void {
    instance.view = { ...instance.view, outstandingRows: instance.view.outstandingRows + rows };
  }

  #onAnswer(message: BusMessage): void {
    const { header, payload } = answerFrame.decode(message.payload);
    const instance = this.#instances.get(header.instance as InstanceId);
    const request = instance?.pending.get(header.id);
    this.#onReport(header.load);
    if (instance === undefined || request === undefined) return; // answered before, or given to another since
    instance.pending.delete(header.id);
    this.#count(instance, -request.rows);
    if (header.status === "OK") {
      request.resolve({ records: decodeBatch(this.#outputSchema, payload), rejected: header.rejectedRows });
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

  #onReport(report: LoadReport): void {
    const id = report.instance as InstanceId;
    const known = this.#instances.get(id);
    if (known !== undefined && report.sequence <= known.report.sequence) return;
    const heardMs = this.options.ports.clock.monotonicMs();
    if (report.state === "STOPPED" || report.state === "FAILED") {
      if (known !== undefined) this.#lose(known, report);
      return;
    }
    const told = { state: report.state, reportedRows: report.queuedRows + report.runningRows, rowMs: report.rowMs };
    if (known === undefined) {
      const view = { instance: id, outstandingRows: 0, lastSent: 0, ...told };
      this.#instances.set(id, { view, report, heardMs, schemaSent: false, pending: new Map() });
    } else {
      known.view = { ...known.view, ...told };
      known.report = report;
      known.heardMs = heardMs;
    }
    this.#dispatch();
  }

  /** The instance is gone: what it had on board goes to another, oldest first (S4, S5). */
  #lose(lost: KnownInstance, report: LoadReport): void {
    this.#instances.delete(lost.view.instance);
    const again: Pending[] = [];
    for (const request of lost.pending.values()) {
      request.crashes++;
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
