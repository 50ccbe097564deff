/** From a topology file to a job's spec: what `run` and `submit` both do before anything starts. */
import { basename, dirname, resolve } from "node:path";
import { MillraceError } from "../base/errors.js";
import { id, type JobId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import { openStore } from "../storage/open-store.js";
import type { Topology } from "../topology/nodes.js";
import type { JobSpec } from "../wire/control.js";
import { findAssets, type LocalAsset } from "./assets.js";
import { type Bundle, bundleTopology } from "./bundle.js";
import { type LoadedTopology, loadTopology, placeBundle } from "./load-topology.js";
import { outputUrl } from "./make-host.js";
import type { S3Settings } from "./settings.js";

export interface SubmissionOptions {
  readonly params: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly cache: string;
}

export interface Submission extends LoadedTopology {
  readonly bundle: Bundle;
  readonly bundleFile: string;
  readonly assets: readonly LocalAsset[];
  readonly options: SubmissionOptions;
}

/** Bundles, loads and plans the file and finds its assets. @throws what is wrong with any of them */
export async function readSubmission(file: string, options: SubmissionOptions): Promise<Submission> {
  const bundle = await bundleTopology(file);
  const bundleFile = await placeBundle(bundle.code, bundle.sha256, file, options.cache);
  const loaded = await loadTopology(bundleFile, { ...options, inputs: {} });
  const assets = await findAssets(loaded.topology, dirname(resolve(file)));
  return { ...loaded, bundle, bundleFile, assets, options };
}

export function newJobId(topology: string, ports: Ports): JobId {
  const stamp = new Date(ports.clock.nowMs()).toISOString().replace(/\D/g, "").slice(0, 14);
  return id<JobId>("job", `${topology}-${stamp}-${ports.random.id(4)}`);
}

export function jobSpec(
  submission: Submission,
  job: JobId,
  inputs: Readonly<Record<string, string>>,
  nowMs: number,
): JobSpec {
  const { topology, plan, bundle, options } = submission;
  return {
    job,
    topology: topology.name,
    bundle: bundle.sha256,
    planHash: plan.hash,
    params: options.params,
    parallelism: options.parallelism,
    inputs,
    assets: submission.assets.map(({ service, name, source, sha256, sizeBytes }) => ({
      service,
      name,
      source,
      sha256,
      sizeBytes,
    })),
    actors: plan.actors.map(({ id: actor, region, subtask }) => ({ actor, region, subtask })),
    services: plan.services.map(({ id: service, instances }) => ({ service, instances })),
    sources: topology.operators.filter((node) => node.kind === "source").map((node) => node.id),
    unit: topology.unit,
    submittedMs: BigInt(nowMs),
  };
}

/** Where a sink of the job writes. */
export interface OutputPlace {
  readonly operator: string;
  readonly url: string;
}

export function outputsOf(topology: Topology, root: string): OutputPlace[] {
  const sinks = topology.operators.flatMap((node) =>
    node.kind === "sink" ? [{ operator: node.id, url: node.sink.url }] : [],
  );
  const places = [...sinks, { operator: "dead letters", url: topology.deadLetters }];
  return places.map(({ operator, url }) => ({ operator, url: outputUrl(url, root) }));
}

/**
 * Makes sure that every output can be written and holds nothing that would be mixed with the new rows.
 *
 * @param overwrite removes what an earlier run has left; only files that such a run wrote
 * @throws {MillraceError} `MILL_SINK_EXISTS`, `MILL_SINK_UNWRITABLE` naming operator and place
 */
export async function checkOutputs(
  places: readonly OutputPlace[],
  overwrite: boolean,
  s3: S3Settings,
  ports: Ports,
): Promise<void> {
  for (const { operator, url } of places) {
    const store = openStore(url, { s3 }, ports);
    try {
      await store.check();
    } catch (cause) {
      const error = MillraceError.from(cause);
      throw new MillraceError(
        "MILL_SINK_UNWRITABLE",
        `operator "${operator}": its output ${url} cannot be written: ${error.message} Choose another folder, or make this one writable.`,
        { operator, url },
        { cause },
      );
    }
    const there: string[] = [];
    for await (const object of store.list("")) there.push(object.key);
    if (there.length > 0 && !overwrite) {
      throw new MillraceError(
        "MILL_SINK_EXISTS",
        `operator "${operator}": its output ${url} already holds ${there.length} files (${there[0]}, ...). Choose another place, or give --overwrite to replace what an earlier run wrote.`,
        { operator, url },
      );
    }
    const foreign = there.find((key) => !OURS.test(basename(key)) && !key.startsWith("_staging/"));
    if (foreign !== undefined) {
      throw new MillraceError(
        "MILL_SINK_EXISTS",
        `operator "${operator}": its output ${url} holds ${foreign}, which no run of a topology wrote, so --overwrite does not touch it. Choose another place.`,
        { operator, url, foreign },
      );
    }
    for (const key of there) await store.delete(key);
    await store.close();
  }
}

/** Names that `connectors/file-writer.ts` gives. */
const OURS = /-\d+-\d+\.[a-z]+$/;
