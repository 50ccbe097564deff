/**
 * What clean-up may not delete, whoever does it and whatever that one believes.
 *
 *   KEPT1  The newest `limits.checkpointsKept` commits of a region's log, and every record behind the oldest of them, stay.
 *   KEPT2  The snapshots that these commits refer to were there before them, and stay.
 *   KEPT3  What a savepoint refers to was there before it, and stays.
 */
import { limits } from "../../../src/base/limits.js";
import { regionRecordFrame, savepointFrame } from "../../../src/wire/stored.js";
import type { StoreChange } from "../shared-store.js";
import type { CheckedRun, Checker } from "./checker.js";
import { REGION_KEY } from "./region-log.js";

const SAVEPOINT_KEY = /^jobs\/[^/]+\/savepoints\/[^/]+$/;

interface Commit {
  readonly number: bigint;
  readonly snapshots: readonly string[];
}

export function retentionChecker({ world, store }: CheckedRun): Checker {
  /** The newest commits of each region that have to stay, oldest first. */
  const commits = new Map<string, Commit[]>();
  const saved = new Set<string>();

  return {
    onStore(change) {
      const [, region, digits] = REGION_KEY.exec(change.key) ?? [];
      if (change.kind === "delete") onDelete(change, region, BigInt(digits ?? 0));
      else if (region !== undefined && change.bytes !== undefined) onRecord(region, change.bytes);
      else if (SAVEPOINT_KEY.test(change.key) && change.bytes !== undefined) onSavepoint(change.key, change.bytes);
    },
  };

  function onRecord(region: string, bytes: Uint8Array): void {
    const { kind, number, actors } = regionRecordFrame.decode(bytes).header;
    const known = commits.get(region) ?? [];
    if (kind !== "COMMIT" || number <= (known.at(-1)?.number ?? 0n)) return; // of a number that was deleted (LOG9)
    const snapshots = actors.map(({ key }) => key).filter((key) => key !== "");
    isThere("retention (KEPT2)", `commit ${number} of ${region}`, snapshots);
    commits.set(region, [...known, { number, snapshots }].slice(-limits.checkpointsKept));
  }

  function onSavepoint(savepoint: string, bytes: Uint8Array): void {
    const { regions } = savepointFrame.decode(bytes).header;
    const keys = regions.flatMap(({ actors }) => actors.map(({ key }) => key)).filter((key) => key !== "");
    isThere("retention (KEPT3)", savepoint, keys);
    for (const key of keys) saved.add(key);
  }

  function onDelete({ key, by }: StoreChange, region: string | undefined, number: bigint): void {
    const kept = commits.get(region ?? "");
    if (kept?.length === limits.checkpointsKept && number >= kept[0]!.number) {
      world.found("retention (KEPT1)", `record ${number} of ${region} to stay`, `${by} deleted it`);
    }
    if (kept !== undefined && kept.length < limits.checkpointsKept) {
      const expected = `the records of ${region} to stay, which has ${kept.length} commits`;
      world.found("retention (KEPT1)", expected, `${by} deleted ${number}`);
    }
    for (const [of, its] of commits) {
      if (!its.some(({ snapshots }) => snapshots.includes(key))) continue;
      world.found("retention (KEPT2)", `${key} to stay, to which a commit of ${of} refers`, `${by} deleted it`);
    }
    if (saved.has(key)) world.found("retention (KEPT3)", `${key} of a savepoint to stay`, `${by} deleted it`);
  }

  function isThere(checker: string, who: string, keys: readonly string[]): void {
    for (const key of keys) if (!store.has(key)) world.found(checker, `${key} to be there before ${who}`, "it is not");
  }
}
