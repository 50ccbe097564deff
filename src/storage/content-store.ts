/**
 * Content that belongs to a job: kept by its hash below the job's `content/`, as long as something of the job refers to it.
 *
 * Invariants:
 *   D1  What `put` has resolved for can be read by every process that reaches the store, until no root of the job names it.
 *   D2  The same bytes have the same address, whoever puts them, and however often.
 *   D3  What was put longer ago than `limits.contentTouchMs` is put again before it is handed out again, so that its age in the store
 *       says when it was last needed.
 *   D4  Content that is not in its place may have been moved to the trash a moment ago: whoever wants it brings it back. It stays there
 *       as well: where a move is a copy and a delete, whoever moved it may have stood still between the two.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import { jobKeys } from "./keys.js";
import type { ObjectStore, ReadOptions } from "./object-store.js";

export type ContentReadOptions = ReadOptions;

export interface ContentStoreOptions {
  readonly store: ObjectStore;
  readonly job: JobId;
  readonly clock: Clock;
}

export class ContentStore {
  /** What addresses of this job's content begin with, up to the hash. */
  readonly prefix: string;
  /** By hash, oldest first: when it was put, by the monotonic clock; a put that is under way. */
  #known = new Map<string, { readonly putMs: number; readonly done: Promise<void> }>();
  #keys: ReturnType<typeof jobKeys>;

  constructor(private readonly options: ContentStoreOptions) {
    this.#keys = jobKeys(options.job);
    this.prefix = `${options.store.url}/${this.#keys.content("")}`;
  }

  /** The hash of owned content by its address; undefined: it is none of ours. */
  hashIn(uri: string): string | undefined {
    if (!uri.startsWith(this.prefix)) return undefined;
    const rest = uri.slice(this.prefix.length);
    return /^[0-9a-f]{64}$/.test(rest) ? rest : undefined;
  }

  /**
   * Resolves when the store has it (D1, D3).
   * @param sha256 of the bytes
   * @returns the address
   */
  async put(sha256: string, bytes: Uint8Array, mediaType = ""): Promise<string> {
    const nowMs = this.options.clock.monotonicMs();
    let known = this.#known.get(sha256);
    if (known === undefined || nowMs - known.putMs >= limits.contentTouchMs) {
      known = { putMs: nowMs, done: this.#put(sha256, bytes, mediaType) };
      this.#know(sha256, known);
      const mine = known;
      known.done.catch(() => {
        if (this.#known.get(sha256) === mine) this.#known.delete(sha256); // the next one tries again
      });
    }
    await known.done;
    return `${this.prefix}${sha256}`;
  }

  get(sha256: string, options: ContentReadOptions = {}): Promise<Uint8Array> {
    const { store } = this.options;
    return this.#found(sha256, () => store.get(this.#keys.content(sha256), options));
  }

  async *stream(sha256: string, options: ContentReadOptions = {}): AsyncIterable<Uint8Array> {
    const { store } = this.options;
    // What is missing says so on the first piece.
    const begun = await this.#found(sha256, async () => {
      const pieces = store.stream(this.#keys.content(sha256), options)[Symbol.asyncIterator]();
      return { pieces, first: await pieces.next() };
    });
    try {
      for (let next = begun.first; next.done !== true; next = await begun.pieces.next()) yield next.value;
    } finally {
      await begun.pieces.return?.();
    }
  }

  async #put(sha256: string, bytes: Uint8Array, mediaType: string): Promise<void> {
    const options = mediaType === "" ? {} : { contentType: mediaType };
    await this.options.store.put(this.#keys.content(sha256), bytes, { ...options, sha256 });
  }

  /** The newest last; a bounded number, for what is forgotten is only put once more. */
  #know(sha256: string, known: { readonly putMs: number; readonly done: Promise<void> }): void {
    this.#known.delete(sha256);
    this.#known.set(sha256, known);
    if (this.#known.size <= limits.contentKnownMax) return;
    const [oldest] = this.#known.keys();
    this.#known.delete(oldest!);
  }

  /** D4 */
  async #found<T>(sha256: string, read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      if (!isMissing(error)) throw error;
      try {
        const { store } = this.options;
        await store.put(this.#keys.content(sha256), store.stream(this.#keys.contentTrash(sha256)));
      } catch (failed) {
        throw isMissing(failed) ? error : failed;
      }
      return read();
    }
  }
}

function isMissing(error: unknown): boolean {
  return MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND";
}
