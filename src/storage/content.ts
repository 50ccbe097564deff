/**
 * Content, wherever it is: at `file:`, `s3:`, `http(s):` and `data:` addresses, or in the value itself.
 *
 * Invariants:
 *   R1  What is handed out has the size and the SHA-256 that its reference says; of a stream, before its last piece.
 *   R2  Content with a known SHA-256 is read once per node, as long as it is kept there: in this process's memory, then in the folder of
 *       all the node's processes. Without one, nothing says that it is still the same, and it is read each time.
 *   R3  Faults that may pass are tried again within the limits of the store they come from; no read outlasts `limits.contentTimeoutMs`
 *       for each 8 MiB of it, or twice that where what came first was not what it must be.
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import picomatch from "picomatch";
import { glob } from "tinyglobby";
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import { type ContentRange, hashOf, isWhole, sliceContent } from "../types/content-refs.js";
import type { Content, ObjectRef } from "../types/content-types.js";
import type { ContentCache } from "./content-cache.js";
import { type ContentRef, checkContent, checked, isContent, sha256Of, shown } from "./content-checks.js";
import { type Brought, ContentMemory } from "./content-memory.js";
import type { ContentReadOptions, ContentStore } from "./content-store.js";
import { bytesOfDataUri } from "./data-uri.js";
import { FsStore } from "./fs-store.js";
import { cut, unlessAborted } from "./object-calls.js";
import type { ByteRange, ObjectInfo, ObjectStore } from "./object-store.js";
import { openStore, type StoreConfig } from "./open-store.js";

export type { ContentRef } from "./content-checks.js";

/** A value that may hold its bytes. */
type ContentValue = ContentRef & { readonly bytes?: Uint8Array | null };

export interface ListedContent {
  readonly uri: string;
  readonly sizeBytes: number;
  readonly version: string;
}

/** Content at addresses of one kind. */
export interface ContentSource {
  get(uri: string, options: ContentReadOptions): Promise<Uint8Array>;
  stream(uri: string, options: ContentReadOptions): AsyncIterable<Uint8Array>;
}

export interface ContentParts {
  /** `http:` and `https:` addresses; undefined: they cannot be read here. */
  readonly http?: ContentSource | undefined;
  /** Of the node; undefined: content is kept in memory only. */
  readonly cache?: ContentCache | undefined;
  readonly memory?: ContentMemory | undefined;
  /** Of the job; undefined: nothing can be put. */
  readonly owned?: ContentStore | undefined;
}

/** Where an address leads. */
interface Place {
  get(options: ContentReadOptions): Promise<Uint8Array>;
  stream(options: ContentReadOptions): AsyncIterable<Uint8Array>;
  /** On this machine already: a copy in the node's folder would be no nearer. */
  readonly near: boolean;
  /** Hash of the whole object, where its address says it. */
  readonly whole?: string;
}

export class ContentReader {
  #files = new FsStore("/");
  #buckets = new Map<string, ObjectStore>();
  #memory: ContentMemory;

  constructor(
    private readonly config: StoreConfig,
    private readonly ports: Ports,
    private readonly parts: ContentParts = {},
  ) {
    this.#memory = parts.memory ?? new ContentMemory();
  }

  /**
   * All of the content.
   * @throws {MillraceError} `MILL_CONTENT_ADDRESS`, `MILL_CONTENT_HASH`, `MILL_CONTENT_SLOW`, `MILL_SOURCE_CHANGED`, `MILL_STORE_*`
   */
  async bytes(value: ContentValue, signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    if (value.bytes !== undefined && value.bytes !== null) return value.bytes;
    const hash = hashOf(value);
    if (hash === undefined) return this.#part(value, signal);
    return this.#memory.bytes(hash, (all) => this.#fromNode(value, hash, all), signal);
  }

  /** The content in pieces. @throws as `bytes` */
  async *stream(value: ContentValue, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    signal?.throwIfAborted();
    const hash = hashOf(value);
    const held = value.bytes ?? (hash === undefined ? undefined : this.#memory.get(hash));
    if (held !== undefined) {
      if (held.length > 0) yield held;
      return;
    }
    const place = this.#placeOf(value.uri);
    const kept =
      hash === undefined || place.near
        ? undefined
        : await this.parts.cache?.open(value, hash, () => this.#pieces(value, place, signal), signal);
    yield* kept ?? this.#pieces(value, place, signal);
  }

  slice(value: Content, range: ContentRange): Content;
  slice(value: ObjectRef, range: ContentRange): ObjectRef;
  slice(value: ObjectRef, range: ContentRange): ObjectRef {
    return sliceContent(value, range);
  }

  /** @throws {MillraceError} `MILL_STORE_*`: what the store said; nothing refers to what was put so far */
  async put(
    bytes: Uint8Array,
    { mediaType = "", signal }: { readonly mediaType?: string; readonly signal?: AbortSignal } = {},
  ): Promise<Content> {
    const { owned, cache } = this.parts;
    invariant(owned !== undefined, "whoever puts content was given a place for it");
    signal?.throwIfAborted();
    const sha256 = sha256Of(bytes);
    const { near } = this.#placeOf(`${owned.prefix}${sha256}`);
    this.#memory.keep(sha256, { bytes, isNear: near || cache?.keeps(bytes.length) === true });
    const kept = near ? undefined : cache?.keep(sha256, bytes);
    try {
      const uri = await unlessAborted(owned.put(sha256, bytes, mediaType), signal);
      return { uri, offset: 0n, sizeBytes: BigInt(bytes.length), sha256, mediaType, bytes: null };
    } finally {
      await kept; // does not fail; afterwards nothing is under way
    }
  }

  /** Everything that matches, sorted by URI. Relative patterns start at the current folder. */
  async list(pattern: string): Promise<ListedContent[]> {
    const s3 = /^s3:\/\/([^/]+)\/(.*)$/.exec(pattern);
    const found = s3 === null ? await this.#listFiles(pattern) : await this.#listBucket(s3[1]!, s3[2]!);
    return found.sort((a, b) => (a.uri < b.uri ? -1 : 1));
  }

  async close(): Promise<void> {
    for (const store of this.#buckets.values()) await store.close();
  }

  async #listFiles(pattern: string): Promise<ListedContent[]> {
    // A relative one stays so: what the current folder is called is no part of the pattern.
    const paths = await glob(pattern.startsWith("file://") ? pathOf(pattern) : pattern, {
      absolute: true,
      onlyFiles: true,
    });
    const infos = await Promise.all(paths.map((file) => this.#files.head(file.slice(1))));
    return infos.filter((info) => info !== undefined).map((info) => listed(pathToFileURL(`/${info.key}`).href, info));
  }

  async #listBucket(bucket: string, pattern: string): Promise<ListedContent[]> {
    const matches = picomatch(pattern);
    const prefix = picomatch.scan(pattern).base.replace(/\\(.)/g, "$1");
    const found: ListedContent[] = [];
    for await (const info of this.#bucket(bucket).list(prefix)) {
      if (matches(info.key)) found.push(listed(`s3://${bucket}/${info.key}`, info));
    }
    return found;
  }

  /** Content whose hash is known. */
  async #fromNode(ref: ContentRef, hash: string, signal: AbortSignal): Promise<Brought> {
    const place = this.#placeOf(ref.uri);
    const read = () => this.#read(ref, place, signal);
    const { cache } = this.parts;
    if (cache === undefined || place.near) return { bytes: await read(), isNear: place.near };
    const bytes = await cache.bytes(ref, hash, read, signal);
    return { bytes, isNear: cache.keeps(bytes.length) };
  }

  /** Content whose hash is not known; it may be a part of some that is kept here. */
  async #part(ref: ContentRef, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const place = this.#placeOf(ref.uri);
    const range = rangeOf(ref).range;
    if (place.whole !== undefined && range !== undefined) {
      const whole = this.#memory.get(place.whole);
      const kept = whole === undefined ? await this.parts.cache?.part(place.whole, range) : cut(whole, range);
      if (kept !== undefined) {
        checkContent(ref, kept);
        return kept;
      }
    }
    return this.#read(ref, place, signal);
  }

  async #read(ref: ContentRef, place: Place, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const parts = Math.max(1, Math.ceil(Number(ref.sizeBytes) / limits.storeMultipartBytes));
    const wait = new Patience(this.ports, ref.uri, signal);
    const get = (hashed: boolean) =>
      wait.within(parts * limits.contentTimeoutMs, () => place.get({ ...rangeOf(ref), hashed, signal: wait.signal }));
    const hashed = hashOf(ref) !== undefined;
    if (hashed) {
      const bytes = await get(true);
      if (isContent(ref, bytes)) return bytes;
    }
    // With the store's own checksums, which tell what was damaged on the way from what is not what it must be.
    const bytes = await get(false);
    checkContent(ref, bytes);
    return bytes;
  }

  #pieces(ref: ContentRef, place: Place, signal: AbortSignal | undefined): AsyncIterable<Uint8Array> {
    const wait = new Patience(this.ports, ref.uri, signal);
    return checked(ref, wait.over(place.stream({ ...rangeOf(ref), signal: wait.signal })));
  }

  #placeOf(uri: string): Place {
    const { owned, http } = this.parts;
    const whole = owned?.hashIn(uri);
    if (owned !== undefined && whole !== undefined) {
      return {
        get: (options) => owned.get(whole, options),
        stream: (options) => owned.stream(whole, options),
        near: uri.startsWith("file:"),
        whole,
      };
    }
    if (uri.startsWith("file://")) return inStore(this.#files, pathOf(uri).slice(1), true);
    const s3 = /^s3:\/\/([^/]+)\/(.+)$/s.exec(uri);
    if (s3 !== null) return inStore(this.#bucket(s3[1]!), s3[2]!, false);
    if (/^data:/i.test(uri)) return inHand(uri);
    if (/^https?:\/\//i.test(uri) && http !== undefined) {
      return { get: (options) => http.get(uri, options), stream: (options) => http.stream(uri, options), near: false };
    }
    throw noAddress(uri);
  }

  #bucket(name: string): ObjectStore {
    let store = this.#buckets.get(name);
    if (store === undefined) {
      store = openStore(`s3://${name}`, this.config, this.ports);
      this.#buckets.set(name, store);
    }
    return store;
  }
}

/** How long a read may keep its caller waiting. */
class Patience {
  #late = new AbortController();
  readonly signal: AbortSignal;

  constructor(
    private readonly ports: Ports,
    private readonly uri: string,
    outer: AbortSignal | undefined,
  ) {
    this.signal = outer === undefined ? this.#late.signal : AbortSignal.any([outer, this.#late.signal]);
  }

  async within<T>(boundMs: number, act: () => Promise<T>): Promise<T> {
    const timer = this.ports.clock.after(boundMs, () => this.#late.abort(slow(this.uri, boundMs)));
    try {
      return await unlessAborted(act(), this.signal);
    } finally {
      timer.cancel();
    }
  }

  /** Time counts while a piece is waited for, not while its taker works; each 8 MiB begin it anew. */
  async *over(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { clock } = this.ports;
    const source = pieces[Symbol.asyncIterator]();
    let leftMs: number = limits.contentTimeoutMs;
    let got = 0;
    let ended = false;
    try {
      for (;;) {
        const fromMs = clock.monotonicMs();
        const next = await this.within(Math.max(leftMs, 0), () => source.next());
        if (next.done === true) {
          ended = true;
          return;
        }
        leftMs -= clock.monotonicMs() - fromMs;
        got += next.value.length;
        if (got >= limits.storeMultipartBytes) [leftMs, got] = [limits.contentTimeoutMs, 0];
        yield next.value;
      }
    } finally {
      if (!ended) source.return?.()?.catch(() => {}); // its reader has a better reason to fail
    }
  }
}

function inStore(store: ObjectStore, key: string, near: boolean): Place {
  return { get: (options) => store.get(key, options), stream: (options) => store.stream(key, options), near };
}

/** A `data:` address. */
function inHand(uri: string): Place {
  const get = async ({ range }: ContentReadOptions) => cut(bytesOfDataUri(uri), range);
  return {
    get,
    async *stream(options) {
      yield await get(options);
    },
    near: true,
  };
}

/** Of an object as a whole all is read, also where a size is given: then one that has grown is noticed. */
function rangeOf(ref: ContentRef): { readonly range?: ByteRange } {
  if (isWhole(ref)) return {};
  const { offset, sizeBytes } = ref;
  return { range: { offset: Number(offset), length: sizeBytes < 0n ? Number.MAX_SAFE_INTEGER : Number(sizeBytes) } };
}

function pathOf(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw noAddress(uri, error);
  }
}

function noAddress(uri: string, cause?: unknown): MillraceError {
  return new MillraceError(
    "MILL_CONTENT_ADDRESS",
    `"${shown(uri)}" cannot be read. Use a file://, s3://, http://, https:// or data: address.`,
    { uri: shown(uri) },
    { cause },
  );
}

function slow(uri: string, boundMs: number): MillraceError {
  return new MillraceError(
    "MILL_CONTENT_SLOW",
    `${shown(uri)} did not come within ${boundMs} ms for its next ${limits.storeMultipartBytes} bytes. Look at the server and the network, then run again.`,
    { uri: shown(uri), boundMs },
  );
}

function listed(uri: string, { sizeBytes, version }: ObjectInfo): ListedContent {
  return { uri, sizeBytes, version };
}
