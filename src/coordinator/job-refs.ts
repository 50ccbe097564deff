/** What content a job owns and what keeps it, read from the store and the bus, whoever leads: nothing is changed, and nothing is decided on it. */
import type { JobId } from "../base/ids.js";
import { jobKeys } from "../storage/keys.js";
import { jobSpecFrame } from "../wire/control.js";
import type { RegionRecord } from "../wire/stored.js";
import { endedJob } from "./content-collector.js";
import { ContentRoots, type FoundRoots, type JobFlow, type RootOptions } from "./content-roots.js";
import { RegionFloors } from "./region-floor.js";
import { readRegionLog } from "./region-log.js";

export interface OwnedRef {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Since when it is where it is, by the store's clock. */
  readonly sinceMs: number;
  readonly place: "content" | "trash";
  readonly rootedBy: readonly string[];
}

/** Everything that the job owns, by hash; what is in its place first. */
export async function refsOf(job: JobId, options: RootOptions): Promise<OwnedRef[]> {
  const keys = jobKeys(job);
  const found: Omit<OwnedRef, "rootedBy">[] = [];
  for (const [place, prefix] of [
    ["content", keys.content("")],
    ["trash", keys.contentTrash("")],
  ] as const) {
    for await (const { key, sizeBytes, sinceMs } of options.contents.list(prefix)) {
      found.push({ sha256: key.slice(prefix.length), sizeBytes, sinceMs, place });
    }
  }
  if (found.length === 0) return [];
  const roots = new ContentRoots(`${options.contents.url}/${keys.content("")}`, options);
  const { rooted, records } = await roots.read(await flowOf(job, options));
  return found.map((ref) => ({ ...ref, rootedBy: labelsOf(ref.sha256, rooted, records) }));
}

/** A file that is not there may be published yet. */
function labelsOf(sha256: string, rooted: FoundRoots["rooted"], records: FoundRoots["records"]): string[] {
  const open = records.filter(({ counts, contents }) => !counts && contents.includes(sha256));
  return [...(rooted.get(sha256) ?? []), ...open.map(({ label }) => `${label}, which is not there (yet)`)];
}

/** What the store says of a job, whoever leads it. */
async function flowOf(job: JobId, { store, bus, namespace }: RootOptions): Promise<JobFlow> {
  const keys = jobKeys(job);
  if ((await store.head(keys.report)) !== undefined) return endedJob(job);
  const { actors, exchanges, seeds } = jobSpecFrame.decode(await store.get(keys.spec)).header;
  const floors = new RegionFloors(bus, namespace);
  const commits: RegionRecord[] = [];
  for (const region of new Set(actors.map((actor) => actor.region))) {
    const first = seeds.find((seed) => seed.region === region)?.number;
    const records = await readRegionLog({ store, keys, region, first, floor: () => floors.read(job, region) }, 1);
    commits.push(...records.filter(({ kind }) => kind === "COMMIT").slice(-1));
  }
  const none = () => [];
  return { job, ended: false, exchanges, commits: () => commits, isFinished: () => false, taken: none };
}
