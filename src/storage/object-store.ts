/**
 * Where bundles, models, large objects, outputs and (later) snapshots live. Implementations: `s3-store.ts`,
 * `fs-store.ts`, `memory-store.ts`; each passes `test/conformance/object-store.ts`.
 *
 * What every implementation guarantees:
 *   O1  A reader sees a whole object or none: `put` publishes atomically, an aborted one leaves nothing to see.
 *   O2  Read after write: once `put` or `create` has resolved, every reader sees it.
 *   O3  `create` writes only where nothing is, atomically among any number of writers.
 *   O4  What was written and acknowledged is durable (fs: file and folder are synced) and verified by checksum.
 *   O5  Transient faults are retried with backoff (`limits.store*`); a cancel ends the call and its upload.
 *
 * Keys are `/`-separated, relative, without empty, `.` or `..` parts; anything else is `MILL_STORE_KEY`.
 */

export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
  /** Changes when the content does: an ETag, or size and time of the file. Opaque. */
  readonly version: string;
}

export interface ListedObject extends ObjectInfo {
  /** When it got its key, by a put, a create or a move, by the store's own clock: milliseconds since the Unix epoch. */
  readonly sinceMs: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** For whoever clears up behind processes that died. */
export interface UnfinishedOptions extends CallOptions {
  /**
   * Takes puts in pieces of an unknown number that have begun and not come to their end, as well: those of processes that died, and
   * those that are still going on. Such a put fails when it is deleted. A store may know of none (S3: the bucket's own rule clears them).
   */
  readonly unfinished?: boolean;
}

export interface PutOptions extends CallOptions {
  readonly contentType?: string;
  /** Of all bytes of the body, as hexadecimal digits, where the caller has it: a store that needs it does not compute it again. */
  readonly sha256?: string;
}

export interface ByteRange {
  /** First byte, 0-based. */
  readonly offset: number;
  readonly length: number;
}

export interface ReadOptions extends CallOptions {
  readonly range?: ByteRange;
  /** The reader has a hash of the bytes and checks it: the store need not check them as well. */
  readonly hashed?: boolean;
}

/**
 * Bytes in hand, or pieces as they come (an unknown length; never held whole in memory). Bytes in hand and in several
 * pieces are given away: nobody changes them any more, so a store may keep them as they are.
 */
export type ObjectBody = Uint8Array | readonly Uint8Array[] | AsyncIterable<Uint8Array>;

export interface ObjectStore {
  /** For messages: `s3://bucket/prefix` or `file:///folder` or `memory:`. No credentials in it. */
  readonly url: string;
  put(key: string, body: ObjectBody, options?: PutOptions): Promise<ObjectInfo>;
  /** Writes only if the key is absent (O3); `existing` lets a retry recognise its own write. */
  create(
    key: string,
    bytes: Uint8Array,
    options?: PutOptions,
  ): Promise<{ readonly created: true } | { readonly created: false; readonly existing: Uint8Array }>;
  /** @throws {MillraceError} `MILL_STORE_NOT_FOUND` naming url and key */
  get(key: string, options?: ReadOptions): Promise<Uint8Array>;
  /** The object in pieces. @throws as `get`, on the first piece */
  stream(key: string, options?: ReadOptions): AsyncIterable<Uint8Array>;
  head(key: string, options?: CallOptions): Promise<ObjectInfo | undefined>;
  /** Every published object whose key starts with `prefix`, in key order (UTF-8 bytes). Never a half-written one, unless it is asked for. */
  list(prefix: string, options?: UnfinishedOptions): AsyncIterable<ListedObject>;
  /**
   * Makes the object known as `from` be known as `to` instead, replacing what was there; readers see one or the other
   * whole. Moving again after success changes nothing. @throws `MILL_STORE_NOT_FOUND` when neither is there
   */
  move(from: string, to: string, options?: CallOptions): Promise<void>;
  /** Does nothing when the key is absent. */
  delete(key: string, options?: UnfinishedOptions): Promise<void>;
  /** Checks that the store answers and can be written. @throws `MILL_STORE_UNREACHABLE`, `MILL_STORE_REFUSED`, … naming the next step */
  check(options?: CallOptions): Promise<void>;
  close(): Promise<void>;
}
