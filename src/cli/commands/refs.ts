/** `millrace refs list`, `explain` and `collect`: the content that belongs to a job, and what keeps it. */
import { MillraceError } from "../../base/errors.js";
import { id, type JobId } from "../../base/ids.js";
import { limits } from "../../base/limits.js";
import { realPorts } from "../../base/real/ports.js";
import { clusterSubjects } from "../../bus/subjects.js";
import type { RootOptions } from "../../coordinator/content-roots.js";
import { refsOf } from "../../coordinator/job-refs.js";
import { jobKeys } from "../../storage/keys.js";
import { collectContentFrame, contentReportFrame } from "../../wire/control.js";
import { decodeFrame } from "../../wire/frames.js";
import { joinCluster } from "../cluster.js";
import { outputsAt } from "../content.js";
import { countOf } from "../outputs.js";
import { type ClusterSettings, clusterSettings } from "../settings.js";
import type { ClusterFlags } from "./coordinator.js";

interface RefsFlags extends ClusterFlags {
  readonly json?: boolean;
}

export async function listRefsCommand(text: string, flags: RefsFlags): Promise<void> {
  const job = id<JobId>("job", text);
  const refs = await withJob(job, flags, (options) => shownRefs(job, options));
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
  const refs = (await withJob(job, flags, (options) => shownRefs(job, options))).filter((ref) => ref.sha256 === sha256);
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

async function shownRefs(job: JobId, options: RootOptions) {
  const refs = await refsOf(job, options);
  return refs.map(({ sinceMs, ...ref }) => ({ ...ref, since: new Date(sinceMs).toISOString() }));
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
