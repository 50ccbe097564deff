/** An object store in this process's memory: for embedded runs and tests. Nothing survives the process (O4 does not apply). */
import type { Clock } from "../base/ports.js";
import { checkKey, collect, compareKeys, cut, inHand, joined, notFound } from "./object-calls.js";
import type {
  ByteRange,
  CallOptions,
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
} from "./object-store.js";

interface Kept {
  readonly pieces: readonly Uint8Array[];
  readonly info: ObjectInfo;
  readonly sinceMs: number;
}

export class MemoryStore implements ObjectStore {
  readonly url = "memory:";
  #objects = new Map<string, Kept>();
  #writes = 0;

  /** @param clock without one, everything is as new as can be */
  constructor(private readonly clock: Pick<Clock, "nowMs"> = { nowMs: () => Number.MAX_SAFE_INTEGER }) {}

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    checkKey(key);
    // Pieces that were given away are kept as they are: they may be all that a large job has under way.
    const given = inHand(body) && !(body instanceof Uint8Array);
    options.signal?.throwIfAborted();
    return this.#keep(key, given ? [...body] : [await collect(body, options.signal)]);
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    checkKey(key);
    options.signal?.throwIfAborted();
    const there = this.#objects.get(key);
    if (there !== undefined) return { created: false, existing: joined(there.pieces) } as const;
    this.#keep(key, [new Uint8Array(bytes)]); // `slice` of a Buffer would share its memory
    return { created: true } as const;
  }

  async get(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): Promise<Uint8Array> {
    checkKey(key);
    // An abort that comes right after the call finds it unfinished, as it does in the other stores.
    await Promise.resolve();
    options.signal?.throwIfAborted();
    const found = this.#objects.get(key);
    if (found === undefined) throw notFound(this.url, key);
    const [only] = found.pieces;
    const whole = only !== undefined && found.pieces.length === 1 ? only : joined(found.pieces);
    return new Uint8Array(cut(whole, options.range));
  }

  async *stream(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): AsyncIterable<Uint8Array> {
    const bytes = await this.get(key, options);
    if (bytes.length > 0) yield bytes;
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    checkKey(key);
    options.signal?.throwIfAborted();
    return this.#objects.get(key)?.info;
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<ListedObject> {
    options.signal?.throwIfAborted();
    const found = [...this.#objects.values()].filter(({ info }) => info.key.startsWith(prefix));
    for (const { info, sinceMs } of found.sort((a, b) => compareKeys(a.info.key, b.info.key))) {
      options.signal?.throwIfAborted();
      yield { ...info, sinceMs };
    }
  }

  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    checkKey(from);
    checkKey(to);
    options.signal?.throwIfAborted();
    const found = this.#objects.get(from);
    if (found === undefined) {
      if (this.#objects.has(to)) return;
      throw notFound(this.url, from);
    }
    this.#objects.delete(from);
    this.#keep(to, found.pieces);
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    checkKey(key);
    options.signal?.throwIfAborted();
    this.#objects.delete(key);
  }

  async check(): Promise<void> {}
  async close(): Promise<void> {}

  #keep(key: string, pieces: readonly Uint8Array[]): ObjectInfo {
    const sizeBytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const info = { key, sizeBytes, version: String(++this.#writes) };
    this.#objects.set(key, { pieces, info, sinceMs: this.clock.nowMs() });
    return info;
  }
}
