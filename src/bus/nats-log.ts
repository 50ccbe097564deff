/**
 * A durable log as one JetStream stream: kept by limits, `discard: new` (a full log refuses, it never drops unread
 * entries), in files. Entries do not reach a disk at once: docs/bus.md.
 */
import {
  DeliverPolicy,
  DiscardPolicy,
  type JetStreamClient,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
} from "@nats-io/jetstream";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { DurableLog, LogEntry, LogOptions } from "./bus.js";
import { deferred } from "./deferred.js";
import { closedError } from "./delivery.js";
import { logConflict, logFull, logGone } from "./memory-log.js";
import { isConflict, isFull, storageError } from "./nats-errors.js";

/** What logs and buckets need of their connection. */
export interface JetStream {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly replicas: number;
  /** Aborts when the connection ends. */
  readonly ended: AbortSignal;
  /**
   * Calls of the client that have not come back. A connection that closes under one that sets up a consumer leaves the
   * consumer's timers running for good, so `close` waits for these.
   */
  readonly underWay: Set<Promise<unknown>>;
  payloadBytesMax(): number;
}

/** Bytes that JetStream's own headers may take of `max_payload`. */
const HEADER_BYTES_MAX = 256;

export async function openNatsLog(js: JetStream, name: string, options: LogOptions): Promise<DurableLog> {
  const log = new NatsLog(js, name);
  try {
    await createIfAbsent(js, log, options);
  } catch (error) {
    throw storageError(error, `log ${name}`);
  }
  return log;
}

export async function openExistingNatsLog(js: JetStream, name: string): Promise<DurableLog> {
  const log = new NatsLog(js, name);
  await log.incarnation(); // throws where it is gone
  return log;
}

export async function deleteNatsLog(js: JetStream, name: string): Promise<void> {
  js.ended.throwIfAborted();
  try {
    await whileOpen(js, ifThere(js.manager.streams.delete(`MR_LOG_${name}`)));
  } catch (error) {
    throw storageError(error, `delete log ${name}`);
  }
}

/** Whether there is the stream that the call is about. */
function ifThere(call: Promise<unknown>): Promise<boolean> {
  return call.then(
    () => true,
    (error: unknown) => {
      if (isNotFound(error)) return false;
      throw error;
    },
  );
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && error.message === "stream not found";
}

async function createIfAbsent(js: JetStream, { stream, subject }: NatsLog, options: LogOptions): Promise<void> {
  if (await ifThere(js.manager.streams.info(stream))) return;
  // Two that do this at once with the same options both succeed; with other options the second is refused.
  await js.manager.streams.add({
    name: stream,
    subjects: [subject],
    retention: RetentionPolicy.Limits,
    discard: DiscardPolicy.New,
    storage: StorageType.File,
    max_bytes: options.bytesMax ?? -1,
    num_replicas: js.replicas,
  });
}

class NatsLog implements DurableLog {
  readonly stream: string;
  readonly subject: string;

  constructor(
    private readonly js: JetStream,
    private readonly name: string,
  ) {
    this.stream = `MR_LOG_${name}`;
    this.subject = `mr_log.${name}`;
  }

  async append(payload: Uint8Array, options?: { readonly expectedLast?: bigint }): Promise<bigint> {
    checkFits(this.js, `log ${this.name}`, payload);
    const expected = options?.expectedLast;
    const expect = expected === undefined ? {} : { expect: { lastSequence: Number(expected) } };
    try {
      const timeout = limits.busRequestTimeoutMs;
      const publication = this.js.client.publish(this.subject, payload, { timeout, ...expect });
      return BigInt((await whileOpen(this.js, publication)).seq);
    } catch (error) {
      if (expected !== undefined && isConflict(error)) throw logConflict(this.name, expected, undefined);
      if (isFull(error)) throw logFull(this.name, undefined);
      // Nobody answers where the stream is gone, as nobody does where there is no JetStream.
      if (error instanceof Error && error.name === "JetStreamNotEnabled") await this.state();
      throw this.failure(error, "append to");
    }
  }

  async *read(from: bigint, signal: AbortSignal): AsyncGenerator<LogEntry> {
    if (signal.aborted) return;
    this.js.ended.throwIfAborted();
    const messages = await this.consume(from);
    const stop = () => messages.stop();
    const either = AbortSignal.any([signal, this.js.ended]);
    either.addEventListener("abort", stop, { once: true });
    if (either.aborted) stop();
    try {
      for await (const message of messages) {
        if (signal.aborted) return;
        // The server clamps a start beyond the end to the end.
        if (BigInt(message.seq) >= from) yield { sequence: BigInt(message.seq), payload: message.data };
      }
    } catch (error) {
      if (!signal.aborted) throw this.failure(error, "read");
    } finally {
      either.removeEventListener("abort", stop);
      stop();
    }
    if (signal.aborted) return;
    if (this.js.ended.aborted) throw closedError(`read log ${this.name}`);
    throw new MillraceError("MILL_BUS_UNREACHABLE", `read log ${this.name}: the server ended it. Read it again.`);
  }

  async last(): Promise<bigint> {
    return BigInt((await this.state()).last_seq);
  }

  async first(): Promise<bigint> {
    const state = await this.state();
    return BigInt(state.messages === 0 ? state.last_seq + 1 : state.first_seq);
  }

  async incarnation(): Promise<string> {
    return `${(await this.info()).created}`;
  }

  async purgeBelow(sequence: bigint): Promise<void> {
    try {
      // A purge beyond the end would move the end: the next entry would not be last() + 1.
      const end = (await this.last()) + 1n;
      const seq = Number(sequence < end ? sequence : end);
      if (seq > 1) await this.js.manager.streams.purge(this.stream, { seq });
    } catch (error) {
      throw this.failure(error, "purge");
    }
  }

  private async consume(from: bigint) {
    try {
      const start = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Number(from < 1n ? 1n : from) };
      const consumer = await whileOpen(this.js, this.js.client.consumers.get(this.stream, start));
      return await whileOpen(this.js, consumer.consume({ max_bytes: limits.busPendingBytesMax }), (late) =>
        late.stop(),
      );
    } catch (error) {
      throw this.failure(error, "read");
    }
  }

  private async state() {
    return (await this.info()).state;
  }

  private async info() {
    this.js.ended.throwIfAborted();
    try {
      return await whileOpen(this.js, this.js.manager.streams.info(this.stream));
    } catch (error) {
      throw this.failure(error, "describe");
    }
  }

  private failure(error: unknown, verb: string): MillraceError {
    if (isNotFound(error)) return logGone(this.name, verb, error);
    return storageError(error, `${verb} log ${this.name}`);
  }
}

/**
 * `work`, or `MILL_BUS_CLOSED` as soon as the connection ends: the client lets a call run into its timeout then.
 *
 * @param late takes what `work` still brings after that: an iterator that nobody stops keeps timers alive for good
 */
export async function whileOpen<T>(js: JetStream, work: Promise<T>, late: (value: T) => void = () => {}): Promise<T> {
  const { promise: ended, reject } = deferred<never>();
  const onEnded = () => {
    reject(js.ended.reason);
    work.then(late, () => {});
  };
  js.underWay.add(work);
  work.then(
    () => js.underWay.delete(work),
    () => js.underWay.delete(work),
  );
  if (js.ended.aborted) onEnded();
  js.ended.addEventListener("abort", onEnded, { once: true });
  try {
    return await Promise.race([work, ended]);
  } finally {
    js.ended.removeEventListener("abort", onEnded);
  }
}

/** Logs and buckets are not split: what they hold is read by any client. */
export function checkFits(js: JetStream, what: string, payload: Uint8Array): void {
  js.ended.throwIfAborted();
  const limit = js.payloadBytesMax() - HEADER_BYTES_MAX;
  if (payload.byteLength <= limit) return;
  throw new MillraceError(
    "MILL_FRAME_TOO_LARGE",
    `${payload.byteLength} bytes do not fit into ${what}: the server's max_payload leaves ${limit}. Store an object and write its reference, or raise max_payload.`,
    { what, bytes: payload.byteLength, limit },
  );
}
