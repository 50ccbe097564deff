/** An instance of a doubling service on a memory bus, by a clock that the test moves. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import type { InstanceId, JobId, Namespace } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { Instance } from "../../../src/services/instance.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import {
  type Batching,
  type CallContext,
  type LoadedHandler,
  type Service,
  type ServiceSpec,
  service,
} from "../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../../../src/wire/arrow.js";
import { heldFrame } from "../../../src/wire/control.js";
import {
  type AnswerHeader,
  answerFrame,
  askFrame,
  cancelFrame,
  frameKind,
  holdingFrame,
  type LoadReport,
  loadReportFrame,
  releaseFrame,
  requestFrame,
} from "../../../src/wire/frames.js";
import { noContent, within } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";

export const namespace = "test" as Namespace;
export const job = "job" as JobId;
export const subjects = jobSubjects(namespace, job);
export const input = { n: t.int32 };
export const output = { doubled: t.int32 };

export const numbers = (...values: number[]) =>
  batchFromRows(
    input,
    values.map((n) => ({ n })),
  ) as unknown as RecordBatch;
export const valuesOf = (batch: RecordBatch) => (rowsOf(input, batch as never) as { n: number }[]).map(({ n }) => n);
export const doubles = (batch: RecordBatch) =>
  batchFromRows(
    output,
    valuesOf(batch).map((n) => ({ doubled: 2 * n })),
  ) as unknown as RecordBatch;

export type Infer = (batch: RecordBatch, context: CallContext) => Promise<RecordBatch>;

export interface Told {
  readonly header: AnswerHeader;
  readonly doubled: number[];
}

export interface Parts {
  readonly load?: () => Promise<void>;
  readonly warm?: () => Promise<void>;
  readonly infer?: Infer;
  readonly unload?: () => Promise<void>;
  readonly batch?: Batching;
  /** Where answers that took long are kept. */
  readonly store?: ObjectStore;
  readonly spec?: Partial<Omit<ServiceSpec<typeof input, typeof output>, "input" | "output" | "handler" | "batch">>;
}

/** 16 bytes for each letter. */
export const rowIds = (letters: string) =>
  Buffer.from([...letters].map((letter) => letter.repeat(16)).join(""), "latin1");

/** An instance on a bus of its own whose time the test moves, and a client that writes down what it is told. */
export class Bench {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly instance: Instance;
  readonly service: Service;
  /** Values of each call of the handler, in order. */
  readonly calls: number[][] = [];
  readonly answers: Told[] = [];
  readonly reports: LoadReport[] = [];
  /** Requests that each heartbeat named. */
  readonly held: (readonly string[])[] = [];
  readonly events: string[] = [];
  readonly hung: string[] = [];
  readonly holding: string[] = [];
  #next = 0;

  constructor(parts: Parts = {}) {
    const infer = parts.infer ?? (async (batch) => doubles(batch));
    const loaded: LoadedHandler<typeof input, typeof output> = {
      warm: async () => {
        this.events.push("warm");
        await parts.warm?.();
        this.events.push("warmed");
      },
      infer: async (batch, context) => {
        this.calls.push(valuesOf(batch as unknown as RecordBatch));
        return (await infer(batch as unknown as RecordBatch, context)) as never;
      },
      unload: async () => {
        this.events.push("unload");
        await parts.unload?.();
      },
    };
    const load = async () => {
      this.events.push("load");
      await parts.load?.();
      this.events.push("loaded");
      return loaded;
    };
    this.service = service("double", {
      input,
      output,
      handler: { kind: "test", assets: {}, load },
      ...parts.spec,
      ...(parts.batch === undefined ? {} : { batch: parts.batch }),
    }) as unknown as Service;
    this.instance = new Instance({
      bus: this.bus,
      ports: this.ports,
      namespace,
      job,
      instance: "double-0" as InstanceId,
      service: this.service,
      content: noContent,
      asset: (name) => name,
      yieldToMessages: () => new Promise((resolve) => setImmediate(resolve)),
      env: () => undefined,
      ...(parts.store && { openStore: async () => parts.store! }),
      onHung: (error) => void this.hung.push(error.message),
    });
  }

  async listen(): Promise<this> {
    await this.bus.subscribe(subjects.load(this.service.id), ({ payload }) => {
      this.reports.push(loadReportFrame.decode(payload).header);
    });
    await this.bus.subscribe(subjects.held(this.service.id), ({ payload }) => {
      const { service: of, instance, requests } = heldFrame.decode(payload).header;
      assert.deepEqual([of, instance], [this.service.id, "double-0"]);
      this.held.push(requests);
    });
    for (const client of ["client-1", "client-2"]) {
      await this.bus.subscribe(subjects.answer(client), ({ payload }) => {
        if (frameKind(payload) === "holding") {
          const held = Buffer.from(holdingFrame.decode(payload).header.rowIds).toString("latin1");
          this.holding.push(...[...held].filter((_, i) => i % 16 === 0));
          return;
        }
        const { header, payload: body } = answerFrame.decode(payload);
        const rows = header.status === "OK" ? decodeBatch(arrowSchema(output), body) : undefined;
        const doubled = rows === undefined ? [] : (rowsOf(output, rows as never) as { doubled: number }[]);
        this.answers.push({ header, doubled: doubled.map((row) => row.doubled) });
      });
    }
    return this;
  }

  async ready(): Promise<this> {
    await this.listen();
    await within("the instance to be READY", this.instance.start());
    await this.clock.settle();
    return this;
  }

  /** Sends a request without waiting for anything. @returns its id */
  send(
    values: number[],
    about: {
      bucket?: string;
      client?: string;
      says?: number;
      payload?: Uint8Array[];
      schema?: Uint8Array;
      id?: string;
      timeoutMs?: number;
      /** One letter for each row. */
      rowIds?: string;
    } = {},
  ) {
    const id = about.id ?? `r${this.#next++}`;
    const schema = about.schema ?? encodeSchema(arrowSchema(input));
    const client = about.client ?? "client-1";
    const frame = requestFrame.encode(
      {
        id,
        client,
        service: this.service.id,
        instance: "double-0",
        attempt: 1,
        timeoutMs: about.timeoutMs ?? 0,
        crashes: 0,
        bucket: about.bucket ?? "",
        rows: about.says ?? values.length,
        schemaId: schemaId(schema),
        schema,
        rowIds: rowIds(about.rowIds ?? ""),
      },
      about.payload ?? encodeBatch(numbers(...values)),
    );
    void this.bus.publish(subjects.instanceRequest(this.service.id, "double-0" as InstanceId), frame);
    return id;
  }

  cancel(...requests: string[]): void {
    const frame = cancelFrame.encode({ client: "client-1", requests });
    void this.bus.publish(subjects.instanceRequest(this.service.id, "double-0" as InstanceId), frame);
  }

  /** Ids, as letters, of the rows that the instance says it holds. */
  async ask(letters: string): Promise<string> {
    this.holding.splice(0);
    const header = { client: "client-2", service: this.service.id, rowIds: rowIds(letters), round: 1 };
    void this.bus.publish(subjects.ask(this.service.id), askFrame.encode(header));
    await this.clock.settle();
    return this.holding.join("");
  }

  async release(letters: string, requests: readonly string[] = []): Promise<void> {
    const header = { service: this.service.id, rowIds: rowIds(letters), requests };
    void this.bus.publish(subjects.ask(this.service.id), releaseFrame.encode(header));
    await this.clock.settle();
  }

  answer(id: string): Told {
    const found = this.answers.filter((one) => one.header.id === id);
    assert.equal(found.length, 1, `answers to ${id}: ${found.map((one) => one.header.status)}`);
    return found[0]!;
  }

  get states(): string[] {
    const said = this.reports.map((report) => report.state);
    return said.filter((state, i) => state !== said[i - 1]);
  }
}
