/** Instances that only say what a test tells them to, and a client of theirs, on a bus in memory whose time the test moves. */
import type { RecordBatch } from "apache-arrow";
import type { InstanceId, JobId, Namespace, ServiceId } from "../../../src/base/ids.js";
import type { Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { ServiceClient, type ServiceClientOptions } from "../../../src/services/client.js";
import { goneReport } from "../../../src/services/gone-report.js";
import { type Service, type ServiceSpec, service } from "../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../../../src/wire/arrow.js";
import { heldFrame } from "../../../src/wire/control.js";
import {
  type AnswerStatus,
  answerFrame,
  cancelFrame,
  frameKind,
  type LifeCycle,
  type LoadReport,
  loadReportFrame,
  type RequestHeader,
  releaseFrame,
  requestFrame,
} from "../../../src/wire/frames.js";
import { type FakeClock, fakePorts } from "../coordinator/fake-ports.js";

export const namespace = "test" as Namespace;
export const job = "job" as JobId;
export const input = { n: t.int32 };
export const output = { doubled: t.int32 };
export const subjects = jobSubjects(namespace, job);
export const ROWS_MAX = 2;
/** Who calls. */
export const owner = {};
/** Rows that a client has at one instance at most (balance.ts, L2). */
export const SHARE = 2 * ROWS_MAX;

export const batch = (...values: number[]) =>
  batchFromRows(
    input,
    values.map((n) => ({ n })),
  ) as unknown as RecordBatch;

interface AnswerParts {
  readonly code?: string;
  readonly state?: LifeCycle;
  readonly payload?: Uint8Array;
  readonly rejected?: readonly number[];
  readonly retryAfterMs?: number;
}

/** An instance that only says what the test tells it to. */
export class FakeInstance {
  readonly requests: { readonly header: RequestHeader; readonly values: number[] }[] = [];
  #sequence = 0n;

  constructor(
    readonly bus: Bus,
    private readonly clock: FakeClock,
    readonly name: string,
    private readonly service = "double" as ServiceId,
  ) {}

  async open(): Promise<this> {
    const subject = subjects.instanceRequest(this.service, this.name as InstanceId);
    await this.bus.subscribe(subject, (message) => {
      if (frameKind(message.payload) === "cancel") {
        this.cancelled.push(...cancelFrame.decode(message.payload).header.requests);
        return;
      }
      if (frameKind(message.payload) === "release") {
        this.released.push(releaseFrame.decode(message.payload).header.requests);
        return;
      }
      const { header, payload } = requestFrame.decode(message.payload);
      const records = batchOf(payload);
      this.requests.push({ header, values: records });
    });
    return this;
  }

  load(state: LifeCycle, about: Partial<LoadReport> = {}): LoadReport {
    return {
      service: this.service,
      instance: this.name,
      sequence: ++this.#sequence,
      subject: subjects.instanceRequest(this.service, this.name as InstanceId),
      state,
      queuedRows: 0,
      runningRows: 0,
      rowMs: 0,
      enteredMs: 0n,
      reason: "",
      code: "",
      ...about,
    };
  }

  /** Requests that it was told of by name, in each message. */
  readonly released: (readonly string[])[] = [];

  /** Whom this client told to stop waiting. */
  readonly cancelled: string[] = [];

  async says(state: LifeCycle, about: Partial<LoadReport> = {}): Promise<void> {
    await this.bus.publish(subjects.load(this.service), loadReportFrame.encode(this.load(state, about)));
    await this.clock.settle();
  }

  /** Answers the oldest request it has. */
  async answers(status: AnswerStatus = "OK", about: AnswerParts = {}) {
    const { header, values } = this.requests.shift()!;
    const schema = encodeSchema(arrowSchema(output));
    const made = batchFromRows(
      output,
      values.map((n) => ({ doubled: 2 * n })),
    );
    const frame = answerFrame.encode(
      {
        id: header.id,
        instance: this.name,
        status,
        code: about.code ?? "",
        message: status === "FAILED" ? "it broke" : "",
        rejectedRows: (about.rejected ?? []).map((row) => ({ row, code: "MILL_RECORD_INVALID", message: "no" })),
        rows: values.length,
        retryAfterMs: about.retryAfterMs ?? 0,
        load: this.load(about.state ?? "READY"),
        schemaId: schemaId(schema),
        schema,
      },
      about.payload ?? (status === "OK" ? encodeBatch(made as unknown as RecordBatch) : []),
    );
    await this.bus.publish(subjects.answer(header.client), frame);
    await this.clock.settle();
  }

  /** A heartbeat that names these requests. */
  async holds(...requests: string[]): Promise<void> {
    const held = heldFrame.encode({ service: this.service, instance: this.name, requests });
    await this.bus.publish(subjects.held(this.service), held);
    await this.clock.settle();
  }

  async crashes(state: "FAILED" | "STOPPED" = "FAILED", code = "MILL_SERVICE_LOST"): Promise<void> {
    this.requests.length = 0;
    const gone = { service: this.service, instance: this.name, state, code, reason: "killed" };
    const { subject, frame } = goneReport(namespace, job, gone);
    await this.bus.publish(subject, frame);
    await this.clock.settle();
  }
}

export function batchOf(payload: Uint8Array): number[] {
  const read = decodeBatch(arrowSchema(input), payload);
  return (rowsOf(input, read as never) as { n: number }[]).map((row) => row.n);
}

type Spec = Partial<ServiceSpec<typeof input, typeof output>>;

export const declare = (name: string, spec: Spec = {}) =>
  service(name, {
    input,
    output,
    handler: { kind: "none", assets: {}, load: () => Promise.reject(new Error("never loaded")) },
    batch: { rowsMax: ROWS_MAX },
    ...spec,
  }) as unknown as Service;

export async function setUp(
  wrap: (bus: Bus) => Bus = (bus) => bus,
  spec: Spec = {},
  about: Pick<ServiceClientOptions, "fallback" | "saved"> = {},
) {
  const ports = fakePorts();
  const { clock } = ports;
  const bus = new MemoryBus(ports);
  const client = new ServiceClient({
    bus: wrap(bus),
    ports,
    namespace,
    job,
    attempt: 1,
    client: "client-1",
    service: declare("double", spec),
    ...about,
  });
  await client.open();
  const instance = (name: string) => new FakeInstance(bus, clock, name).open();
  return { bus, ports, client, clock, instance };
}

export const doubled = (answer: { records: RecordBatch }) =>
  (rowsOf(output, answer.records as never) as { doubled: number }[]).map((row) => row.doubled);
