/** A bucket's meaning in memory: it lasts as long as its system. */
import { MillraceError } from "../base/errors.js";
import type { BucketEntry } from "./bus.js";

export class MemoryBucket {
  private readonly entries = new Map<string, BucketEntry>();
  private revision = 0n;

  constructor(readonly name: string) {}

  get(key: string): BucketEntry | undefined {
    return this.entries.get(key);
  }

  update(key: string, value: Uint8Array, revision: bigint): bigint {
    const found = this.entries.get(key)?.revision ?? 0n;
    if (found !== revision) throw bucketConflict(this.name, key, revision);
    this.revision += 1n;
    this.entries.set(key, { key, value, revision: this.revision });
    return this.revision;
  }

  deleteBelow(key: string): void {
    for (const one of this.entries.keys()) if (one.startsWith(`${key}.`)) this.entries.delete(one);
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
