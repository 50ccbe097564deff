/**
 * One process's view of the simulated object store: the `ObjectStore` port over one `MemoryStore`, with virtual time and
 * faults.
 *
 * A call is three events: the request on its way, its effect at the store (also when the caller is dead by then), and the
 * answer. Faults: slow; an error before the effect; an error after it; a listing that is some seconds old; a process that
 * cannot reach the store. Errors are those that a real store raises when its own retries are used up (O5).
 *
 * Not injected: a write that is seen in part (O1), a read that misses an acknowledged write (O2), two creators that both
 * win (O3): no supported store does these, and the conformance suite holds them to it.
 */
import { MillraceError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import { checkKey, collect, notFound, unlessAborted } from "../../src/storage/object-calls.js";
import type {
  ByteRange,
  CallOptions,
  ListedObject,
  ObjectBody,
  ObjectInfo,
  ObjectStore,
  PutOptions,
} from "../../src/storage/object-store.js";
import type { SharedStore } from "./shared-store.js";
import type { SimProcess } from "./sim-process.js";

export class SimStore implements ObjectStore {
  readonly url: string;

  constructor(
    private readonly process: SimProcess,
    private readonly shared: SharedStore,
    /** Every key of this view begins with it at the store. */
    private readonly prefix = "",
  ) {
    this.url = `sim:${prefix}`;
  }

  async put(key: string, body: ObjectBody, options: PutOptions = {}): Promise<ObjectInfo> {
    const at = this.#key(key);
    const bytes = await collect(body, options.signal);
    const info = await this.#call(
      `put ${at}`,
      options,
      () => this.shared.put(at, bytes, this.process),
      () => this.shared.putMs(at),
    );
    return this.#own(info);
  }

  async create(key: string, bytes: Uint8Array, options: PutOptions = {}) {
    const at = this.#key(key);
    const copy = new Uint8Array(bytes);
    return this.#call(`create ${at}`, options, () => this.shared.create(at, copy, this.process));
  }

  async get(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): Promise<Uint8Array> {
    const at = this.#key(key);
    const range = options.range === undefined ? {} : { range: options.range };
    try {
      return await this.#call(`get ${at}`, options, () => this.shared.objects.get(at, range));
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") throw notFound(this.url, key);
      throw error;
    }
  }

  async *stream(key: string, options: CallOptions & { readonly range?: ByteRange } = {}): AsyncIterable<Uint8Array> {
    const bytes = await this.get(key, options);
    if (bytes.length > 0) yield bytes;
  }

  async head(key: string, options: CallOptions = {}): Promise<ObjectInfo | undefined> {
    const at = this.#key(key);
    const info = await this.#call(`head ${at}`, options, () => this.shared.objects.head(at));
    return info === undefined ? undefined : this.#own(info);
  }

  async *list(prefix: string, options: CallOptions = {}): AsyncIterable<ListedObject> {
    const at = this.prefix + prefix;
    const found = await this.#call(`list ${at}`, options, () => this.shared.list(at));
    for (const info of found) {
      options.signal?.throwIfAborted();
      yield this.#own(info);
    }
  }

  /** Copy, then delete, as object stores do it: a crash may fall between the two. */
  async move(from: string, to: string, options: CallOptions = {}): Promise<void> {
    const [source, target] = [this.#key(from), this.#key(to)];
    await this.#call(`copy ${source} to ${target}`, options, () => this.shared.copy(source, target, this.process));
    if (source !== target) {
      await this.#call(`delete ${source}`, options, () => this.shared.delete(source, this.process));
    }
  }

  async delete(key: string, options: CallOptions = {}): Promise<void> {
    const at = this.#key(key);
    await this.#call(`delete ${at}`, options, () => this.shared.delete(at, this.process));
  }

  async check(): Promise<void> {
    await this.#call("check", {}, () => Promise.resolve());
  }

  async close(): Promise<void> {}

  #key(key: string): string {
    checkKey(key);
    return this.prefix + key;
  }

  #own<Info extends ObjectInfo>(info: Info): Info {
    return { ...info, key: info.key.slice(this.prefix.length) };
  }

  #call<T>(
    label: string,
    options: CallOptions,
    apply: () => Promise<T>,
    wayMs = () => this.shared.latencyMs(),
  ): Promise<T> {
    options.signal?.throwIfAborted();
    return unlessAborted(this.#unabortable(label, apply, wayMs), options.signal);
  }

  #unabortable<T>(label: string, apply: () => Promise<T>, wayMs: () => number): Promise<T> {
    const { process, shared } = this;
    const { world, faults } = shared;
    return new Promise((resolve, reject) => {
      const answer = (delayMs: number, then: () => void) => process.later(delayMs, `store answers: ${label}`, then);
      if (shared.isCutOff(process.name) || faults.strikes("store-fails-before")) {
        answer(shared.failureMs(), () => reject(unreachable(label)));
        return;
      }
      const after = faults.strikes("store-fails-after");
      world.schedule(undefined, wayMs(), `store: ${label} by ${process.name}`, () => {
        const done = apply();
        if (after || shared.isCutOff(process.name)) {
          done.catch(() => {});
          answer(shared.failureMs(), () => reject(unreachable(label)));
          return;
        }
        done.then(
          (value) => answer(shared.latencyMs(), () => resolve(value)),
          (error: unknown) => answer(shared.latencyMs(), () => reject(error)),
        );
      });
    });
  }
}

function unreachable(what: string): MillraceError {
  return new MillraceError(
    "MILL_STORE_UNREACHABLE",
    `${what}: the store did not answer in ${limits.storeAttemptsMax} attempts.`,
    { what },
  );
}
