/**
 * One instance of a service: an actor that loads a handler, warms it, and answers requests.
 *
 * Invariants:
 *   N1  No request is taken before load and warmup succeeded (guarantee 5).
 *   N2  Every request that arrives is answered once: OK, FAILED, REJECTED (queue full) or RETURNED (draining).
 *   N3  Calls of the handler do not overlap; what makes the next call is decided by `batching.ts`.
 *   N4  The queue is bounded in rows and bytes; above it requests are refused and the client keeps them.
 *   N5  A draining instance takes nothing new, gives back what is queued, finishes what runs, then stops.
 *   N6  A heartbeat names the requests it holds, unless a call kept it from looking at what has arrived. One that comes
 *       again while it is held is dropped.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { type JobSubjects, jobSubjects } from "../bus/subjects.js";
import type { LoadedHandler, Service } from "../topology/service.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import { heldFrame } from "../wire/control.js";
import {
  type AnswerHeader,
  answerFrame,
  type LifeCycle,
  type LoadReport,
  loadReportFrame,
  type RejectedRow,
  requestFrame,
} from "../wire/frames.js";
import { nextCall } from "./batching.js";
import { asDeclared } from "./declared-batch.js";

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

/** Whom an answer goes to. */
interface Sender {
  readonly id: string;
  readonly client: string;
  readonly rows: number;
}

interface QueuedRequest extends Sender {
  readonly bucket: string;
  readonly bytes: number;
  readonly arrivedMs: number;
  readonly records: RecordBatch;
}

type RowOutcome = { readonly records: RecordBatch; readonly rejected: AnswerHeader["rejectedRows"] };

/** Weight of the newest call in the smoothed time per row. */
const SMOOTHING = 0.2;

export class Instance {
  #state: LifeCycle = "PROVISIONING";
  #reason = "";
  #code = "";
  #reports = 0n;
  #rowMs = 0;
  #queue: QueuedRequest[] = [];
  #queuedBytes = 0;
  #running: readonly Sender[] = [];
  #working: Promise<void> | undefined;
  #draining: Promise<void> | undefined;
  /** Ends the wait for more rows before its time. */
  #wake: (() => void) | undefined;
  #heartbeat: Timer | undefined;
  #subscription: Subscription | undefined;
  #handler: LoadedHandler<Columns, Columns> | undefined;
  #stop = new AbortController();
  #subjects: JobSubjects;
  #inputSchema: Schema;
  #declaredOutput: Schema;
  #outputSchema: Uint8Array;
  #outputSchemaId: Uint8Array;
  #schemaSentTo = new Set<string>();

  constructor(private readonly options: InstanceOptions) {
    const { service } = options;
    this.#subjects = jobSubjects(options.namespace, options.job);
    this.#inputSchema = arrowSchema(service.input);
    this.#declaredOutput = arrowSchema(service.output);
    this.#outputSchema = encodeSchema(this.#declaredOutput);
    this.#outputSchemaId = schemaId(this.#outputSchema);
  }

  get state(): LifeCycle {
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
      this.#stop.signal.throwIfAborted();
      this.#enter("WARMING");
      await this.#handler.warm?.();
      this.#stop.signal.throwIfAborted();
    } catch (cause) {
      if (this.#stop.signal.aborted) return; // `drain` has said how it ended
      const error = MillraceError.from(cause, "MILL_SERVICE_FAILED", `service "${service.id}"`);
      this.#code = error.code;
      this.#reason = error.message;
      this.#enter("FAILED");
      await bus.flush().catch(() => {}); // what failed first is what counts
      throw error;
    }
    this.#subscription = await bus.subscribe(this.#subjects.instanceRequest(service.id, instance), (message) => {
      this.#take(message.payload);
    });
    if (this.#stop.signal.aborted) {
      this.#subscription.unsubscribe();
      return;
    }
    this.#enter("READY");
    this.#beat();
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
    this.#enter("DRAINING");
    for (const request of this.#queue.splice(0)) this.#refuse(request, "RETURNED", "the instance is draining");
    this.#queuedBytes = 0;
    this.#wake?.();
    await this.#working;
    try {
      await this.#handler?.unload?.();
    } catch (error) {
      this.options.ports.log.warn("a handler could not be unloaded", { service: this.options.service.id, error });
    }
    this.#heartbeat?.cancel();
    // What arrives up to here is returned. What comes later meets nobody; STOPPED tells its client to send it elsewhere.
    await this.options.bus.flush();
    this.#subscription?.unsubscribe();
    this.#stop.abort(stopped);
    this.#enter("STOPPED");
    await this.options.bus.flush();
  }

  #take(bytes: Uint8Array): void {
    const { header, payload } = requestFrame.decode(bytes);
    const sender = { id: header.id, client: header.client, rows: header.rows };
    if ([...this.#queue, ...this.#running].some(({ id }) => id === sender.id)) return;
    let records: RecordBatch;
    try {
      records = this.#recordsOf(header.rows, payload);
    } catch (cause) {
      this.#fail(sender, MillraceError.from(cause, "MILL_FRAME_INVALID"));
      return;
    }
    const request: QueuedRequest = {
      ...sender,
      bucket: header.bucket,
      bytes: bytes.length,
      arrivedMs: this.options.ports.clock.monotonicMs(),
      records,
    };
    if (this.#state !== "READY") {
      this.#refuse(request, "RETURNED", `the instance is ${this.#state}`);
      return;
    }
    const rows = rowsOf(this.#queue) + request.rows;
    const full = rows > limits.instanceQueueRowsMax || this.#queuedBytes + request.bytes > limits.instanceQueueBytesMax;
    if (full && this.#queue.length > 0) {
      this.#refuse(request, "REJECTED", "the instance's queue is full");
      return;
    }
    this.#queue.push(request);
    this.#queuedBytes += request.bytes;
    this.#wake?.();
    this.#working ??= this.#work();
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

  async #work(): Promise<void> {
    const { clock } = this.options.ports;
    try {
      for (;;) {
        await this.options.yieldToMessages();
        const decision = nextCall(this.#queue, this.options.service.batch, clock.monotonicMs());
        if (decision.kind === "idle") return;
        if (decision.kind === "wait") {
          await this.#moreOrUntil(decision.untilMs);
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

  async #call(requests: readonly QueuedRequest[]): Promise<void> {
    const { clock } = this.options.ports;
    const rows = rowsOf(requests);
    this.#running = requests;
    const startMs = clock.monotonicMs();
    let outcome: RowOutcome | MillraceError;
    try {
      outcome = await this.#infer(concatBatches(requests.map((request) => request.records)));
    } catch (cause) {
      outcome = MillraceError.from(cause, "MILL_SERVICE_FAILED");
    }
    const perRow = (clock.monotonicMs() - startMs) / rows;
    this.#rowMs = this.#rowMs === 0 ? perRow : this.#rowMs + SMOOTHING * (perRow - this.#rowMs);
    this.#running = [];
    let at = 0;
    for (const request of requests) {
      if (MillraceError.is(outcome)) this.#fail(request, outcome);
      else this.#answer(request, outcome, at);
      at += request.rows;
    }
  }

  async #infer(batch: RecordBatch): Promise<RowOutcome> {
    const { id } = this.options.service;
    const rejected = new Map<number, RejectedRow>();
    const answered = await this.#handler!.infer(batch, {
      signal: this.#stop.signal,
      reject(row, cause) {
        if (!Number.isInteger(row) || row < 0 || row >= batch.numRows) {
          throw new MillraceError(
            "MILL_SERVICE_FAILED",
            `the handler refused row ${row} of a call with ${batch.numRows} rows; rows are numbered from 0.`,
          );
        }
        const error = MillraceError.from(cause, "MILL_RECORD_INVALID");
        if (!rejected.has(row)) rejected.set(row, { row, code: error.code, message: error.message });
      },
    });
    const records = asDeclared(`the handler of service "${id}"`, this.#declaredOutput, answered);
    if (records.numRows !== batch.numRows) {
      throw new MillraceError(
        "MILL_SERVICE_FAILED",
        `the handler was given ${batch.numRows} rows and answered with ${records.numRows}; it must answer each row in its place.`,
      );
    }
    return { records, rejected: [...rejected.values()] };
  }

  #answer(request: QueuedRequest, outcome: RowOutcome, at: number): void {
    const end = at + request.rows;
    const records = request.rows === outcome.records.numRows ? outcome.records : outcome.records.slice(at, end);
    const rejectedRows = outcome.rejected
      .filter(({ row }) => row >= at && row < end)
      .map((rejected) => ({ ...rejected, row: rejected.row - at }));
    const schema = this.#schemaSentTo.has(request.client) ? null : this.#outputSchema;
    try {
      this.#reply(request, { status: "OK", code: "", message: "", rejectedRows, schema }, encodeBatch(records));
      this.#schemaSentTo.add(request.client);
    } catch (cause) {
      this.#fail(request, MillraceError.from(cause, "MILL_SERVICE_FAILED", "its answer cannot be sent"));
    }
  }

  #fail(request: Sender, error: MillraceError): void {
    const refusal = {
      status: "FAILED",
      code: error.code,
      message: error.message,
      rejectedRows: [],
      schema: null,
    } as const;
    this.#reply(request, refusal, []);
  }

  #refuse(request: Sender, status: "REJECTED" | "RETURNED", message: string): void {
    this.#reply(request, { status, code: "", message, rejectedRows: [], schema: null }, []);
  }

  #reply(
    request: Sender,
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
    this.#publish(this.#subjects.answer(request.client), frame);
  }

  /** A client asks again for what is lost here. */
  #publish(subject: string, frame: Uint8Array): void {
    const { bus, ports } = this.options;
    void publishLossy(bus, ports.log, subject, frame);
  }

  #enter(state: LifeCycle): void {
    this.options.ports.log.info("instance state", { service: this.options.service.id, from: this.#state, to: state });
    this.#state = state;
    this.#publishLoad();
  }

  #beat(): void {
    const { clock } = this.options.ports;
    const dueMs = clock.monotonicMs() + limits.heartbeatIntervalMs;
    this.#heartbeat = clock.after(limits.heartbeatIntervalMs, () => {
      this.#publishLoad();
      if (clock.monotonicMs() - dueMs <= limits.heartbeatLateMs) this.#publishHeld();
      this.#beat();
    });
  }

  /** N6 */
  #publishHeld(): void {
    const { service, instance } = this.options;
    const requests = [...this.#queue, ...this.#running].map(({ id }) => id);
    this.#publish(this.#subjects.held(service.id), heldFrame.encode({ service: service.id, instance, requests }));
  }

  #publishLoad(): void {
    const subject = this.#subjects.load(this.options.service.id);
    this.#publish(subject, loadReportFrame.encode(this.#report()));
  }

  #report(): LoadReport {
    const { service, instance } = this.options;
    return {
      service: service.id,
      instance,
      sequence: ++this.#reports,
      subject: this.#subjects.instanceRequest(service.id, instance),
      state: this.#state,
      queuedRows: rowsOf(this.#queue),
      runningRows: rowsOf(this.#running),
      rowMs: this.#rowMs,
      reason: this.#reason,
      code: this.#code,
    };
  }
}

function rowsOf(requests: readonly Sender[]): number {
  return requests.reduce((sum, request) => sum + request.rows, 0);
}
