/** The jobs of the bench `control-plane`: their specs alone, for nothing of them runs. */
import type { JobSpec, Resources } from "../src/wire/control.js";

export interface Shape {
  readonly jobs: number;
  /** Of each job. */
  readonly actors: number;
  readonly services: number;
}

/** Operators of each job, a chain each, one behind the other. */
export const OPERATORS = 10;
/** Subtasks of all of them that are one region. */
const REGION_SUBTASKS = 10;

const FEW: Resources = {
  cpu: 0.1,
  memoryBytes: 0n,
  gpuThousandths: 0,
  gpuKind: "",
  gpuMemoryBytes: 0n,
  gpuOptional: false,
};

const nameOf = (operator: number) => `step${operator}`;

export function specOf(job: string, { actors, services }: Shape): JobSpec {
  const parallelism = actors / OPERATORS;
  const steps = Array.from({ length: OPERATORS }, (_, i) => i);
  const kindOf = (i: number) => (i === 0 ? "source" : i === OPERATORS - 1 ? "sink" : "map");
  return {
    job,
    topology: "control-plane",
    bundle: "0".repeat(64),
    planHash: "0".repeat(64),
    params: {},
    parallelism,
    inputs: {},
    assets: [],
    actors: steps.flatMap((step) =>
      Array.from({ length: parallelism }, (_, subtask) => ({
        actor: `${nameOf(step)}-${subtask}`,
        region: `region-${Math.floor(subtask / REGION_SUBTASKS)}`,
        subtask,
        resources: FEW,
        gpus: [],
      })),
    ),
    services: Array.from({ length: services }, (_, i) => ({
      ...{ service: `service${i}`, instances: 1, resources: FEW },
      ...{ loadTimeoutMs: 60_000n, warmTimeoutMs: 60_000n, loadAttemptsMax: 3 },
      ...{ input: new Uint8Array(), output: new Uint8Array(), contract: "" },
    })),
    sources: [nameOf(0)],
    unit: "rows",
    submittedMs: BigInt(Date.now()),
    checkpointIntervalMs: 0n,
    exchanges: [],
    operators: steps.map((i) => ({ operator: nameOf(i), kind: kindOf(i), parallelism, columns: "" })),
    seeds: [],
    deadLetters: "",
    graph: steps.map((i) => ({
      operator: nameOf(i),
      inputs: i === 0 ? [] : [{ operator: nameOf(i - 1), exchange: "hash", durable: false }],
      service: "",
      chain: nameOf(i),
    })),
  };
}
