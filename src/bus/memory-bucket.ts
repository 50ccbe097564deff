/** A bucket's meaning in memory: it lasts as long as its system. */
import { MillraceError } from "../base/errors.js";
import type { BucketEntry } from "./bus.js";
import { Changes } from "./changes.js";
import { matches } from "./syntax.js";

export type BucketChange = BucketEntry | { readonly key: string; readonly deleted: true };

export class MemoryBucket {
  readonly changes = new Changes();
  private readonly entries = new Map<string, BucketEntry>();
  /** Newest change of each key with its revision, so that a watcher that was away sees where each key has got to. */
  private readonly newest = new Map<string, { readonly revision: bigint; readonly change: BucketChange }>();
  private revision = 0n;

  constructor(readonly name: string) {}

  get(key: string): BucketEntry | undefined {
    return this.entries.get(key);
  }

  put(key: string, value: Uint8Array): bigint {
    this.revision += 1n;
    const entry = { key, value, revision: this.revision };
    this.entries.set(key, entry);
    this.record(key, entry);
    return this.revision;
  }

  update(key: string, value: Uint8Array, revision: bigint): bigint {
    const found = this.entries.get(key)?.revision ?? 0n;
    if (found !== revision) throw bucketConflict(this.name, key, revision);
    return this.put(key, value);
  }

  delete(key: string): void {
    this.revision += 1n;
    this.entries.delete(key);
    this.record(key, { key, deleted: true });
  }

  keys(): string[] {
    return [...this.entries.keys()];
  }

  /** The newest change of each key after `revision`, oldest first. */
  changesAfter(revision: bigint, pattern: readonly string[]): { revision: bigint; changes: BucketChange[] } {
    const changes: BucketChange[] = [];
    for (const [key, newest] of this.newest) {
      if (newest.revision > revision && matches(pattern, key.split("."))) changes.push(newest.change);
    }
    return { revision: this.revision, changes };
  }

  private record(key: string, change: BucketChange): void {
    this.newest.delete(key); // so that the map's order is the order of change
    this.newest.set(key, { revision: this.revision, change });
    this.changes.announce();
  }
}

export function bucketConflict(bucket: string, key: string, revision: bigint): MillraceError {
  const expected = revision === 0n ? "absent" : `at revision ${revision}`;
  return new MillraceError(
    "MILL_BUS_CONFLICT",
    `update of ${key} in bucket ${bucket} expected it ${expected}, and it is not: somebody else has written. Read it again.`,
    { bucket, key, revision },
  );
}
