/**
 * A connection's view of a log and a bucket: each call is a question to the server, there and back, and each entry that is
 * followed comes as an event of the reading process.
 *
 * Faults: an update that finds another writer (conflict); an update, or any call of a log, that was carried out and whose answer is
 * lost.
 */
import { MillraceError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import type { Bucket, DurableLog } from "../../src/bus/bus.js";
import { bucketConflict, type MemoryBucket } from "../../src/bus/memory-bucket.js";
import type { MemoryLog } from "../../src/bus/memory-log.js";
import { logOf } from "../../src/bus/memory-views.js";
import { checkKey, checkPayload } from "../../src/bus/syntax.js";
import type { Faults } from "./faults.js";
import type { SimProcess } from "./sim-process.js";

/** What a connection lends to its logs and buckets. */
export interface ServerLine {
  readonly process: SimProcess;
  /** One question to the server, there and back. */
  call<T>(label: string, apply: () => T): Promise<T>;
}

export function simLog(log: MemoryLog, bus: ServerLine, ended: AbortSignal, faults: Faults): DurableLog {
  const call = async <T>(what: string, apply: () => T): Promise<T> => {
    if (ended.aborted) throw ended.reason;
    const value = await bus.call(`log ${log.name} ${what}`, apply);
    if (!faults.strikes("log-reply-lost")) return value;
    await bus.process.hop(limits.busRequestTimeoutMs, `log ${what} times out`);
    throw replyLostError(`log ${log.name} ${what}`);
  };
  const inMemory = logOf(log, ended);
  return {
    async append(payload, options) {
      checkPayload(`log ${log.name}`, payload);
      return call("append", () => log.append(payload, options?.expectedLast));
    },
    read: (from, signal) => asEvents(inMemory.read(from, signal), bus, `log ${log.name} entry`),
    last: () => call("last", () => log.last()),
    first: () => call("first", () => log.first()),
    incarnation: () => call("incarnation", () => log.incarnation()),
    purgeBelow: (sequence) => call("purge", () => log.purgeBelow(sequence)),
  };
}

export function simBucket(bucket: MemoryBucket, bus: ServerLine, ended: AbortSignal, faults: Faults): Bucket {
  const call = <T>(what: string, apply: () => T): Promise<T> => {
    if (ended.aborted) return Promise.reject(ended.reason);
    return bus.call(`bucket ${bucket.name} ${what}`, apply);
  };
  const write = async <T>(what: string, apply: () => T): Promise<T> => {
    const value = await call(what, apply);
    if (!faults.strikes("bucket-reply-lost")) return value;
    await bus.process.hop(limits.busRequestTimeoutMs, `bucket ${what} times out`);
    throw replyLostError(`bucket ${bucket.name} ${what}`);
  };
  return {
    async get(key) {
      checkKey(key);
      return call(`get ${key}`, () => bucket.get(key));
    },
    async update(key, value, revision) {
      checkKey(key);
      if (faults.strikes("bucket-conflict")) throw bucketConflict(bucket.name, key, revision);
      return write(`update ${key}`, () => bucket.update(key, value, revision));
    },
    async deleteBelow(key) {
      checkKey(key);
      return write(`delete below ${key}`, () => bucket.deleteBelow(key));
    },
  };
}

/** A paused process sees nothing of it until it is resumed, a dead one never. */
async function* asEvents<T>(items: AsyncIterable<T>, bus: ServerLine, label: string): AsyncIterable<T> {
  for await (const item of items) {
    await bus.process.hop(0.1, label);
    yield item;
  }
}

/** A call to the server of which nobody knows whether it was carried out. */
function replyLostError(what: string): MillraceError {
  return new MillraceError("MILL_BUS_TIMEOUT", `${what}: no answer; it may have been carried out or not.`, { what });
}
