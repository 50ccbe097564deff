/** `millrace refs list`, `explain` and `collect`: the content that belongs to a job, and what keeps it. */
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { limits } from "../../base/limits.js";
import { realPorts } from "../../base/real/ports.js";
import { clusterSubjects } from "../../bus/subjects.js";
import { endedJob } from "../../coordinator/content-collector.js";
import { ContentRoots, type FoundRoots, type JobFlow, type RootOptions } from "../../coordinator/content-roots.js";
import { RegionFloors } from "../../coordinator/region-floor.js";
import { readRegionLog } from "../../coordinator/region-log.js";
import { jobKeys } from "../../storage/keys.js";
import { collectContentFrame, contentReportFrame, jobSpecFrame } from "../../wire/control.js";
import { decodeFrame } from "../../wire/frames.js";
import type { RegionRecord } from "../../wire/stored.js";
import { joinCluster } from "../cluster.js";
import { outputsAt } from "../content.js";
import { countOf } from "../outputs.js";
import { type ClusterSettings, clusterSettings } from "../settings.js";
import type { ClusterFlags } from "./coordinator.js";

interface RefsFlags extends ClusterFlags {
  readonly json?: boolean;
}

interface Ref {
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Since when it is where it is, by the store's clock. */
  readonly since: string;
  readonly place: "content" | "trash";
  readonly rootedBy: readonly string[];
}

export async function listRefsCommand(text: string, flags: RefsFlags): Promise<void> {
  const job = id<JobId>("job", text);
  const refs = await withJob(job, flags, (options) => refsOf(job, options));
  if (flags.json) return print(JSON.stringify({ job, refs }));
  if (refs.length === 0) return print(`job ${job} owns no content`);
  for (const { sha256, sizeBytes, since, place, rootedBy } of refs) {
    const [first = "nothing", ...more] = rootedBy;
    const others = more.length === 0 ? "" : `, and ${more.length} more`;
    print(`${sha256}  ${sizeBytes} bytes  ${since}${place === "trash" ? "  in the trash" : ""}  ${first}${others}`);
  }
}

/** @param what a hash, or an address */
export async function explainRefCommand(text: string, what: string, flags: RefsFlags): Promise<void> {
  const job = id<JobId>("job", text);
  const sha256 = /(?:^|\/)([0-9a-f]{64})$/.exec(what)?.[1];
  if (sha256 === undefined) {
    const message = `"${what}" is neither a SHA-256 nor an address of owned content. Copy one from a row, or from millrace refs list.`;
    throw new MillraceError("MILL_CONFIG", message);
  }
  const refs = (await withJob(job, flags, (options) => refsOf(job, options))).filter((ref) => ref.sha256 === sha256);
  if (flags.json) return print(JSON.stringify({ job, sha256, refs }));
  if (refs.length === 0) return print(`job ${job} does not own ${sha256}: it never did, or it was collected`);
  for (const { sizeBytes, since, place, rootedBy } of refs) {
    print(`${sha256}: ${sizeBytes} bytes, ${place === "trash" ? "in the trash" : "in its place"} since ${since}`);
    for (const root of rootedBy) print(`  kept by ${root}`);
    if (rootedBy.length > 0) continue;
    const age = `${limits.contentAgeMsMin / 60_000} minutes`;
    const goes = place === "trash" ? "is deleted" : "goes to the trash, and from there in the same way";
    print(`  nothing refers to it: it ${goes}, once it is ${age} older than the newest checkpoint of every region`);
  }
}

export async function collectRefsCommand(
  text: string,
  flags: RefsFlags & { readonly dryRun?: boolean },
): Promise<void> {
  const job = id<JobId>("job", text);
  const dryRun = flags.dryRun === true;
  const report = await withCluster(flags, async ({ bus }, { namespace }) => {
    const answer = await bus.request(
      clusterSubjects(namespace).coordinatorCommand,
      collectContentFrame.encode({ job, dryRun }),
      { timeoutMs: limits.contentCollectionTimeoutMs },
    );
    const { kind, header } = decodeFrame(answer.payload);
    if (kind === "content-report") return contentReportFrame.decode(answer.payload).header;
    const { code, message } = header as { code: string; message: string };
    throw new MillraceError(code === "MILL_JOB_UNKNOWN" ? code : "MILL_JOB_FAILED", message);
  });
  if (flags.json) return print(JSON.stringify({ job, dryRun, ...report }));
  const { contents, trash, rooted, putAway, purged, broughtBack, heldBy } = report;
  const would = dryRun ? "would be " : "";
  print(`job ${job}: ${countOf(contents, "object")}, ${trash} in the trash; something refers to ${rooted} of them`);
  print(
    `  ${putAway} ${would}moved to the trash, ${purged} ${would}deleted from it, ${broughtBack} ${would}brought back`,
  );
  if (heldBy !== "") print(`  nothing can go: ${heldBy}`);
}

/** Everything that the job owns, by hash; what is in its place first. */
async function refsOf(job: JobId, options: RootOptions): Promise<Ref[]> {
  const keys = jobKeys(job);
  const found: Omit<Ref, "rootedBy">[] = [];
  for (const [place, prefix] of [
    ["content", keys.content("")],
    ["trash", keys.contentTrash("")],
  ] as const) {
    for await (const { key, sizeBytes, sinceMs } of options.contents.list(prefix)) {
      found.push({ sha256: key.slice(prefix.length), sizeBytes, since: new Date(sinceMs).toISOString(), place });
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

function withJob<T>(job: JobId, flags: RefsFlags, act: (options: RootOptions) => Promise<T>): Promise<T> {
  return withCluster(flags, async ({ bus, store, ports }, { namespace, s3 }) => {
    if ((await store.head(jobKeys(job).spec)) === undefined) {
      const message = `there is no job "${job}" in ${store.url}. Check the name and the store.`;
      throw new MillraceError("MILL_JOB_UNKNOWN", message, { job });
    }
    return act({ bus, store, contents: store, namespace, ports, outputAt: outputsAt(s3, false, ports) });
  });
}

async function withCluster<T>(
  flags: ClusterFlags,
  act: (cluster: Pick<RootOptions, "bus" | "store" | "ports">, settings: ClusterSettings) => Promise<T>,
): Promise<T> {
  const ports = realPorts();
  const settings = clusterSettings(flags, process.env);
  const cluster = await joinCluster("refs", settings, ports);
  try {
    return await act({ ...cluster, ports }, settings);
  } finally {
    await cluster.close();
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
