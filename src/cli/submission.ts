/** From a topology file to a job's spec: what `run` and `submit` both do before anything starts. */
import { dirname, resolve } from "node:path";
import { id, type JobId } from "../base/ids.js";
import type { Ports } from "../base/ports.js";
import { contractOf } from "../services/declared-service.js";
import type { OperatorNode } from "../topology/nodes.js";
import type { Needs } from "../topology/resources.js";
import type { Columns } from "../types/columns.js";
import type { JobSpec, Resources } from "../wire/control.js";
import type { OperatorSpec } from "../wire/stored.js";
import { findAssets, type LocalAsset } from "./assets.js";
import { type Bundle, bundleTopology } from "./bundle.js";
import { exchangeSpecs } from "./exchange-specs.js";
import { graphOf } from "./graph-spec.js";
import { type LoadedTopology, loadTopology, placeBundle } from "./load-topology.js";

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
  const bundleFile = await placeBundle(bundle.code, bundle.sha256, file, options.cache, [
    dirname(resolve(file)),
    process.cwd(),
  ]);
  const loaded = await loadTopology(bundleFile, { ...options, inputs: {} }, file);
  const assets = await findAssets(loaded.topology, dirname(resolve(file)));
  return { ...loaded, bundle, bundleFile, assets, options };
}

/** Every operator with its kind and its parallel instances. */
export function operatorsOf({ topology, plan }: LoadedTopology): OperatorSpec[] {
  const nodes = new Map(topology.operators.map((node) => [node.id, node]));
  return topology.operators.map((node) => {
    const actor = plan.actors.find(({ operators }) => operators.includes(node.id));
    const taken = node.inputs.map((input) => typesOf(nodes.get(input)!.columns));
    const columns = JSON.stringify([...taken, ...keptBy(node)]);
    return { operator: node.id, kind: node.kind, parallelism: actor!.parallelism, columns };
  });
}

function keptBy(node: OperatorNode): unknown[] {
  if (node.kind === "reduce" || node.kind === "process") return [node.keys, typesOf(node.state)];
  return node.kind === "infer" ? [typesOf(node.service.input), typesOf(node.service.output), node.each ?? ""] : [];
}

function typesOf(columns: Columns): Record<string, string> {
  return Object.fromEntries(Object.entries(columns).map(([name, type]) => [name, type.name]));
}

/** Characters of a topology's name in a job's id, which is as long as a name may be at most. */
const NAME_CHARS_MAX = 100;

export function newJobId(topology: string, ports: Ports): JobId {
  return jobIdOf(topology, ports.clock.nowMs(), ports.random.id(4));
}

/** @param random at most 12 characters */
export function jobIdOf(topology: string, nowMs: number, random: string): JobId {
  const stamp = new Date(nowMs).toISOString().replace(/\D/g, "").slice(0, 14);
  return id<JobId>("job", `${topology.slice(0, NAME_CHARS_MAX)}-${stamp}-${random}`);
}

export function jobSpec(
  submission: Submission,
  job: JobId,
  inputs: Readonly<Record<string, string>>,
  nowMs: number,
  seeds: JobSpec["seeds"] = [],
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
    actors: plan.actors.map(({ id: actor, region, subtask, resources, gpus }) => ({
      actor,
      region,
      subtask,
      resources: resourcesOf(resources),
      gpus: gpus.map(({ operator, needs: { thousandths, kind, memoryBytes, optional } }) => {
        return { operator, thousandths, kind, memoryBytes: BigInt(memoryBytes), optional };
      }),
    })),
    services: plan.services.map(({ id: service, instances, resources }) => {
      const declared = topology.services.find((one) => one.id === service)!;
      const { load } = declared;
      return {
        service,
        instances,
        resources: resourcesOf(resources),
        loadTimeoutMs: BigInt(load.timeoutMs),
        warmTimeoutMs: BigInt(load.warmTimeoutMs),
        loadAttemptsMax: load.attemptsMax,
        ...contractOf(declared),
      };
    }),
    sources: topology.operators.filter((node) => node.kind === "source").map((node) => node.id),
    unit: topology.unit,
    submittedMs: BigInt(nowMs),
    checkpointIntervalMs: BigInt(topology.checkpointIntervalMs),
    exchanges: exchangeSpecs(plan),
    operators: operatorsOf(submission),
    seeds,
    graph: graphOf(topology, plan),
    deadLetters: topology.deadLetters,
  };
}

function resourcesOf(needs: Needs | undefined): Resources {
  const gpu = needs?.gpu;
  return {
    cpu: needs?.cpu ?? 0,
    memoryBytes: BigInt(needs?.memoryBytes ?? 0),
    gpuThousandths: gpu?.thousandths ?? 0,
    gpuKind: gpu?.kind ?? "",
    gpuMemoryBytes: BigInt(gpu?.memoryBytes ?? 0),
    gpuOptional: gpu?.optional ?? false,
  };
}
