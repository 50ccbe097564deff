/**
 * A service: inference, or any service-style work, that lives outside the dataflow graph as a pool of instances.
 * This file is what a user declares, one contract for every kind of handler; `src/services` runs it.
 * docs/services.md has every setting and its default in one table.
 */
import type { RecordBatch } from "apache-arrow";
import type { ServiceId } from "../base/ids.js";
import type { Clock, Log } from "../base/ports.js";
import type { ArrowColumns, Columns, Row } from "../types/columns.js";
import type { ContentAccess } from "./endpoints.js";
import type { Needs, Resources } from "./resources.js";

/** How an instance puts requests together into one call of its handler. */
export interface Batching<I extends Columns = Columns> {
  /** Rows of one call at most; also how many rows a client sends in one request. Default 1. */
  readonly rowsMax?: number;
  /** Bytes of the rows of one call at most; a single request that is larger passes alone. Default 64 MiB. */
  readonly bytesMax?: number;
  /** How long an instance that is idle waits for more rows once it has one, ms. Default 0: not at all. */
  readonly delayMsMax?: number;
  /** Rows meet in one call only where these input columns are equal: the shape of an image, the length of a text. */
  readonly bucketBy?: readonly (keyof I & string)[];
  /** What a row costs in a unit of yours (tokens, pixels), and how much of it one call may hold. Default: rows cost nothing. */
  readonly cost?: Cost<I>;
  /**
   * Time that a call should take at most, ms. The instance lowers its batch size below `rowsMax` until calls stay within it, and
   * raises it again while they do. Default 0: no target.
   */
  readonly latencyMsTarget?: number;
}

export interface Cost<I extends Columns = Columns> {
  of(row: Row<I>): number;
  /** A single request that costs more passes alone. */
  readonly max: number;
}

/** What an instance lets wait before it refuses. */
export interface Queueing {
  /** Default 4,096. */
  readonly rowsMax?: number;
  /** Default 256 MiB. */
  readonly bytesMax?: number;
}

/** What happens when a call fails in a way that may pass: an error whose code says `Retried` in docs/errors.md. */
export interface Retrying {
  /** Tries, the first one included. Default 3. */
  readonly attemptsMax?: number;
  /** Longest pause before the second try, ms; it doubles from try to try, and each is drawn at random from the half up. Default 200. */
  readonly pauseMs?: number;
  /** Default 10,000. A server that says how long to wait is obeyed instead. */
  readonly pauseMsMax?: number;
}

/** Whether rows share answers. */
export type Caching = "none" | "content";

/** How an instance comes up. */
export interface Loading {
  /** Time for `load`, ms. Default 300,000. */
  readonly timeoutMs?: number;
  /** Time for `warm`, ms. Default 120,000. */
  readonly warmTimeoutMs?: number;
  /** Instances in a row that may fail to come up before the service has failed, and its job with it. Default 3. */
  readonly attemptsMax?: number;
}

/** What a handler gets when its instance loads. */
export interface HandlerContext {
  readonly service: string;
  readonly instance: string;
  /** Local path of an asset that the handler declared; its content was checked against the submitted hash. */
  asset(name: string): string;
  /** Columns that the service declares: what its handler is given, and what it must answer with. */
  readonly input: Columns;
  readonly output: Columns;
  /** An environment variable of the process that the instance runs in: the place for a secret. */
  env(name: string): string | undefined;
  /** Content of the rows: `content.bytes(value)` gives it, whether the value holds its bytes or refers to them. Kept for later calls. */
  readonly content: ContentAccess;
  readonly clock: Clock;
  /** Aborted when the instance is told to stop, or its time to load is up. */
  readonly signal: AbortSignal;
}

/** What a handler gets with each call, beside the rows. */
export interface CallContext {
  /** As in `HandlerContext`: content of the rows. */
  readonly content: ContentAccess;
  /** Refuses one row of the batch; its place in the answer is ignored and the row becomes a dead letter. */
  reject(row: number, error: unknown): void;
  /** Aborted when nobody waits for the answer any more: every request of the call was cancelled, or its time is up. */
  readonly signal: AbortSignal;
  /** Time that is left, ms; Infinity: no limit. */
  readonly timeLeftMs: number;
  /** The same for the same row, however often and wherever it is tried: an idempotency key. Empty: the row has none. */
  rowId(row: number): string;
  /**
   * Span of this call, as in a W3C `traceparent` header: send it with what you call, and its spans become children of the call.
   * Empty: the call is not traced. Of several requests in one call, it is in the trace of the first that is traced.
   */
  readonly traceparent: string;
  /** To where the instance's worker logs. Lines of a call that is traced name its trace. */
  readonly log: Log;
}

/** A handler in its instance, model in memory. At most `concurrency` calls are under way at a time; by default one. */
export interface LoadedHandler<I extends Columns, O extends Columns> {
  /** Runs once before the instance is READY: one call of the usual shape, so that the first request is not the slow one. */
  warm?(): Promise<void>;
  /**
   * @returns as many rows as the batch has, in its order
   * @throws {MillraceError} one whose code is retried is tried again later, after `retryAfterMs` of its facts where it has that;
   *   `MILL_OUT_OF_MEMORY` is tried again at once, in halves. Any other error is the rows' own: they are found one by one and refused
   */
  infer(batch: RecordBatch<ArrowColumns<I>>, context: CallContext): Promise<RecordBatch<ArrowColumns<O>>>;
  unload?(): Promise<void>;
}

/** How to make a `LoadedHandler`. `onnx(...)` makes one; an object literal with `load` is one. */
export interface Handler<I extends Columns, O extends Columns> {
  readonly kind: string;
  /**
   * Files that an instance needs, by name: a path relative to the topology file, or `npm:package/file`.
   * They travel with the job and are verified by SHA-256 where they arrive.
   */
  readonly assets: Readonly<Record<string, string>>;
  /** What suits this kind of handler, where the service says nothing else: a remote endpoint wants many calls at a time. */
  readonly defaults?: { readonly concurrency?: number; readonly batch?: Pick<Batching, "rowsMax"> };
  load(context: HandlerContext): Promise<LoadedHandler<I, O>>;
}

/** Settings of a service. docs/services.md has them in one table, with defaults. */
export interface ServiceSpec<I extends Columns, O extends Columns> {
  readonly input: I;
  readonly output: O;
  readonly handler: Handler<I, O>;
  /** Processes that hold the model, each with its own copy. Default 1. */
  readonly instances?: number;
  readonly batch?: Batching<I>;
  /** Calls of one instance's handler that may be under way at a time. Default: what suits the handler, mostly 1. */
  readonly concurrency?: number;
  readonly queue?: Queueing;
  /** Time of one call of the handler, ms, from its begin. Default 600,000; 0: no limit. */
  readonly timeoutMs?: number;
  /**
   * Time for all of it, ms: waiting for an instance, every try, every pause. Default 0: no limit, because rows that wait longer where
   * instances are few are not bad rows.
   */
  readonly deadlineMs?: number;
  readonly retry?: Retrying;
  /** Gets the rows that this service could not answer in its tries or its time. Its columns are the same. */
  readonly fallback?: Service<I, O>;
  /** Requests with equal values in these input columns go to the same instance, while it is not much deeper than the others. */
  readonly affinityBy?: readonly (keyof I & string)[];
  /**
   * Answers of calls that took longer, ms, are kept in the job's object store, too, so that they survive their instance. Default 1,000;
   * 0: never. Not in embedded runs, which do not survive their process either.
   */
  readonly persistAfterMs?: number;
  /**
   * `"content"`: rows with equal columns get one answer, which is worked on once as long as an instance remembers it. For models that
   * always answer the same alone. Default `"none"`: a model may be meant to vary.
   */
  readonly cache?: Caching;
  readonly load?: Loading;
  /** What each instance needs of its machine. Default: one core, no memory that is counted, no GPU. */
  readonly resources?: Resources;
}

/** A service as it was declared, with all defaults filled in. Made by `service`. */
export interface Service<I extends Columns = Columns, O extends Columns = Columns> {
  readonly id: ServiceId;
  readonly input: I;
  readonly output: O;
  readonly handler: Handler<I, O>;
  readonly instances: number;
  readonly batch: {
    readonly rowsMax: number;
    readonly bytesMax: number;
    readonly delayMsMax: number;
    readonly bucketBy: readonly string[];
    readonly cost: Cost<I> | undefined;
    readonly latencyMsTarget: number;
  };
  readonly concurrency: number;
  readonly queue: Required<Queueing>;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly retry: Required<Retrying>;
  readonly fallback: Service<I, O> | undefined;
  readonly affinityBy: readonly string[];
  readonly persistAfterMs: number;
  readonly cache: Caching;
  readonly load: Required<Loading>;
  readonly resources: Needs;
}
