/**
 * The bus on NATS: core messages, JetStream for logs, JetStream key-value for buckets. The only files that know the
 * NATS packages are `nats-*.ts`.
 *
 * What the client does not do, and this does:
 *   N1  Back-pressure: its publish buffer is unbounded, so bytes are counted here until the server's PONG (B4).
 *   N2  Payloads over the server's `max_payload` go in parts (`nats-parts.ts`, B3).
 *   N3  A refused subscription fails its `subscribe`; a refused publication goes to the log, and fails open requests,
 *       the next `flush` and further publications to that subject.
 * While the connection is down the client reconnects for ever; what was not flushed may be lost (B5).
 */
import { setMaxListeners } from "node:events";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { createInbox, type Msg, type NatsConnection, type Status } from "@nats-io/transport-node";
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { METRICS } from "../base/metrics.js";
import { type Log, type Ports, telemetryOf } from "../base/ports.js";
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
import { closedError, deliver, type Handler, noResponderError } from "./delivery.js";
import { openNatsBucket } from "./nats-bucket.js";
import { type NatsOptions, openNats } from "./nats-connect.js";
import { permissionOf, storageError } from "./nats-errors.js";
import { deleteNatsLog, type JetStream, openExistingNatsLog, openNatsLog } from "./nats-log.js";
import { ERROR_HEADER, NatsOut } from "./nats-out.js";
import { PART_HEADER, queueGroupError, Reassembly } from "./nats-parts.js";
import { type OpenRequest, OpenRequests } from "./requests.js";
import { checkName, checkPattern, checkPayload, checkSubject, hasWildcard } from "./syntax.js";

export type { NatsCredentials, NatsOptions, NatsTls } from "./nats-connect.js";

/** @throws {MillraceError} `MILL_BUS_UNREACHABLE`, `MILL_BUS_REFUSED`, `MILL_CONFIG` */
export async function connectNats(options: NatsOptions, ports: Ports): Promise<Bus> {
  const { connection, urls } = await openNats(options);
  const out = new NatsOut(connection, ports.random.id(12));
  try {
    out.checkServer(urls);
  } catch (error) {
    await connection.close();
    throw error;
  }
  return new NatsBus(connection, out, { ...ports, log: ports.log.child({ nats: urls }) }, options);
}

const CHECKED_MAX = 1_024;

interface Asked {
  readonly subject: string;
  readonly request: OpenRequest;
}

class NatsBus implements Bus {
  private readonly logPort: Log;
  private readonly requests: OpenRequests;
  /** By the subject of the answer. */
  private readonly asked = new Map<string, Asked>();
  private readonly inbox: string;
  /** Subjects that are known to be such. */
  private readonly checked = new Set<string>();
  private inboxNext = 0;
  private inboxOpen = false;
  private readonly reassemblies = new Set<Reassembly>();
  private readonly ended = endedSignal();
  private readonly underWay = new Set<Promise<unknown>>();
  /** By the subject of its interface; empty: the connection's own account. */
  private readonly jetStreams = new Map<string, Promise<JetStream>>();
  private closing: Promise<void> | undefined;

  constructor(
    private readonly connection: NatsConnection,
    private readonly out: NatsOut,
    private readonly ports: Ports,
    private readonly options: Pick<NatsOptions, "replicas" | "inbox" | "logsApi">,
  ) {
    this.logPort = ports.log;
    this.inbox = createInbox(options.inbox);
    this.requests = new OpenRequests(ports.clock);
    const telemetry = telemetryOf(ports);
    const bytes = (direction: string, read: () => number) =>
      telemetry.observe(METRICS.busBytes, { "network.io.direction": direction }, read);
    bytes("receive", () => connection.stats().inBytes);
    bytes("transmit", () => connection.stats().outBytes);
    void this.followStatus();
    void connection.closed().then((error) => this.finish(error ?? undefined));
  }

  publish(subject: string, payload: Uint8Array, options?: { readonly replyTo?: string }): void | Promise<void> {
    if (this.closing !== undefined) throw closedError(`publish to ${subject}`);
    this.checkOnce(subject);
    if (options?.replyTo !== undefined) checkSubject(options.replyTo);
    checkPayload(subject, payload);
    this.out.send(subject, payload, options?.replyTo);
    return this.out.whenRoom();
  }

  async subscribe(subject: string, handler: Handler, options?: SubscribeOptions): Promise<Subscription> {
    this.checkOpen(`subscribe to ${subject}`);
    checkPattern(subject);
    const queue = options?.queue;
    if (queue !== undefined) checkName("queue group", queue);
    let refused: MillraceError | undefined;
    const subscription = this.receive(subject, queue, {
      onMessage: (message) => deliver(handler, message, this.logPort),
      onRefused: (error) => {
        refused = error;
      },
    });
    // The server answers in order: what it has against the subscription comes before its PONG.
    await this.untilTaken(`subscribe to ${subject}`);
    if (refused !== undefined) throw refused;
    return subscription;
  }

  async request(subject: string, payload: Uint8Array, options?: RequestOptions): Promise<BusMessage> {
    this.checkOpen(`request to ${subject}`);
    checkSubject(subject);
    checkPayload(subject, payload);
    options?.signal?.throwIfAborted();
    this.openInbox();
    const replyTo = `${this.inbox}.${this.inboxNext++}`;
    const timeoutMs = options?.timeoutMs ?? limits.busRequestTimeoutMs;
    const request = this.requests.start(subject, timeoutMs, options?.signal);
    this.asked.set(replyTo, { subject, request });
    try {
      this.out.send(subject, payload, replyTo);
    } catch (error) {
      request.reject(error);
    }
    try {
      return await request.answer;
    } finally {
      this.asked.delete(replyTo);
    }
  }

  async flush(): Promise<void> {
    this.checkOpen("flush");
    // The second round trip gives the status events of the first, a refusal among them, time to be told.
    for (let trip = 0; trip < 2; trip++) {
      await this.connection.flush().catch((error: unknown) => {
        if (this.ended.signal.aborted) throw closedError("flush");
        throw new MillraceError(
          "MILL_BUS_UNREACHABLE",
          "the connection to NATS was lost before the server had taken everything; it is made again. Publish again what must not be lost.",
          {},
          { cause: error },
        );
      });
    }
    const refusal = this.out.takeRefusal();
    if (refusal !== undefined) throw refusal;
  }

  async log(name: string, options: LogOptions = {}): Promise<DurableLog> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    return openNatsLog(await this.openJetStream(`log ${name}`, this.options.logsApi), name, options);
  }

  async existingLog(name: string): Promise<DurableLog> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    return openExistingNatsLog(await this.openJetStream(`log ${name}`, this.options.logsApi), name);
  }

  async deleteLog(name: string): Promise<void> {
    this.checkOpen(`log ${name}`);
    checkName("log", name);
    return deleteNatsLog(await this.openJetStream(`log ${name}`, this.options.logsApi), name);
  }

  async bucket(name: string): Promise<Bucket> {
    this.checkOpen(`bucket ${name}`);
    checkName("bucket", name);
    return openNatsBucket(await this.openJetStream(`bucket ${name}`), name);
  }

  close(): Promise<void> {
    this.closing ??= this.flushAndClose();
    return this.closing;
  }

  private async flushAndClose(): Promise<void> {
    const flushed = new AbortController();
    // With a server that is away there is nothing to wait for beyond the bound.
    const bound = this.ports.clock.sleep(limits.busConnectTimeoutMs, flushed.signal).catch(() => {});
    await Promise.race([this.connection.flush().catch(() => {}), bound]);
    this.finish(undefined);
    await Promise.race([Promise.allSettled(this.underWay), bound]);
    flushed.abort();
    await this.connection.close();
  }

  /** Ends what waits for the connection; called by `close`, and when the client has given the connection up. */
  private finish(error: Error | undefined): void {
    if (this.ended.signal.aborted) return;
    if (this.closing === undefined) this.logPort.error("the connection to NATS has ended", { error });
    this.closing ??= Promise.resolve();
    this.ended.abort(closedError("log or bucket"));
    this.requests.close();
    this.out.release();
    for (const reassembly of this.reassemblies) reassembly.clear();
  }

  private receive(
    subject: string,
    queue: string | undefined,
    on: { onMessage(message: BusMessage, raw: Msg): void; onRefused(error: MillraceError): void },
  ): Subscription {
    const reassembly = new Reassembly(this.logPort);
    const only = hasWildcard(subject) ? undefined : subject;
    this.reassemblies.add(reassembly);
    const subscription = this.connection.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, raw) => {
        if (error !== null) {
          const refusal = permissionOf(error);
          this.logPort.error("NATS has ended a subscription", { subject, error });
          if (refusal !== undefined) on.onRefused(refusal);
          return;
        }
        const message = this.whole(raw, only ?? raw.subject, queue, reassembly);
        if (message !== undefined) on.onMessage(message, raw);
      },
    });
    return {
      subject,
      unsubscribe: () => {
        subscription.unsubscribe();
        this.reassemblies.delete(reassembly);
      },
    };
  }

  /** The message, or nothing while parts of it are missing. */
  private whole(raw: Msg, subject: string, queue: string | undefined, reassembly: Reassembly): BusMessage | undefined {
    const header = raw.headers?.get(PART_HEADER);
    if (header === undefined || header === "") return new NatsMessage(subject, raw);
    const { replyTo } = new NatsMessage(subject, raw);
    if (queue === undefined) {
      const whole = reassembly.add(subject, header, raw.data, replyTo);
      return whole && { subject, payload: whole.payload, replyTo: whole.replyTo };
    }
    const error = queueGroupError(subject, queue, header);
    this.logPort.error("a queue group was sent a message in parts, and dropped it", { subject, queue, error });
    if (replyTo !== undefined) this.out.sendError(replyTo, error);
    return undefined;
  }

  private openInbox(): void {
    if (this.inboxOpen) return;
    this.inboxOpen = true;
    this.receive(`${this.inbox}.*`, undefined, {
      onMessage: (message, raw) => this.answer(message, raw),
      onRefused: (error) => {
        this.inboxOpen = false;
        for (const { request } of this.asked.values()) request.reject(error);
      },
    });
  }

  private answer(message: BusMessage, raw: Msg): void {
    const asked = this.asked.get(message.subject);
    if (asked === undefined) return; // late: it has timed out, or was aborted
    const failure = message.payload.byteLength > 0 ? undefined : failureOf(raw, asked.subject);
    if (failure === undefined) asked.request.resolve(message);
    else asked.request.reject(failure);
  }

  /** Resolves when the server has answered a PING, on this connection or the next. */
  private async untilTaken(what: string): Promise<void> {
    const deadline = this.ports.clock.monotonicMs() + limits.busConnectTimeoutMs;
    for (;;) {
      try {
        return await this.connection.flush();
      } catch (error) {
        if (this.ended.signal.aborted) throw closedError(what);
        if (this.ports.clock.monotonicMs() > deadline) {
          const message = `${what}: the connection to NATS is lost, and has not come back. Check the server.`;
          throw new MillraceError("MILL_BUS_UNREACHABLE", message, {}, { cause: error });
        }
        await this.ports.clock.sleep(limits.busReconnectDelayMs / 10);
      }
    }
  }

  private openJetStream(what: string, api = ""): Promise<JetStream> {
    let opened = this.jetStreams.get(api);
    if (opened === undefined) {
      opened = this.startJetStream(what, api).catch((error: unknown) => {
        this.jetStreams.delete(api); // it may be there the next time
        throw error;
      });
      this.jetStreams.set(api, opened);
    }
    return opened;
  }

  private async startJetStream(what: string, api: string): Promise<JetStream> {
    const options = { timeout: limits.busRequestTimeoutMs, ...(api !== "" && { apiPrefix: api }) };
    try {
      return {
        manager: await jetstreamManager(this.connection, options),
        client: jetstream(this.connection, options),
        replicas: this.options.replicas ?? 1,
        ended: this.ended.signal,
        underWay: this.underWay,
        payloadBytesMax: () => this.out.maxPayload(),
      };
    } catch (error) {
      throw storageError(error, what);
    }
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.connection.status()) this.onStatus(status);
  }

  private onStatus(status: Status): void {
    switch (status.type) {
      case "ping":
      case "close":
      case "reconnecting":
        return;
      case "error":
        this.onServerError(status.error);
        return;
      case "disconnect":
        this.logPort.warn("the connection to NATS is lost; connecting again", { server: status.server });
        return;
      case "reconnect":
        this.logPort.info("connected to NATS again; messages of the meantime may be lost", { server: status.server });
        this.out.forgetRefusals();
        for (const reassembly of this.reassemblies) reassembly.clear();
        return;
      default:
        this.logPort.warn("NATS connection status", { status: status.type });
    }
  }

  private onServerError(error: Error): void {
    const refusal = permissionOf(error);
    if (refusal === undefined) {
      // "Slow Consumer" among them: the server is about to cut this connection.
      this.logPort.error("NATS reports an error", { error });
      return;
    }
    if (refusal.facts.operation !== "publish") return; // the subscription itself was told
    this.logPort.error("NATS has refused a publication", { error: refusal });
    const subject = String(refusal.facts.subject);
    this.out.refuse(subject, refusal);
    for (const asked of this.asked.values()) if (asked.subject === subject) asked.request.reject(refusal);
  }

  /** Most publications are to subjects that had one before. */
  private checkOnce(subject: string): void {
    if (this.checked.has(subject)) return;
    checkSubject(subject);
    if (this.checked.size >= CHECKED_MAX) this.checked.clear();
    this.checked.add(subject);
  }

  private checkOpen(what: string): void {
    if (this.closing !== undefined) throw closedError(what);
  }
}

/** The client makes a text of a message's reply subject each time it is asked for it, and few ask. */
class NatsMessage implements BusMessage {
  readonly payload: Uint8Array;

  constructor(
    readonly subject: string,
    private readonly raw: Msg,
  ) {
    this.payload = raw.data;
  }

  get replyTo(): string | undefined {
    const { reply } = this.raw;
    return reply === undefined || reply === "" ? undefined : reply;
  }
}

/** What an empty answer says in its headers, if it is none. */
function failureOf({ headers }: Msg, subject: string): MillraceError | undefined {
  if (headers === undefined) return undefined;
  if (headers.code === 503) return noResponderError(subject);
  const text = headers.get(ERROR_HEADER);
  if (text === "") return undefined;
  const [code = "", ...words] = text.split(" ");
  return new MillraceError(isErrorCode(code) ? code : "MILL_INTERNAL", words.join(" "));
}

/** Every call of a log or bucket that is under way listens to it, so there is no bound. */
function endedSignal(): AbortController {
  const ended = new AbortController();
  setMaxListeners(0, ended.signal);
  return ended;
}
