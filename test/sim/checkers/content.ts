/**
 * What becomes of content that belongs to jobs. What refers to it is read from the bytes of files and snapshots, not from what the
 * system has noted of it (`content-refs.ts`).
 *
 *   CONT1  What a published file refers to is there, in its place or in the trash, from then on.
 *   CONT2  So is what a region's newest checkpoint refers to, until the region or its job is over.
 *   CONT3  So is what a savepoint refers to.
 *   CONT4  Some time after the end nothing is left that none of these refer to, but for what functions under way had put when a savepoint
 *          was taken: no row refers to it, so there what the system has noted is believed. Nor does what counts that a host puts that stood
 *          still until its job was over and all of that was collected: nobody looks any more until the job is deleted.
 */
import { openJobs } from "../../../src/storage/keys.js";
import { contentsOfSnapshot } from "../../../src/wire/content-hashes.js";
import { regionRecordFrame, savepointFrame } from "../../../src/wire/stored.js";
import type { StoreChange } from "../shared-store.js";
import type { CheckedRun, Checker } from "./checker.js";
import { refersTo, textsOfObjects, textsOfSnapshot } from "./content-refs.js";
import { REGION_KEY } from "./region-log.js";

const PLACE = /^(jobs\/[^/]+\/)content(?:-trash)?\/([0-9a-f]{64})$/;
const SAVEPOINT = /^(jobs\/[^/]+\/)savepoints\/[^/]+$/;
const REPORT = /^jobs\/([^/]+)\/report\.avro$/;

export function contentChecker({ world, store, scenario }: CheckedRun): Checker {
  if (scenario.name !== "content") return {};
  const folders = [...scenario.expected.keys()];
  /** By who refers: `<job>/<hash>`. */
  const published = new Map<string, ReadonlySet<string>>();
  const newest = new Map<string, { readonly number: bigint; readonly refs: ReadonlySet<string> }>();
  const saved = new Map<string, ReadonlySet<string>>();
  const noted = new Set<string>();
  /** Jobs that are over, and whose content has been collected for the last time: `jobs/<job>/`. */
  const closed = new Set<string>();
  const rules = [
    ["CONT1", () => published],
    ["CONT2", () => new Map([...newest].map(([who, { refs }]) => [who, refs]))],
    ["CONT3", () => saved],
  ] as const;

  return {
    onStore({ kind, key, bytes }: StoreChange) {
      if (kind === "delete" && key.startsWith(openJobs)) closed.add(`jobs/${key.slice(openJobs.length)}/`);
      if (kind === "delete") return onDelete(key);
      if (bytes === undefined) return;
      const folder = folders.find((candidate) => key.startsWith(candidate));
      const ended = REPORT.exec(key)?.[1];
      const [, job = "", hash] = PLACE.exec(key) ?? [];
      if (closed.has(job)) noted.add(`${job}${hash}`);
      if (folder !== undefined && !key.slice(folder.length).startsWith("_")) {
        published.set(key, refersTo([bytes]));
        demand("CONT1", key, published.get(key)!);
      } else if (REGION_KEY.test(key)) onRecord(key, bytes);
      else if (SAVEPOINT.test(key)) onSavepoint(key, bytes);
      else if (ended !== undefined)
        for (const who of newest.keys()) if (who.startsWith(`${ended} `)) newest.delete(who);
    },
    atEnd() {
      const needed = new Set([...published.values(), ...saved.values()].flatMap((refs) => [...refs]));
      for (const key of store.contents("jobs/").keys()) {
        const [, job, hash] = PLACE.exec(key) ?? [];
        if (job === undefined || needed.has(`${job}${hash}`) || noted.has(`${job}${hash}`)) continue;
        world.found("content (CONT4)", "nothing left that nothing refers to", key);
        return;
      }
    },
  };

  function onRecord(key: string, bytes: Uint8Array): void {
    const { kind, job, region, number, actors } = regionRecordFrame.decode(bytes).header;
    const who = `${job} ${region}`;
    if (kind !== "COMMIT" || number <= (newest.get(who)?.number ?? 0n)) return;
    const isLast = actors.every(({ finished }) => finished);
    const refs = isLast
      ? new Set<string>()
      : refersTo(actors.flatMap((one) => textsOfSnapshot(one.key === "" ? one.inline : bytesAt(one.key))));
    newest.set(who, { number, refs });
    demand("CONT2", key, refs);
  }

  function onSavepoint(key: string, bytes: Uint8Array): void {
    const { regions, exchanges } = savepointFrame.decode(bytes).header;
    const snapshots = regions.flatMap(({ actors }) => actors.map((one) => bytesAt(one.key)));
    const partitions = exchanges.flatMap((exchange) => exchange.partitions.map(({ objects }) => objects));
    const refs = refersTo([
      ...snapshots.flatMap(textsOfSnapshot),
      ...partitions.flatMap((objects) => textsOfObjects(objects.map((one) => bytesAt(one.key)))),
    ]);
    saved.set(key, refs);
    const [, job] = SAVEPOINT.exec(key)!;
    for (const hash of snapshots.filter(({ length }) => length > 0).flatMap(contentsOfSnapshot))
      noted.add(`${job}${hash}`);
    demand("CONT3", key, refs);
  }

  function onDelete(key: string): void {
    const [, job, hash] = PLACE.exec(key) ?? [];
    if (job === undefined || hash === undefined || isThere(`${job}${hash}`)) return;
    for (const [rule, all] of rules) {
      for (const [who, refs] of all()) {
        if (refs.has(`${job}${hash}`))
          world.found(`content (${rule})`, `${key} to stay: ${who} refers to it`, "it is gone");
      }
    }
  }

  function demand(rule: string, who: string, refs: ReadonlySet<string>): void {
    for (const ref of refs)
      if (!isThere(ref)) world.found(`content (${rule})`, `what ${who} refers to`, `${ref} is gone`);
  }

  function isThere(ref: string): boolean {
    const [job, hash] = [ref.slice(0, -64), ref.slice(-64)];
    return store.has(`${job}content/${hash}`) || store.has(`${job}content-trash/${hash}`);
  }

  function bytesAt(key: string): Uint8Array {
    return store.contents(key).get(key) ?? new Uint8Array();
  }
}
