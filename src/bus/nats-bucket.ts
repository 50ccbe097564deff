/**
 * A bucket as a JetStream key-value bucket with one revision of history, in files. Reads go to the stream's leader.
 *
 * Keys are never listed: the client's listing waits for as many as were there when it began, and for ever where one of them is
 * written or deleted meanwhile.
 */
import { StorageType } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { Bucket, BucketEntry } from "./bus.js";
import { bucketConflict } from "./memory-bucket.js";
import { isConflict, storageError } from "./nats-errors.js";
import { checkFits, type JetStream, whileOpen } from "./nats-log.js";
import { checkKey } from "./syntax.js";

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
    if (entry === null || entry.operation !== "PUT") return undefined;
    return { key: entry.key, value: entry.value, revision: BigInt(entry.revision) };
  }

  async update(key: string, value: Uint8Array, revision: bigint): Promise<bigint> {
    checkKey(key);
    checkFits(this.js, `bucket ${this.name}`, value);
    this.js.ended.throwIfAborted();
    try {
      const write = revision === 0n ? this.kv.create(key, value) : this.kv.update(key, value, Number(revision));
      return BigInt(await whileOpen(this.js, write));
    } catch (error) {
      if (isConflict(error)) throw bucketConflict(this.name, key, revision);
      throw storageError(error, `update ${key} in bucket ${this.name}`);
    }
  }

  /** A purge of the stream by subject: one request, and no marker is left of any key. */
  async deleteBelow(key: string): Promise<void> {
    checkKey(key);
    const filter = `$KV.${this.name}.${key}.>`;
    await this.call(`delete what is below ${key} from`, () =>
      this.js.manager.streams.purge(`KV_${this.name}`, { filter }),
    );
  }

  private async call<T>(verb: string, fn: () => Promise<T>): Promise<T> {
    this.js.ended.throwIfAborted();
    try {
      return await whileOpen(this.js, fn());
    } catch (error) {
      throw storageError(error, `${verb} bucket ${this.name}`);
    }
  }
}
