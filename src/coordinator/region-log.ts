/**
 * Reads the newest part of a region's log. Older records are deleted while the log grows (`checkpoint/retention.ts`).
 *
 * Invariants (L3 and L4 are those of `region-floor.ts`):
 *   L1  What is read ends with the newest record there is, and nothing is read only where there has never been a record. The record
 *       behind the last one was not found, and the floor, asked afterwards, is not above it. A listing, which may be old, saves reading what
 *       lies before the newest records, no more.
 *   L2  It has no gap, and goes back to the `commits`th commit, or to the floor. What lies below counts for nothing:
 *       somebody who did not know how far the log had gone wrote it, or it is still to be deleted.
 */
import { MillraceError } from "../base/errors.js";
import { type JobKeys, numberIn } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type RegionRecord, regionRecordFrame } from "../wire/stored.js";

/** Where its records are. */
export interface RegionLogPlace {
  readonly store: ObjectStore;
  readonly keys: JobKeys;
  readonly region: string;
}

export interface RegionLog extends RegionLogPlace {
  /** Number of a record that is known to have been there; undefined: none is. */
  readonly first?: bigint | undefined;
  /** `RegionFloors.read` of it. */
  floor(): Promise<bigint>;
}

/** Times that a log is read whose records are deleted meanwhile, or are not where a listing says, before reading is put off. */
const READINGS_MAX = 3;

/** @returns oldest first @throws {MillraceError} `MILL_STORE_FAILED` where listings stay too old; whatever store and bus raise */
export async function readRegionLog(log: RegionLog, commits: number): Promise<RegionRecord[]> {
  for (let i = 0; i < READINGS_MAX; i++) {
    const floor = await log.floor();
    const listed = (await listNumbers(log)).at(-1) ?? 0n;
    const known = [listed, log.first ?? 0n].reduce((a, b) => (b > a ? b : a), floor);
    const from = known > 0n ? known : 1n;
    const records = await readUp(log, from);
    if ((await log.floor()) > from + BigInt(records.length)) continue; // L4
    if (records.length > 0) return readDown(log, records, commits, floor);
    if (known === 0n) return []; // L1
  }
  throw new MillraceError(
    "MILL_STORE_FAILED",
    `the log of region "${log.region}" changes while it is read: records that ${log.store.url} lists are not there.`,
    { region: log.region },
  );
}

async function readUp(log: RegionLog, from: bigint): Promise<RegionRecord[]> {
  const records: RegionRecord[] = [];
  for (let next = await recordAt(log, from); next !== undefined; ) {
    records.push(next);
    next = await recordAt(log, next.number + 1n);
  }
  return records;
}

/** L2 */
async function readDown(log: RegionLog, newest: readonly RegionRecord[], commits: number, floor: bigint) {
  const records = [...newest];
  const enough = () => records.filter(({ kind }) => kind === "COMMIT").length >= commits;
  while (!enough() && records[0]!.number > (floor > 1n ? floor : 1n)) {
    const before = await recordAt(log, records[0]!.number - 1n);
    if (before === undefined) break;
    records.unshift(before);
  }
  return records;
}

/** Numbers of the records that a listing names, in order. */
export async function listNumbers(log: RegionLogPlace): Promise<bigint[]> {
  const numbers: bigint[] = [];
  for await (const { key } of log.store.list(log.keys.regionLog(log.region))) {
    const number = numberIn(key);
    if (number !== undefined) numbers.push(number);
  }
  return numbers;
}

async function recordAt({ store, keys, region }: RegionLogPlace, number: bigint): Promise<RegionRecord | undefined> {
  try {
    return regionRecordFrame.decode(await store.get(keys.regionRecord(region, number))).header;
  } catch (error) {
    if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") return undefined;
    throw error;
  }
}
