/**
 * The only door to messaging. Implementations: `memory-bus.ts` (one process), `nats-bus.ts` (core NATS, JetStream,
 * key-value), `link-bus.ts` (a child process on its parent's bus; no log, no bucket). Each passes `test/conformance/bus.ts`.
 *
 * What every implementation guarantees:
 *   B1  Messages of one publisher on one subject arrive in the order of publication, or not at all.
 *   B2  Once `subscribe` has resolved, every later publication of any connection reaches the subscriber.
 *   B3  A payload up to `limits.frameBytesMax` is delivered whole, whatever the server's own limit (plain
 *       subscriptions, and requests and their answers; not queue groups).
 *   B4  `publish` reports back-pressure: it returns a promise when more than `limits.busPendingBytesMax` wait.
 *   B5  Delivery is at most once: loss is possible, and channels repair it; a log keeps what it acknowledged.
 *   B6  A handler that throws does not stop its subscription; the error goes to the log.
 * What it does not: order between two subjects, delivery to a subscriber that comes later, an fsync.
 */

export interface BusMessage {
  readonly subject: string;
  /** Owned by the receiver until the handler returns or, if it keeps it, for good: never reused by the bus. */
  readonly payload: Uint8Array;
  /** Where an answer goes, if the sender awaits one. */
  readonly replyTo: string | undefined;
}

export interface Subscription {
  readonly subject: string;
  /** Stops delivery at once. */
  unsubscribe(): void;
}

export interface SubscribeOptions {
  /** Members of one queue group share the messages. Only for payloads below the server's own limit. */
  readonly queue?: string;
}

export interface RequestOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface Bus {
  /**
   * Sends and forgets. The payload must not be changed afterwards.
   * @returns nothing, or a promise to wait for before the next publication (B4)
   */
  publish(subject: string, payload: Uint8Array, options?: { readonly replyTo?: string }): void | Promise<void>;
  /** Resolves when the server knows the subscription (B2). `*` matches a token, a last `>` the rest. */
  subscribe(subject: string, handler: (message: BusMessage) => void, options?: SubscribeOptions): Promise<Subscription>;
  /**
   * One question, one answer.
   * @throws {MillraceError} `MILL_BUS_NO_RESPONDER` at once when nobody subscribes; `MILL_BUS_TIMEOUT`; the signal's
   *   reason when it aborts
   */
  request(subject: string, payload: Uint8Array, options?: RequestOptions): Promise<BusMessage>;
  /** Resolves when the server has taken everything published before. */
  flush(): Promise<void>;
  /** A durable, ordered log; created if it is not there. */
  log(name: string, options?: LogOptions): Promise<DurableLog>;
  /** The log, if it is there: for those who must not make anew what was deleted. @throws {MillraceError} `MILL_BUS_LOG_GONE` */
  existingLog(name: string): Promise<DurableLog>;
  /** Deletes a log with all its entries, if there is one. Whoever has it open may find it gone; opened again, it is a new one. */
  deleteLog(name: string): Promise<void>;
  /** A key-value bucket with compare-and-set; created if it is not there. */
  bucket(name: string): Promise<Bucket>;
  /** Flushes, then ends every subscription and the connection. Safe to call twice. */
  close(): Promise<void>;
}

export interface LogOptions {
  /** Bytes kept, decided by whoever creates the log; an append over it is refused with `MILL_BUS_LOG_FULL`, never old entries dropped. */
  readonly bytesMax?: number;
}

export interface LogEntry {
  /** 1-based, +1 per entry of the log, with gaps only where entries were purged. */
  readonly sequence: bigint;
  readonly payload: Uint8Array;
}

export interface DurableLog {
  /**
   * @param options.expectedLast append only if this is the last sequence (0n: the log has never had an entry)
   * @returns the new entry's sequence
   * @throws {MillraceError} `MILL_BUS_CONFLICT`, `MILL_BUS_LOG_FULL`, `MILL_BUS_LOG_GONE`
   */
  append(payload: Uint8Array, options?: { readonly expectedLast?: bigint }): Promise<bigint>;
  /** Entries from `from` on in order, following the log's end; ends when `signal` aborts, fails when the bus closes. */
  read(from: bigint, signal: AbortSignal): AsyncIterable<LogEntry>;
  /** Sequence of the newest entry ever appended; 0n: none. */
  last(): Promise<bigint>;
  /** Sequence of the oldest entry kept; `last() + 1n` when there is none. */
  first(): Promise<bigint>;
  /** A text that is another one when the log was deleted and made anew. @throws {MillraceError} `MILL_BUS_LOG_GONE` */
  incarnation(): Promise<string>;
  /** Drops every entry below `sequence`. */
  purgeBelow(sequence: bigint): Promise<void>;
}

export interface BucketEntry {
  readonly key: string;
  readonly value: Uint8Array;
  readonly revision: bigint;
}

export interface Bucket {
  get(key: string): Promise<BucketEntry | undefined>;
  /** Writes only if `revision` is the key's newest (0n: the key is absent). @returns the new revision @throws `MILL_BUS_CONFLICT` */
  update(key: string, value: Uint8Array, revision: bigint): Promise<bigint>;
  /** Deletes every key below `key`: of `a` that is `a.b` and `a.b.c`, and neither `a` nor `ab`. */
  deleteBelow(key: string): Promise<void>;
}
