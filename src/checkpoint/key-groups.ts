/**
 * Key groups: how keys are shared out over parallel instances, and how their state moves when the number of instances changes.
 *
 * Pure. A key belongs to a group for ever; a group belongs to one instance at a time. The exchange that sends rows, the
 * operator that holds state and whoever moves state all ask here, so they cannot disagree.
 *
 * Invariants:
 *   K1  The group of a key depends on the key and the number of groups alone: the same in every process and version.
 *   K2  With any parallelism every group has exactly one owner, and an owner's groups are neighbours.
 *   K3  Redistribution keeps every group that holds something, once, at its owner. State that is there twice, or in no
 *       instance's range, is refused.
 *
 * Method: key groups of Apache Flink (FLINK-3755): state moves in whole groups, so keys are never looked at to move them.
 */
import { invariant, MillraceError } from "../base/errors.js";

/** Groups from `first` on, up to and not including `end`. */
export interface KeyGroupRange {
  readonly first: number;
  readonly end: number;
}

/** What one parallel instance holds: `groups` are those of its range that are not empty. */
export interface KeyGroupHolder<G extends { readonly group: number }> extends KeyGroupRange {
  readonly groups: readonly G[];
}

/** FNV-1a over UTF-16 code units, then the finalizer of MurmurHash3, so that the low bits depend on every character (K1). */
export function keyGroupOf(key: string, keyGroups: number): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) value = Math.imul(value ^ key.charCodeAt(i), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return ((value ^ (value >>> 16)) >>> 0) % keyGroups;
}

/** The instance that a group belongs to (K2). */
export function ownerOf(group: number, parallelism: number, keyGroups: number): number {
  return Math.floor((group * parallelism) / keyGroups);
}

/** The groups of one instance; none where there are more instances than groups and this one is left over. */
export function keyGroupRange(subtask: number, parallelism: number, keyGroups: number): KeyGroupRange {
  const start = (instance: number) => Math.ceil((instance * keyGroups) / parallelism);
  return { first: start(subtask), end: start(subtask + 1) };
}

/**
 * The state of all instances of an operator, shared out over another number of them.
 *
 * @param holders every instance's, in any order
 * @returns by instance
 * @throws {MillraceError} `MILL_STORE_CORRUPT`: a group is in two snapshots, or in none (K3)
 */
export function redistribute<G extends { readonly group: number }>(
  holders: readonly KeyGroupHolder<G>[],
  parallelism: number,
  keyGroups: number,
): KeyGroupHolder<G>[] {
  checkRanges(holders, keyGroups);
  const byGroup = new Map<number, G>();
  for (const { first, end, groups } of holders) {
    for (const one of groups) {
      if (one.group < first || one.group >= end) {
        throw corrupt(`key group ${one.group} is in the snapshot of an instance that has the groups from ${first} on`);
      }
      if (byGroup.has(one.group)) throw corrupt(`key group ${one.group} is there twice`);
      byGroup.set(one.group, one);
    }
  }
  const shared = Array.from({ length: parallelism }, (_, subtask) => {
    const range = keyGroupRange(subtask, parallelism, keyGroups);
    const groups: G[] = [];
    for (let group = range.first; group < range.end; group++) {
      const held = byGroup.get(group);
      if (held !== undefined) groups.push(held);
    }
    return { ...range, groups };
  });
  const kept = shared.reduce((sum, { groups }) => sum + groups.length, 0);
  invariant(kept === byGroup.size, "redistribution keeps every key group");
  return shared;
}

/** The ranges lie side by side, from the first group to the last. */
function checkRanges(holders: readonly KeyGroupRange[], keyGroups: number): void {
  let next = 0;
  for (const { first, end } of [...holders].sort((a, b) => a.first - b.first || a.end - b.end)) {
    if (first !== next)
      throw corrupt(`key group ${Math.min(first, next)} is in ${first > next ? "no" : "two"} snapshots`);
    next = end;
  }
  if (next !== keyGroups)
    throw corrupt(`there are ${keyGroups} key groups, and the snapshots hold those up to ${next}`);
}

function corrupt(what: string): MillraceError {
  return new MillraceError("MILL_STORE_CORRUPT", `keyed state: ${what}. Start from another checkpoint or savepoint.`);
}
