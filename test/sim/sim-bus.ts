/**
 * One process's connection to the simulated message server: the `Bus` port with virtual time and faults.
 *
 * Faults and what is left out: `sim-network.ts`. While the line is down, publications wait for the reconnect or are lost
 * (drawn for each time it goes down, as clients differ), subscriptions and calls wait for it.
 */
import type { MillraceError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import type {
  Bucket,
  Bus,
  BusMessage,
  DurableLog,
  LogOptions,
  RequestOptions,
  SubscribeOptions,
  Subscription,
} from "../../src/bus/bus.js";
import { closedError, deliver, type Handler, noResponderError } from "../../src/bus/delivery.js";
import { Pending } from "../../src/bus/pending.js";
import { OpenRequests } from "../../src/bus/requests.js";
import { checkName, checkPattern, checkPayload, checkSubject } from "../../src/bus/syntax.js";
import { simBucket, simLog } from "./sim-durable.js";
import type { SimMessage, SimNetwork, SimSubscription } from "./sim-network.js";
import type { SimProcess } from "./sim-process.js";

/** What the line carries to the server, in order. */
interface Sent {
  readonly label: string;
  readonly isMessage: boolean;
  readonly arrive: () => void;
  /** It will never arrive. */
  readonly lost: () => void;
}

const APART_MS = 0.001;

export class SimBus implements Bus {
  readonly name: string;
  /** Which line it is: what is on its way on an older one does not arrive. */
  line = 1;
  #isUp = true;
  #losesWhileDown = false;
  #waiting: Sent[] = [];
  #underWay = new Set<Sent>();
  #lastArrivalMs = 0;
  #pending = new Pending();
  #requests: OpenRequests;
  #asked = new Map<string, (error: MillraceError) => void>();
  #mine = new Set<SimSubscription>();
  #ended = new AbortController();
  #closing: Promise<void> | undefined;
  #inboxes = 0;

  constructor(
    readonly process: SimProcess,
    private readonly network: SimNetwork,
  ) {
    this.name = process.name;
    this.#requests = new OpenRequests(process.ports.clock);
    process.onEnd(() => this.#cutOff());
  }

  get isUp(): boolean {
    return this.#isUp;
  }

  publish(subject: string, payload: Uint8Array, options?: { readonly replyTo?: string }): void | Promise<void> {
    this.#checkOpen(`publish to ${subject}`);
    checkSubject(subject);
    if (options?.replyTo !== undefined) checkSubject(options.replyTo);
    checkPayload(subject, payload);
    this.#send({ subject, payload, replyTo: options?.replyTo });
    return this.#pending.whenRoom();
  }

  async subscribe(subject: string, handler: Handler, options?: SubscribeOptions): Promise<Subscription> {
    this.#checkOpen(`subscribe to ${subject}`);
    checkPattern(subject);
    if (options?.queue !== undefined) checkName("queue group", options.queue);
    const subscription = this.#subscription(subject, handler, options?.queue);
    await this.call(`subscribe ${subject}`, () => {
      if (subscription.active) this.network.subscriptions.add(subject, subscription);
    });
    this.#checkOpen(`subscribe to ${subject}`);
    return { subject, unsubscribe: () => this.#remove(subscription) };
  }

  async request(subject: string, payload: Uint8Array, options?: RequestOptions): Promise<BusMessage> {
    this.#checkOpen(`request to ${subject}`);
    checkSubject(subject);
    checkPayload(subject, payload);
    options?.signal?.throwIfAborted();
    const replyTo = `_INBOX.${this.process.name.replaceAll(/[^\w-]/g, "_")}.${this.#inboxes++}`;
    const request = this.#requests.start(subject, options?.timeoutMs ?? limits.busRequestTimeoutMs, options?.signal);
    const inbox = this.#subscription(replyTo, (message) => request.resolve(message), undefined);
    this.network.subscriptions.add(replyTo, inbox);
    this.#asked.set(replyTo, () => request.reject(noResponderError(subject)));
    this.#send({ subject, payload, replyTo });
    try {
      return await request.answer;
    } finally {
      this.#asked.delete(replyTo);
      this.#remove(inbox);
    }
  }

  async flush(): Promise<void> {
    this.#checkOpen("flush");
    await this.call("flush", () => {});
  }

  async log(name: string, options: LogOptions = {}): Promise<DurableLog> {
    this.#checkOpen(`log ${name}`);
    checkName("log", name);
    const log = await this.call(`log ${name}`, () => this.network.log(name, options));
    return simLog(log, this, this.#ended.signal, this.network.faults);
  }

  async existingLog(name: string): Promise<DurableLog> {
    this.#checkOpen(`log ${name}`);
    checkName("log", name);
    const log = await this.call(`existing log ${name}`, () => this.network.existingLog(name));
    return simLog(log, this, this.#ended.signal, this.network.faults);
  }

  async deleteLog(name: string): Promise<void> {
    this.#checkOpen(`log ${name}`);
    checkName("log", name);
    await this.call(`delete log ${name}`, () => this.network.deleteLog(name));
  }

  async bucket(name: string): Promise<Bucket> {
    this.#checkOpen(`bucket ${name}`);
    checkName("bucket", name);
    const bucket = await this.call(`bucket ${name}`, () => this.network.bucket(name));
    return simBucket(bucket, this, this.#ended.signal, this.network.faults);
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    await this.#pending.whenSent();
    for (const subscription of this.#mine) this.#remove(subscription);
    this.#requests.close();
    this.#ended.abort(closedError("log or bucket"));
  }

  /** One question to the server itself, there and back. `apply` runs at the server even if this process dies meanwhile. */
  call<T>(label: string, apply: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#toServer({
        label: `server: ${label}`,
        isMessage: false,
        lost: () => {},
        arrive: () => {
          let answer: () => void;
          try {
            const value = apply();
            answer = () => resolve(value);
          } catch (error) {
            answer = () => reject(error);
          }
          this.process.later(this.network.latencyMs(), `answered: ${label}`, answer);
        },
      });
    });
  }

  /** The server hands over a message. */
  receive(message: SimMessage, subscriptions: readonly SimSubscription[]): void {
    for (const subscription of subscriptions) {
      if (subscription.active) deliver(subscription.handler, message, this.process.ports.log);
    }
  }

  onNoResponder(replyTo: string): void {
    this.process.later(this.network.latencyMs(), `no responder for ${replyTo}`, () => {
      this.#asked.get(replyTo)?.(noResponderError(replyTo));
    });
  }

  /** The line breaks. @param loses whether what is published meanwhile is lost, or waits for the reconnect */
  disconnect(loses: boolean): void {
    this.#isUp = false;
    this.#losesWhileDown = loses;
    this.line += 1;
    const underWay = [...this.#underWay];
    this.#underWay.clear();
    for (const sent of underWay) this.#keepOrLose(sent);
  }

  reconnect(): void {
    if (this.#isUp || this.process.isDead) return;
    this.#isUp = true;
    for (const sent of this.#waiting.splice(0)) this.#toServer(sent);
  }

  #cutOff(): void {
    this.#isUp = false;
    this.line += 1;
    for (const subscription of this.#mine) this.#remove(subscription);
    this.#waiting = [];
  }

  #send(message: SimMessage): void {
    const bytes = message.payload.byteLength;
    // The process learns of it when its kernel has sent the bytes; that is not an event anybody waits for.
    const gone = () => this.#pending.remove(bytes);
    this.#pending.add(bytes);
    this.#toServer({
      label: `server: ${message.subject} from ${this.name}`,
      isMessage: true,
      lost: gone,
      arrive: () => {
        this.network.route(message, this);
        gone();
      },
    });
  }

  #toServer(sent: Sent): void {
    if (!this.#isUp) {
      this.#keepOrLose(sent);
      return;
    }
    const { world } = this.network;
    this.#underWay.add(sent);
    this.#lastArrivalMs = Math.max(world.nowMs + this.network.latencyMs(), this.#lastArrivalMs + APART_MS);
    world.scheduleAt(undefined, this.#lastArrivalMs, sent.label, () => {
      if (this.#underWay.delete(sent)) sent.arrive();
    });
  }

  /** The line is down. Calls are made again after the reconnect. */
  #keepOrLose(sent: Sent): void {
    if (this.process.isDead) return;
    if (!sent.isMessage || !this.#losesWhileDown) {
      this.#waiting.push(sent);
      return;
    }
    this.network.world.trace.add(this.network.world.nowMs, this.name, `lost while its line is down: ${sent.label}`);
    sent.lost();
  }

  #subscription(pattern: string, handler: Handler, queue: string | undefined): SimSubscription {
    const subscription: SimSubscription = { bus: this, pattern, queue, handler, active: true };
    this.#mine.add(subscription);
    return subscription;
  }

  #remove(subscription: SimSubscription): void {
    subscription.active = false;
    this.#mine.delete(subscription);
    this.network.subscriptions.remove(subscription.pattern, subscription);
  }

  #checkOpen(what: string): void {
    if (this.#closing !== undefined) throw closedError(what);
  }
}
