/**
 * Reads the newest part of a region's log. Older records are deleted while the log grows (`checkpoint/retention.ts`).
 *
 * Invariants:
 *   L1  What is read ends with the newest record there is, also where a listing is old: it is where to begin, no more.
 *       Records are deleted oldest first, so a record behind which there is none is the newest (H4).
 *   L2  It has no gap, and goes back to the `commits`th commit, or as far as the log is there. What lies before a gap counts for
 *       nothing: somebody who did not know how far the log had gone wrote it, or it is still to be deleted.
 */
import { MillraceError } from "../base/errors.js";
import { type JobKeys, numberIn } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../wire/stored.js";

export interface RegionLog {
  readonly store: ObjectStore;
  readonly keys: JobKeys;
  readonly region: string;
  /** Number of a record that is known to have been there; undefined: none is. */
  readonly first?: bigint | undefined;
}

/** Listings in a row that may name a record that was deleted meanwhile before reading is put off. */
const LISTINGS_MAX = 3;

/** @returns oldest first @throws {MillraceError} `MILL_STORE_FAILED` where listings stay too old; whatever the store raises */
export async function readRegionLog(log: RegionLog, commits: number): Promise<RegionRecord[]> {
  for (let i = 0; i < LISTINGS_MAX; i++) {
    const listed = (await listNumbers(log)).at(-1) ?? log.first;
    const newest = await recordAt(log, listed ?? 1n);
    if (newest !== undefined) return readFrom(log, newest, commits);
    if (listed === undefined) return [];
  }
  throw new MillraceError(
    "MILL_STORE_FAILED",
    `the log of region "${log.region}" changes while it is read: records that ${log.store.url} lists are not there.`,
    { region: log.region },
  );
}

async function readFrom(log: RegionLog, from: RegionRecord, commits: number): Promise<RegionRecord[]> {
  const newer: RegionRecord[] = [];
  for (let next = await recordAt(log, from.number + 1n); next !== undefined; ) {
    newer.push(next);
    next = await recordAt(log, next.number + 1n);
  }
  const records = [from, ...newer];
  const enough = () => records.filter(({ kind }) => kind === "COMMIT").length >= commits;
  while (!enough() && records[0]!.number > 1n) {
    const before = await recordAt(log, records[0]!.number - 1n);
    if (before === undefined) break; // L2
    records.unshift(before);
  }
  return records;
}

/** Numbers of the records that a listing names, in order. */
export async function listNumbers(log: RegionLog): Promise<bigint[]> {
  const numbers: bigint[] = [];
  for await (const { key } of log.store.list(log.keys.regionLog(log.region))) {
    const number = numberIn(key);
    if (number !== undefined) numbers.push(number);
  }
  return numbers;
}

async function recordAt({ store, keys, region }: RegionLog, number: bigint): Promise<RegionRecord | undefined> {
  try {
    return regionRecordFrame.decode(await store.get(keys.regionRecord(region, number))).header;
  } catch (error) {
    if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") return undefined;
    throw error;
  }
}
