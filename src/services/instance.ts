/**
 * One instance of a service: an actor that loads a handler, warms it, and answers requests.
 *
 * Invariants:
 *   N1  No request is taken before load and warmup succeeded (DESIGN guarantee 5).
 *   N2  Every request that arrives is answered once: OK, FAILED, REJECTED (queue full) or RETURNED (draining).
 *   N3  Calls of the handler do not overlap; what makes the next call is decided by `batching.ts`.
 *   N4  The queue is bounded in rows and bytes; above it requests are refused and the client keeps them.
 *   N5  A draining instance takes nothing new, gives back what is queued, finishes what runs, then stops.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { LoadedHandler, Service } from "../topology/service.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import {
  type AnswerHeader,
  answerFrame,
  type LoadReport,
  loadReportFrame,
  type RejectedRow,
  requestFrame,
} from "../wire/frames.js";
import type { InstanceState } from "./balance.js";
import { nextCall } from "./batching.js";

export interface InstanceOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly instance: InstanceId;
  readonly service: Service;
  /** Local path of each asset of the handler, content checked. */
  asset(name: string): string;
  /** Yields to incoming messages after a call that blocked this thread. */
  yieldToMessages(): Promise<void>;
}

interface QueuedRequest {
  readonly id: string;
  readonly client: string;
  readonly rows: number;
  readonly bucket: string;
  readonly bytes: number;
  readonly arrivedMs: number;
  readonly records: RecordBatch;
}

type RowOutcome = { readonly records: RecordBatch; readonly rejected: AnswerHeader["rejectedRows"] };

/** Weight of the newest call in the smoothed time per row. */
const SMOOTHING = 0.2;

export class Instance {
  #state: InstanceState = "PROVISIONING";
  #reason = "";
  #code = "";
  #reports = 0n;
  #rowMs = 0;
  #queue: QueuedRequest[] = [];
  #queuedBytes = 0;
  #runningRows = 0;
  #working: Promise<void> | undefined;
  #heartbeat: Timer | undefined;
  #subscription: Subscription | undefined;
  #handler: LoadedHandler<Columns, Columns> | undefined;
  #stop = new AbortController();
  #subjects: JobSubjects;
  #inputSchema: Schema;
  #outputSchema: Uint8Array;
  #outputSchemaId: Uint8Array;
  #schemaSentTo = new Set<string>();

  constructor(private readonly options: InstanceOptions) {
    const { service } = options;
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#inputSchema = arrowSchema(service.input);
    this.#outputSchema = encodeSchema(arrowSchema(service.output));
    this.#outputSchemaId = schemaId(this.#outputSchema);
  }

  get state(): InstanceState {
    return this.#state;
  }

  /**
   * Loads, warms, then serves until `drain`.
   * @throws {MillraceError} what the handler threw while loading or warming; the instance is FAILED and has reported it
   */
  async start(): Promise<void> {
    const { service, instance, bus } = this.options;
    try {
      this.#enter("LOADING");
      this.#handler = await service.handler.load({
        service: service.id,
        instance,
        asset: (name) => this.options.asset(name),
        signal: this.#stop.signal,
      });
      this.#enter("WARMING");
      await this.#handler.warm?.();
    } catch (cause) {
      const error = MillraceError.from(cause, "MILL_SERVICE_FAILED", `service "${service.id}"`);
      this.#code = error.code;
      this.#reason = error.message;
      this.#enter("FAILED");
      await bus.flush();
      throw error;
    }
    this.#subscription = await bus.subscribe(this.#subjects.instanceRequest(service.id, instance), (message) => {
      this.#take(message.payload);
    });
    this.#enter("READY");
    this.#beat();
  }

  /** N5. Resolves when the instance has stopped. */
  async drain(): Promise<void> {
    if (this.#state === "STOPPED" || this.#state === "FAILED") return;
    this.#enter("DRAINING");
    for (const request of this.#queue.splice(0)) this.#refuse(request, "RETURNED", "the instance is draining");
    this.#queuedBytes = 0;
    await this.#working;
    await this.#handler?.unload?.();
    this.#heartbeat?.cancel();
    // Requests that were under way when DRAINING was told are still returned above; from here on nobody listens.
    await this.options.bus.flush();
    this.#subscription?.unsubscribe();
    this.#stop.abort(new MillraceError("MILL_SERVICE_LOST", "the instance was stopped"));
    this.#enter("STOPPED");
    await this.options.bus.flush();
  }

  #take(bytes: Uint8Array): void {
    const { header, payload } = requestFrame.decode(bytes);
    const request: QueuedRequest = {
      id: header.id,
      client: header.client,
      rows: header.rows,
      bucket: header.bucket,
      bytes: bytes.length,
      arrivedMs: this.options.ports.clock.monotonicMs(),
      records: decodeBatch(this.#inputSchema, payload),
    };
    if (this.#state !== "READY") {
      this.#refuse(request, "RETURNED", `the instance is ${this.#state}`);
      return;
    }
    const rows = this.#queuedRows() + request.rows;
    const full = rows > limits.instanceQueueRowsMax || this.#queuedBytes + request.bytes > limits.instanceQueueBytesMax;
    if (full && this.#queue.length > 0) {
      this.#refuse(request, "REJECTED", "the instance's queue is full");
      return;
    }
    this.#queue.push(request);
    this.#queuedBytes += request.bytes;
    this.#working ??= this.#work();
  }

  async #work(): Promise<void> {
    const { clock } = this.options.ports;
    try {
      for (;;) {
        await this.options.yieldToMessages();
        const decision = nextCall(this.#queue, this.options.service.batch, clock.monotonicMs());
        if (decision.kind === "idle") return;
        if (decision.kind === "wait") {
          await clock.sleep(Math.max(decision.untilMs - clock.monotonicMs(), 0));
          continue;
        }
        const taken = new Set(decision.take);
        const requests = this.#queue.filter((_, i) => taken.has(i));
        this.#queue = this.#queue.filter((_, i) => !taken.has(i));
        for (const request of requests) this.#queuedBytes -= request.bytes;
        await this.#call(requests);
      }
    } finally {
      this.#working = undefined;
      // A request may have come between the last look and here.
      if (this.#queue.length > 0) this.#working = this.#work();
    }
  }

  async #call(requests: readonly QueuedRequest[]): Promise<void> {
    const { clock } = this.options.ports;
    const rows = requests.reduce((sum, request) => sum + request.rows, 0);
    this.#runningRows = rows;
    const startMs = clock.monotonicMs();
    let outcome: RowOutcome | MillraceError;
    try {
      outcome = await this.#infer(concatBatches(requests.map((request) => request.records)));
    } catch (cause) {
      outcome = MillraceError.from(cause, "MILL_SERVICE_FAILED");
    }
    const perRow = (clock.monotonicMs() - startMs) / rows;
    this.#rowMs = this.#rowMs === 0 ? perRow : this.#rowMs + SMOOTHING * (perRow - this.#rowMs);
    this.#runningRows = 0;
    let at = 0;
    for (const request of requests) {
      if (MillraceError.is(outcome)) this.#fail(request, outcome);
      else this.#answer(request, outcome, at);
      at += request.rows;
    }
  }

  async #infer(batch: RecordBatch): Promise<RowOutcome> {
    const rejected: RejectedRow[] = [];
    const records = await this.#handler!.infer(batch, {
      signal: this.#stop.signal,
      reject(row, cause) {
        const error = MillraceError.from(cause, "MILL_RECORD_INVALID");
        rejected.push({ row, code: error.code, message: error.message });
      },
    });
    if (records.numRows !== batch.numRows) {
      throw new MillraceError(
        "MILL_SERVICE_FAILED",
        `the handler was given ${batch.numRows} rows and answered with ${records.numRows}; it must answer each row in its place.`,
      );
    }
    return { records, rejected };
  }

  #answer(request: QueuedRequest, outcome: RowOutcome, at: number): void {
    const end = at + request.rows;
    const records = request.rows === outcome.records.numRows ? outcome.records : outcome.records.slice(at, end);
    const rejectedRows = outcome.rejected
      .filter(({ row }) => row >= at && row < end)
      .map((rejected) => ({ ...rejected, row: rejected.row - at }));
    const schema = this.#schemaSentTo.has(request.client) ? null : this.#outputSchema;
    this.#schemaSentTo.add(request.client);
    this.#reply(request, { status: "OK", code: "", message: "", rejectedRows, schema }, encodeBatch(records));
  }

  #fail(request: QueuedRequest, error: MillraceError): void {
    const refusal = {
      status: "FAILED",
      code: error.code,
      message: error.message,
      rejectedRows: [],
      schema: null,
    } as const;
    this.#reply(request, refusal, []);
  }

  #refuse(request: QueuedRequest, status: "REJECTED" | "RETURNED", message: string): void {
    this.#reply(request, { status, code: "", message, rejectedRows: [], schema: null }, []);
  }

  #reply(
    request: QueuedRequest,
    outcome: Pick<AnswerHeader, "status" | "code" | "message" | "rejectedRows" | "schema">,
    payload: Uint8Array[],
  ): void {
    const frame = answerFrame.encode(
      {
        id: request.id,
        instance: this.options.instance,
        ...outcome,
        rows: payload.length > 0 ? request.rows : 0,
        load: this.#report(),
        schemaId: this.#outputSchemaId,
      },
      payload,
    );
    // The client's window bounds how many answers can be under way.
    void Promise.resolve(this.options.bus.publish(this.#subjects.answer(request.client), frame)).catch((error) => {
      this.options.ports.log.error("an answer could not be sent", { request: request.id, error });
    });
  }

  #enter(state: InstanceState): void {
    this.options.ports.log.info("instance state", { service: this.options.service.id, from: this.#state, to: state });
    this.#state = state;
    this.#publishLoad();
  }

  #beat(): void {
    this.#heartbeat = this.options.ports.clock.after(limits.heartbeatIntervalMs, () => {
      this.#publishLoad();
      this.#beat();
    });
  }

  #publishLoad(): void {
    const subject = this.#subjects.load(this.options.service.id);
    void Promise.resolve(this.options.bus.publish(subject, loadReportFrame.encode(this.#report()))).catch(() => {});
  }

  #report(): LoadReport {
    const { service, instance } = this.options;
    return {
      service: service.id,
      instance,
      sequence: ++this.#reports,
      subject: this.#subjects.instanceRequest(service.id, instance),
      state: this.#state,
      queuedRows: this.#queuedRows(),
      runningRows: this.#runningRows,
      rowMs: this.#rowMs,
      reason: this.#reason,
      code: this.#code,
    };
  }

  #queuedRows(): number {
    return this.#queue.reduce((sum, request) => sum + request.rows, 0);
  }
}
