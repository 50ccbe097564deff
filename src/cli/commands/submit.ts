/** `millrace submit`: a topology onto a cluster. Only NATS and the object store are needed to reach it. */
import { createReadStream } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { MillraceError } from "../../base/errors.js";
import type { JobId } from "../../base/ids.js";
import type { Ports } from "../../base/ports.js";
import { realPorts } from "../../base/real/ports.js";
import { ContentReader } from "../../storage/content.js";
import { assetKey, bundleKey, jobKeys } from "../../storage/keys.js";
import type { ObjectStore } from "../../storage/object-store.js";
import { jobSpecFrame } from "../../wire/control.js";
import { type ApiFlags, apiSettings } from "../api/client.js";
import { beginJob, putOnce } from "../begin-job.js";
import { type Cluster, joinCluster } from "../cluster.js";
import { submitOverHttp, waitOverHttp } from "../http-submit.js";
import { JobHandle } from "../job-handle.js";
import { type LogLevel, openLog } from "../logging.js";
import { countOf, outputsOf, withOutputs } from "../outputs.js";
import { type Beginning, beginFrom } from "../savepoints.js";
import { type ClusterSettings, cacheFolder, clusterSettings } from "../settings.js";
import { jobSpec, newJobId, readSubmission, type Submission } from "../submission.js";
import { watchJob } from "../watch-job.js";
import type { ClusterFlags } from "./coordinator.js";
import type { RunFlags } from "./run.js";

export interface SubmitFlags extends ClusterFlags, RunFlags, ApiFlags {
  readonly wait: boolean;
}

export async function submitCommand(file: string, flags: SubmitFlags, command: Command): Promise<void> {
  const ports = realPorts(openLog(command.optsWithGlobals().logLevel as LogLevel));
  const options = { params: flags.param, parallelism: flags.parallelism, cache: cacheFolder(process.env) };
  if (isOverHttp(flags)) return submitByUrl(await readSubmission(file, options), flags, ports);
  const instead = " Or give --url: then a coordinator's HTTP API is all that has to be reached.";
  const settings = clusterSettings(flags, process.env, instead);
  const submission = await readSubmission(file, options);
  const cluster = await joinCluster("submit", settings, ports);
  try {
    const { topology } = submission;
    const { store } = cluster;
    const beginning =
      flags.savepoint === undefined
        ? undefined
        : await beginFrom(flags.savepoint, submission, store, flags.allowUnmatched ?? false);
    const outputs = { overwrite: flags.overwrite ?? false, s3: settings.s3, ports };
    await withOutputs(outputsOf(topology, settings.store), outputs, async () => {
      const job = await submitJob(submission, beginning, cluster, settings, ports);
      process.stdout.write(`job ${job} submitted\n`);
      if (!flags.wait) return;
      const { namespace } = settings;
      const handle = new JobHandle({ ...cluster, ports, namespace, job, unit: topology.unit, close: async () => {} });
      await watchJob(handle, topology, settings.store);
    });
  } finally {
    await cluster.close();
  }
}

/** Where a coordinator's address is known, and neither NATS nor the store is named beside it. */
function isOverHttp({ url, nats, store }: SubmitFlags): boolean {
  return url !== undefined || (nats === undefined && store === undefined && Boolean(process.env.MILLRACE_URL));
}

async function submitByUrl(submission: Submission, flags: SubmitFlags, ports: Ports): Promise<void> {
  const settings = apiSettings(flags, process.env);
  const { savepoint, allowUnmatched = false, overwrite = false } = flags;
  const asked = { allowUnmatched, overwrite, ...(savepoint === undefined ? {} : { savepoint }) };
  const job = await submitOverHttp(submission, asked, settings, ports);
  process.stdout.write(`job ${job} submitted\n`);
  if (flags.wait) await waitOverHttp(job, settings, ports);
}

/** `millrace restore`. @param savepoint `<job>/<name>` */
export function restoreCommand(savepoint: string, file: string, flags: SubmitFlags, command: Command): Promise<void> {
  return submitCommand(file, { ...flags, savepoint }, command);
}

/** Uploads what the job needs, spec last, then tells the coordinator. */
async function submitJob(
  submission: Submission,
  beginning: Beginning | undefined,
  cluster: Cluster,
  settings: ClusterSettings,
  ports: Ports,
): Promise<JobId> {
  const { bus, store } = cluster;
  const job = newJobId(submission.topology.name, ports);
  await putOnce(store, bundleKey(submission.bundle.sha256), () => submission.bundle.code);
  for (const { sha256, path } of submission.assets)
    await putOnce(store, assetKey(sha256), () => createReadStream(path));
  const before = beginning?.inputs ?? {};
  const inputs = { ...before, ...(await uploadInputs(submission, new Set(Object.keys(before)), job, store, ports)) };
  const seeds = await beginning?.write(job, store);
  await store.put(jobKeys(job).spec, jobSpecFrame.encode(jobSpec(submission, job, inputs, ports.clock.nowMs(), seeds)));
  if (!(await beginJob(bus, settings.namespace, job))) {
    const message = `no coordinator answers in namespace ${settings.namespace} on ${settings.nats.servers}. Start one with \`millrace coordinator\`, or check --namespace.`;
    throw new MillraceError("MILL_BUS_NO_RESPONDER", message);
  }
  return job;
}

/** Local files, which workers cannot see, go to the store, but for those of sources that have theirs. @returns the patterns to read instead, by source */
async function uploadInputs(
  submission: Submission,
  there: ReadonlySet<string>,
  job: JobId,
  store: ObjectStore,
  ports: Ports,
): Promise<Record<string, string>> {
  const inputs: Record<string, string> = {};
  const content = new ContentReader({ s3: {} }, ports);
  for (const node of submission.topology.operators) {
    if (node.kind !== "source" || node.source.localPattern === undefined || there.has(node.id)) continue;
    const found = await content.list(node.source.localPattern);
    const folder = jobKeys(job).inputs(node.id);
    const names = new Set<string>();
    for (const { uri } of found) {
      const name = basename(fileURLToPath(uri));
      if (names.has(name)) {
        throw new MillraceError(
          "MILL_CONFIG",
          `source "${node.id}": two files are called ${name}. Upload them yourself and give their s3:// pattern.`,
          { name },
        );
      }
      names.add(name);
      await store.put(`${folder}/${name}`, createReadStream(fileURLToPath(uri)));
    }
    if (found.length > 0) {
      inputs[node.id] = `${store.url}/${folder}/*`;
      process.stdout.write(`uploaded ${countOf(found.length, "file")} of ${node.source.localPattern}\n`);
    }
  }
  return inputs;
}
