/**
 * A bus within one process: no server, no bytes copied, payloads pass by reference. Also the one a simulation drives:
 * it has no clock and no randomness but its ports', and the order of its deliveries is a function of what was called.
 *
 * Not simulated here: loss, delay, a broken connection. A simulation puts those around it.
 */
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type {
  Bucket,
  Bus,
  BusMessage,
  DurableLog,
  LogOptions,
  RequestOptions,
  SubscribeOptions,
  Subscription,
} from "./bus.js";
import { closedError, type Handler, noResponderError } from "./delivery.js";
import { type MemorySubscription, MemorySystem } from "./memory-system.js";
import { bucketOf, logOf } from "./memory-views.js";
import { Pending } from "./pending.js";
import { OpenRequests } from "./requests.js";
import { checkName, checkPattern, checkPayload, checkSubject } from "./syntax.js";

export class MemoryBus implements Bus {
  private readonly pending = new Pending();
  private readonly requests: OpenRequests;
  private readonly mine = new Map<MemorySubscription, string>();
  private readonly ended = new AbortController();
  private closing: Promise<void> | undefined;
  private readonly inbox: string;
  private inboxNext = 0;

  constructor(
    private readonly ports: Ports,
    private readonly system: MemorySystem = new MemorySystem(ports),
  ) {
    this.requests = new OpenRequests(ports.clock);
    this.inbox = `_INBOX.${ports.random.id(16)}`;
  }

  /** Another connection to the same system: its own back-pressure and its own end. */
  connect(): MemoryBus {
    return new MemoryBus(this.ports, this.system);
  }

  publish(subject: string, payload: Uint8Array, options?: { readonly replyTo?: string }): void | Promise<void> {
    this.checkOpen(`publish to ${subject}`);
    checkSubject(subject);
    if (options?.replyTo !== undefined) checkSubject(options.replyTo);
    checkPayload(subject, payload);
    this.send({ subject, payload, replyTo: options?.replyTo });
    return this.pending.whenRoom();
  }

  async subscribe(subject: string, handler: Handler, options?: SubscribeOptions): Promise<Subscription> {
    this.checkOpen(`subscribe to ${subject}`);
    checkPattern(subject);
    if (options?.queue !== undefined) checkName("queue group", options.queue);
    return this.add(subject, handler, options?.queue);
  }

  async request(subject: string, payload: Uint8Array, options?: RequestOptions): Promise<BusMessage> {
    this.checkOpen(`request to ${subject}`);
    checkSubject(subject);
    checkPayload(subject, payload);
    options?.signal?.throwIfAborted();
    const timeoutMs = options?.timeoutMs ?? limits.busRequestTimeoutMs;
    const replyTo = `${this.inbox}.${this.inboxNext++}`;
    const request = this.requests.start(subject, timeoutMs, options?.signal);
    const subscription = this.add(replyTo, (message) => request.resolve(message), undefined);
    if (!this.send({ subject, payload, replyTo })) request.reject(noResponderError(subject));
    try {
      return await request.answer;
    } finally {
      subscription.unsubscribe();
    }
  }

  async flush(): Promise<void> {
    this.checkOpen("flush");
    await this.pending.whenSent();
  }

  async log(name: string, options: LogOptions = {}): Promise<DurableLog> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    return logOf(this.system.log(name, options), this.ended.signal);
  }

  async existingLog(name: string): Promise<DurableLog> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    return logOf(this.system.existingLog(name), this.ended.signal);
  }

  async deleteLog(name: string): Promise<void> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    this.system.deleteLog(name);
  }

  async bucket(name: string): Promise<Bucket> {
    this.checkOpen(`bucket ${name}`);
    checkName("bucket", name);
    return bucketOf(this.system.bucket(name), this.ended.signal);
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    await this.pending.whenSent();
    for (const [subscription, pattern] of this.mine) this.remove(pattern, subscription);
    this.requests.close();
    this.ended.abort(closedError("log or bucket"));
  }

  private send(message: BusMessage): boolean {
    const bytes = message.payload.byteLength;
    const sent = this.system.send(message, () => this.pending.remove(bytes));
    if (sent) this.pending.add(bytes);
    return sent;
  }

  private add(subject: string, handler: Handler, queue: string | undefined): Subscription {
    const subscription: MemorySubscription = { handler, queue, active: true };
    this.system.subscriptions.add(subject, subscription);
    this.mine.set(subscription, subject);
    return { subject, unsubscribe: () => this.remove(subject, subscription) };
  }

  private remove(subject: string, subscription: MemorySubscription): void {
    subscription.active = false;
    this.system.subscriptions.remove(subject, subscription);
    this.mine.delete(subscription);
  }

  private checkOpen(what: string): void {
    if (this.closing !== undefined) throw closedError(what);
  }
}
