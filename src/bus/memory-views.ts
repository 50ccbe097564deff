/** One connection's view of a log and a bucket in memory: asynchronous, validated, and over when the connection is. */
import type { Bucket, DurableLog, LogEntry } from "./bus.js";
import type { MemoryBucket } from "./memory-bucket.js";
import type { MemoryLog } from "./memory-log.js";
import { checkKey, checkPayload } from "./syntax.js";

export function logOf(log: MemoryLog, ended: AbortSignal): DurableLog {
  return {
    async append(payload, options) {
      ended.throwIfAborted();
      checkPayload(`log ${log.name}`, payload);
      return log.append(payload, options?.expectedLast);
    },
    read: (from, signal) => readLog(log, from, signal, ended),
    async last() {
      ended.throwIfAborted();
      return log.last();
    },
    async first() {
      ended.throwIfAborted();
      return log.first();
    },
    async incarnation() {
      ended.throwIfAborted();
      return log.incarnation();
    },
    async purgeBelow(sequence) {
      ended.throwIfAborted();
      log.purgeBelow(sequence);
    },
  };
}

async function* readLog(
  log: MemoryLog,
  from: bigint,
  signal: AbortSignal,
  ended: AbortSignal,
): AsyncGenerator<LogEntry> {
  let next = from;
  const either = AbortSignal.any([signal, ended]);
  while (!signal.aborted) {
    ended.throwIfAborted();
    const entry = log.at(next);
    if (entry === undefined) {
      await log.changes.wait(either);
      continue;
    }
    next = entry.sequence + 1n;
    yield entry;
  }
}

export function bucketOf(bucket: MemoryBucket, ended: AbortSignal): Bucket {
  const check = (key: string) => {
    ended.throwIfAborted();
    checkKey(key);
  };
  return {
    async get(key) {
      check(key);
      return bucket.get(key);
    },
    async update(key, value, revision) {
      check(key);
      return bucket.update(key, value, revision);
    },
    async deleteBelow(key) {
      check(key);
      bucket.deleteBelow(key);
    },
  };
}
