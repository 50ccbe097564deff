/**
 * Decides what of a region's log, and of the snapshots that it refers to, is not needed any more.
 *
 * Pure: facts in, keys to delete out; `coordinator/region-retention.ts` deletes them.
 *
 * Invariants:
 *   H1  The newest `kept` commits stay, every record behind the oldest of them, and every snapshot that these refer to. So the
 *       records that stay have no gap between them, and the newest COMMIT is one of them. It says what the fences before it
 *       said: attempt and term are in every record.
 *   H2  A snapshot goes only when the place of its checkpoint in the log is taken and no record that stays refers to it: it
 *       is that of a commit that goes, of a checkpoint that was given up, or of an attempt that was too late.
 *   H3  What a savepoint that is being made still has to copy stays.
 *   H4  Records go oldest first, and only below the oldest commit that stays, which readers are told before (`coordinator/region-floor.ts`).
 */
import { invariant } from "../base/errors.js";

/** A record whose content is known. */
export interface LoggedRecord {
  readonly number: bigint;
  readonly kind: "COMMIT" | "FENCE";
  /** Of the snapshots that it refers to. */
  readonly snapshots: readonly string[];
}

export interface StoredSnapshot {
  readonly key: string;
  readonly checkpoint: bigint;
}

export interface RetentionFacts {
  /** The newest ones without a gap, in order: all there are, or at least down to as many commits as are kept. */
  readonly records: readonly LoggedRecord[];
  /** Numbers of older records that may still be there. */
  readonly older: readonly bigint[];
  /** Snapshots that may be there, beside those that `records` refer to. */
  readonly snapshots: readonly StoredSnapshot[];
  /** Keys that a savepoint still has to copy. */
  readonly pinned: ReadonlySet<string>;
}

export interface Retention {
  /** The oldest commit that stays where older records may go; 0: none goes. */
  readonly keptFrom: bigint;
  /** In the order in which they have to go (H4). */
  readonly records: readonly bigint[];
  readonly snapshots: readonly string[];
}

export function decideRetention(facts: RetentionFacts, commitsKept: number): Retention {
  invariant(commitsKept >= 1, "the newest commit is kept");
  const { records, pinned } = facts;
  for (const [i, { number }] of records.entries()) {
    invariant(i === 0 || number === records[i - 1]!.number + 1n, "the known part of a region's log has no gap");
  }
  const commits = records.filter(({ kind }) => kind === "COMMIT");
  const oldest = commits.length < commitsKept ? undefined : commits.at(-commitsKept)!.number;
  const goes = (number: bigint) => oldest !== undefined && number < oldest;
  const newest = records.at(-1)?.number ?? 0n;
  const needed = new Set(records.filter(({ number }) => !goes(number)).flatMap((record) => record.snapshots));
  const there = [
    ...records.flatMap((record) => record.snapshots.map((key) => ({ key, checkpoint: record.number }))),
    ...facts.snapshots,
  ];
  const unneeded = there
    .filter(({ key, checkpoint }) => checkpoint <= newest && !needed.has(key) && !pinned.has(key))
    .map(({ key }) => key);
  const numbers = new Set([...facts.older, ...records.map(({ number }) => number)].filter(goes));
  return {
    keptFrom: oldest ?? 0n,
    records: [...numbers].sort((a, b) => (a < b ? -1 : 1)),
    snapshots: [...new Set(unneeded)].sort(),
  };
}
