/**
 * A bus carried over one duplex byte stream to the parent process, which attaches it to its own bus (`link-server.ts`).
 * For the inference processes that the embedded runtime forks: no server, and nothing but the kernel's copies of a
 * payload plus one. It has no log and no bucket: an instance needs neither.
 */
import type { Duplex } from "node:stream";
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bucket, Bus, BusMessage, DurableLog, RequestOptions, SubscribeOptions, Subscription } from "./bus.js";
import { type Deferred, deferred } from "./deferred.js";
import { closedError, deliver, type Handler } from "./delivery.js";
import { LinkEnd } from "./link-end.js";
import { type LinkFrame, LinkKind } from "./link-frames.js";
import { type OpenRequest, OpenRequests } from "./requests.js";
import { checkName, checkPattern, checkPayload, checkSubject } from "./syntax.js";

export { serveLink } from "./link-server.js";

export interface LinkOptions {
  /** Called once when the stream has ended and `close` was not called: the parent has died or let go. */
  readonly onClose?: (error: Error | undefined) => void;
}

/** The bus of the process at the other end of `stream`, which must call `serveLink`. */
export function connectLink(stream: Duplex, ports: Ports, options: LinkOptions = {}): Bus {
  return new LinkBus(stream, ports, options);
}

class LinkBus implements Bus {
  private readonly end: LinkEnd;
  private readonly requests: OpenRequests;
  private readonly handlers = new Map<number, Handler>();
  private readonly answers = new Map<number, OpenRequest>();
  private readonly calls = new Map<number, Deferred<void>>();
  private nextId = 1;
  private ended = false;
  private closing: Promise<void> | undefined;

  constructor(
    stream: Duplex,
    private readonly ports: Ports,
    options: LinkOptions,
  ) {
    this.requests = new OpenRequests(ports.clock);
    this.end = new LinkEnd(stream, {
      onFrame: (frame) => this.receive(frame),
      onEnd: (error) => {
        this.finish();
        if (this.closing === undefined) options.onClose?.(error);
      },
    });
  }

  publish(subject: string, payload: Uint8Array, options?: { readonly replyTo?: string }): void | Promise<void> {
    this.checkOpen(`publish to ${subject}`);
    checkSubject(subject);
    if (options?.replyTo !== undefined) checkSubject(options.replyTo);
    checkPayload(subject, payload);
    this.end.send({ kind: LinkKind.publish, subject, extra: options?.replyTo ?? "", payload });
    return this.end.pending.whenRoom();
  }

  async subscribe(subject: string, handler: Handler, options?: SubscribeOptions): Promise<Subscription> {
    this.checkOpen(`subscribe to ${subject}`);
    checkPattern(subject);
    if (options?.queue !== undefined) checkName("queue group", options.queue);
    const id = this.id();
    this.handlers.set(id, handler);
    try {
      await this.call({ kind: LinkKind.subscribe, id, subject, extra: options?.queue ?? "" });
    } catch (error) {
      this.handlers.delete(id);
      throw error;
    }
    return {
      subject,
      unsubscribe: () => {
        if (this.handlers.delete(id)) this.end.send({ kind: LinkKind.unsubscribe, id });
      },
    };
  }

  async request(subject: string, payload: Uint8Array, options?: RequestOptions): Promise<BusMessage> {
    this.checkOpen(`request to ${subject}`);
    checkSubject(subject);
    checkPayload(subject, payload);
    options?.signal?.throwIfAborted();
    const timeoutMs = options?.timeoutMs ?? limits.busRequestTimeoutMs;
    const id = this.id();
    const request = this.requests.start(subject, timeoutMs, options?.signal);
    this.answers.set(id, request);
    this.end.send({ kind: LinkKind.request, id, timeoutMs, subject, payload });
    try {
      return await request.answer;
    } catch (error) {
      if (this.answers.has(id)) this.end.send({ kind: LinkKind.cancel, id });
      throw error;
    } finally {
      this.answers.delete(id);
    }
  }

  async flush(): Promise<void> {
    this.checkOpen("flush");
    await this.call({ kind: LinkKind.flush, id: this.id() });
  }

  async log(name: string): Promise<DurableLog> {
    throw unsupported("log", name);
  }

  async existingLog(name: string): Promise<DurableLog> {
    throw unsupported("log", name);
  }

  async deleteLog(name: string): Promise<void> {
    throw unsupported("log", name);
  }

  async bucket(name: string): Promise<Bucket> {
    throw unsupported("bucket", name);
  }

  close(): Promise<void> {
    this.closing ??= this.finishAndEnd();
    return this.closing;
  }

  private async finishAndEnd(): Promise<void> {
    if (this.ended) return;
    const flushed = new AbortController();
    // A parent that is gone has taken what it has taken, and one that hangs is not waited for beyond the bound.
    const bound = this.ports.clock.sleep(limits.busConnectTimeoutMs, flushed.signal).catch(() => {});
    await Promise.race([this.call({ kind: LinkKind.flush, id: this.id() }).catch(() => {}), bound]);
    flushed.abort();
    this.finish();
    this.end.close();
  }

  private finish(): void {
    this.ended = true;
    this.handlers.clear();
    this.requests.close();
    for (const call of this.calls.values()) call.reject(closedError("link to the parent process"));
    this.calls.clear();
  }

  private async call(frame: Partial<LinkFrame> & { readonly kind: LinkKind; readonly id: number }): Promise<void> {
    const call = deferred<void>();
    this.calls.set(frame.id, call);
    this.end.send(frame);
    await call.promise;
  }

  private receive(frame: LinkFrame): void {
    const { kind, id, subject, payload } = frame;
    const replyTo = frame.extra === "" ? undefined : frame.extra;
    switch (kind) {
      case LinkKind.message: {
        const handler = this.handlers.get(id);
        if (handler !== undefined) deliver(handler, { subject, payload, replyTo }, this.ports.log);
        return;
      }
      case LinkKind.answer:
        this.takeAnswer(id)?.resolve({ subject, payload, replyTo });
        return;
      case LinkKind.done:
        this.takeCall(id)?.resolve();
        return;
      case LinkKind.failed: {
        const error = errorOf(frame);
        this.takeAnswer(id)?.reject(error);
        this.takeCall(id)?.reject(error);
        return;
      }
      default:
        this.ports.log.warn("the parent process sent a frame that only a child sends", { kind });
    }
  }

  private takeAnswer(id: number): OpenRequest | undefined {
    const request = this.answers.get(id);
    this.answers.delete(id);
    return request;
  }

  private takeCall(id: number): Deferred<void> | undefined {
    const call = this.calls.get(id);
    this.calls.delete(id);
    return call;
  }

  private id(): number {
    const id = this.nextId;
    this.nextId = id === 0xffff_ffff ? 1 : id + 1;
    return id;
  }

  private checkOpen(what: string): void {
    if (this.ended || this.closing !== undefined) throw closedError(what);
  }
}

function errorOf({ subject, payload }: LinkFrame): MillraceError {
  return new MillraceError(isErrorCode(subject) ? subject : "MILL_INTERNAL", Buffer.from(payload).toString());
}

function unsupported(kind: "log" | "bucket", name: string): MillraceError {
  return new MillraceError(
    "MILL_CONFIG",
    `${kind} ${name}: a process that is linked to its parent has no ${kind}s. Open it in the parent, or connect to NATS.`,
    { kind, name },
  );
}
