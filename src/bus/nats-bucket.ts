/** A bucket as a JetStream key-value bucket with one revision of history, in files. Reads go to the stream's leader. */
import { StorageType } from "@nats-io/jetstream";
import { type KV, type KvEntry, Kvm } from "@nats-io/kv";
import { MillraceError } from "../base/errors.js";
import type { Bucket, BucketEntry } from "./bus.js";
import { closedError } from "./delivery.js";
import { type BucketChange, bucketConflict } from "./memory-bucket.js";
import { isConflict, storageError } from "./nats-errors.js";
import { checkFits, type JetStream, whileOpen } from "./nats-log.js";
import { checkKey, checkKeyPattern } from "./syntax.js";

export async function openNatsBucket(js: JetStream, name: string): Promise<Bucket> {
  try {
    const kv = await new Kvm(js.client).create(name, {
      history: 1,
      storage: StorageType.File,
      replicas: js.replicas,
      // A direct read may be answered by a replica that lags behind: no read-after-write.
      allow_direct: false,
    });
    return new NatsBucket(js, name, kv);
  } catch (error) {
    throw storageError(error, `bucket ${name}`);
  }
}

class NatsBucket implements Bucket {
  constructor(
    private readonly js: JetStream,
    private readonly name: string,
    private readonly kv: KV,
  ) {}

  async get(key: string): Promise<BucketEntry | undefined> {
    checkKey(key);
    const entry = await this.call(`get ${key} from`, () => this.kv.get(key));
    return entry === null || entry.operation !== "PUT" ? undefined : entryOf(entry);
  }

  async put(key: string, value: Uint8Array): Promise<bigint> {
    checkKey(key);
    checkFits(this.js, `bucket ${this.name}`, value);
    return BigInt(await this.call(`put ${key} into`, () => this.kv.put(key, value)));
  }

  async update(key: string, value: Uint8Array, revision: bigint): Promise<bigint> {
    checkKey(key);
    checkFits(this.js, `bucket ${this.name}`, value);
    try {
      const write = revision === 0n ? this.kv.create(key, value) : this.kv.update(key, value, Number(revision));
      return BigInt(await whileOpen(this.js, write));
    } catch (error) {
      if (isConflict(error)) throw bucketConflict(this.name, key, revision);
      throw storageError(error, `update ${key} in bucket ${this.name}`);
    }
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    await this.call(`delete ${key} from`, () => this.kv.delete(key));
  }

  async keys(): Promise<string[]> {
    const listed = await this.call("list the keys of", () => this.kv.keys(), stopIt);
    return this.call("list the keys of", async () => {
      const keys: string[] = [];
      const stop = () => stopIt(listed);
      this.js.ended.addEventListener("abort", stop, { once: true });
      try {
        for await (const key of listed) keys.push(key);
      } finally {
        this.js.ended.removeEventListener("abort", stop);
        stop();
      }
      return keys;
    });
  }

  watch(key: string, signal: AbortSignal): AsyncIterable<BucketChange> {
    checkKeyPattern(key);
    return this.changes(key, signal);
  }

  private async *changes(key: string, signal: AbortSignal): AsyncGenerator<BucketChange> {
    if (signal.aborted) return;
    const entries = await this.call(`watch ${key} in`, () => this.kv.watch({ key }), stopIt);
    const stop = () => entries.stop();
    const either = AbortSignal.any([signal, this.js.ended]);
    either.addEventListener("abort", stop, { once: true });
    if (either.aborted) stop();
    // A deletion is news only of a key that this watcher was shown; the bucket keeps markers of older ones.
    const shown = new Set<string>();
    try {
      for await (const entry of entries) {
        if (signal.aborted) return;
        if (entry.operation === "PUT") {
          shown.add(entry.key);
          yield entryOf(entry);
        } else if (shown.delete(entry.key)) yield { key: entry.key, deleted: true };
      }
    } finally {
      either.removeEventListener("abort", stop);
      stop();
    }
    if (signal.aborted) return;
    if (this.js.ended.aborted) throw closedError(`watch bucket ${this.name}`);
    throw new MillraceError("MILL_BUS_UNREACHABLE", `watch bucket ${this.name}: the server ended it. Watch it again.`);
  }

  private async call<T>(verb: string, fn: () => Promise<T>, late?: (value: T) => void): Promise<T> {
    this.js.ended.throwIfAborted();
    try {
      return await whileOpen(this.js, fn(), late);
    } catch (error) {
      throw storageError(error, `${verb} bucket ${this.name}`);
    }
  }
}

function stopIt(iterator: { stop(): void }): void {
  iterator.stop();
}

function entryOf(entry: KvEntry): BucketEntry {
  return { key: entry.key, value: entry.value, revision: BigInt(entry.revision) };
}
