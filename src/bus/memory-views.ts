/** One connection's view of a log and a bucket in memory: asynchronous, validated, and over when the connection is. */
import type { Bucket, DurableLog, LogEntry } from "./bus.js";
import type { BucketChange, MemoryBucket } from "./memory-bucket.js";
import type { MemoryLog } from "./memory-log.js";
import { checkKey, checkKeyPattern, checkPayload } from "./syntax.js";

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
    async put(key, value) {
      check(key);
      return bucket.put(key, value);
    },
    async update(key, value, revision) {
      check(key);
      return bucket.update(key, value, revision);
    },
    async delete(key) {
      check(key);
      bucket.delete(key);
    },
    async keys() {
      ended.throwIfAborted();
      return bucket.keys();
    },
    watch(key, signal) {
      checkKeyPattern(key);
      return watchBucket(bucket, key.split("."), signal, ended);
    },
  };
}

async function* watchBucket(
  bucket: MemoryBucket,
  pattern: readonly string[],
  signal: AbortSignal,
  ended: AbortSignal,
): AsyncGenerator<BucketChange> {
  let seen = 0n;
  // A deletion is news only of a key that this watcher was shown.
  const shown = new Set<string>();
  const either = AbortSignal.any([signal, ended]);
  while (!signal.aborted) {
    ended.throwIfAborted();
    const { revision, changes } = bucket.changesAfter(seen, pattern);
    seen = revision;
    for (const change of changes) {
      if (signal.aborted) return;
      const isNews = !("deleted" in change) || shown.has(change.key);
      if ("deleted" in change) shown.delete(change.key);
      else shown.add(change.key);
      if (isNews) yield change;
    }
    if (changes.length === 0) await bucket.changes.wait(either);
  }
}
