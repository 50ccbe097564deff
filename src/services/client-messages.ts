/** What a client says to the instances of its service. */
import type { InstanceId, JobId, Namespace } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { jobSubjects } from "../bus/subjects.js";
import type { Service } from "../topology/service.js";
import { arrowSchema } from "../types/columns.js";
import { encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import { askFrame, cancelFrame, releaseFrame, requestFrame } from "../wire/frames.js";
import type { Pending } from "./pending.js";
import { idBytes } from "./row-ids.js";

/** Of one frame; what was passed between several checkpoints may be released at once. */
const RELEASED_ROWS_MAX = 65_536;
const RELEASED_REQUESTS_MAX = 8_192;

export interface ClientMessagesOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly job: JobId;
  readonly attempt: number;
  /** Unique among the clients of the job. */
  readonly client: string;
  readonly service: Service;
}

/** Whom a request goes to. */
interface Receiver {
  readonly id: InstanceId;
  readonly report: { readonly subject: string };
  schemaSent: boolean;
}

export class ClientMessages {
  #everybody: string;
  #inputSchema: Uint8Array;
  #inputSchemaId: Uint8Array;

  constructor(private readonly options: ClientMessagesOptions) {
    const { namespace, job, service } = options;
    this.#everybody = jobSubjects(namespace, job).ask(service.id);
    this.#inputSchema = encodeSchema(arrowSchema(service.input));
    this.#inputSchemaId = schemaId(this.#inputSchema);
  }

  /** @returns a promise where the bus has no room */
  request(request: Pending, instance: Receiver): Promise<void> | undefined {
    const { bus, client, service, attempt } = this.options;
    const { id, bucket, crashes, rows } = request;
    const frame = requestFrame.encode(
      {
        id,
        crashes,
        rows,
        client,
        service: service.id,
        instance: instance.id,
        attempt,
        timeoutMs: timeLeftMs(request),
        // A suspect has a call of its own, too, apart from the requests of other clients.
        bucket: request.suspect ? `${bucket}#${id}` : bucket,
        schemaId: this.#inputSchemaId,
        schema: instance.schemaSent ? null : this.#inputSchema,
        rowIds: idBytes(request.rowIds),
        traceparent: request.span?.traceparent ?? "",
      },
      encodeBatch(request.records),
    );
    instance.schemaSent = true;
    return bus.publish(instance.report.subject, frame) ?? undefined;
  }

  cancel({ report }: Receiver, requests: readonly Pending[]): void {
    if (requests.length === 0) return;
    const header = { client: this.options.client, requests: requests.map(({ id }) => id) };
    this.#say(report.subject, cancelFrame.encode(header));
  }

  ask(rowIds: readonly string[], round: number): void {
    const { client, service } = this.options;
    this.#say(this.#everybody, askFrame.encode({ client, service: service.id, rowIds: idBytes(rowIds), round }));
  }

  release(rowIds: readonly string[]): void {
    const service = this.options.service.id;
    for (let at = 0; at < rowIds.length; at += RELEASED_ROWS_MAX) {
      const ids = idBytes(rowIds.slice(at, at + RELEASED_ROWS_MAX));
      this.#say(this.#everybody, releaseFrame.encode({ service, rowIds: ids, requests: [] }));
    }
  }

  /** All rows of requests that it has answered. */
  releaseRequests({ report }: Receiver, ids: readonly string[]): void {
    const service = this.options.service.id;
    for (let at = 0; at < ids.length; at += RELEASED_REQUESTS_MAX) {
      const requests = ids.slice(at, at + RELEASED_REQUESTS_MAX);
      this.#say(report.subject, releaseFrame.encode({ service, rowIds: new Uint8Array(), requests }));
    }
  }

  /** What is lost here costs time at an instance, and nothing else. */
  #say(subject: string, frame: Uint8Array): void {
    void publishLossy(this.options.bus, this.options.ports.log, subject, frame);
  }
}

/** 0: no limit. */
function timeLeftMs({ deadlineMs, sentMs }: Pending): number {
  return deadlineMs === Number.POSITIVE_INFINITY ? 0 : Math.max(1, Math.ceil(deadlineMs - sentMs));
}
