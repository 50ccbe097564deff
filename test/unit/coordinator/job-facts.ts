/** Facts of a small job for the suites of the coordinator: two regions on two workers, one service. */
import type { EnumeratorFacts, InstanceFacts, JobAction, JobFacts, WatchedHost } from "../../../src/coordinator/job.js";
import type { Holding, WorkerFacts } from "../../../src/coordinator/placement.js";
import type {
  ActorReport,
  ActorState,
  GpuShare,
  Granted,
  JobSpec,
  Resources,
  ServiceSpec,
} from "../../../src/wire/control.js";

const GiB = 2n ** 30n;

/** One core and nothing else, where nothing else is said. */
export function needs(
  about: { cpu?: number; memory?: number; gpu?: number; kind?: string; gpuMemory?: number; optional?: boolean } = {},
): Resources {
  return {
    cpu: about.cpu ?? 1,
    memoryBytes: BigInt(about.memory ?? 0) * GiB,
    gpuThousandths: Math.round((about.gpu ?? 0) * 1_000),
    gpuKind: about.kind ?? "",
    gpuMemoryBytes: BigInt(about.gpuMemory ?? 0) * GiB,
    gpuOptional: about.optional ?? false,
  };
}

export function granted(...gpus: GpuShare[]): Granted {
  return { cpu: 1, memoryBytes: 0n, gpus };
}

/** The service of the small job, its times short. */
export function serviceSpec(about: Partial<ServiceSpec> = {}): ServiceSpec {
  const load = { loadTimeoutMs: 60_000n, warmTimeoutMs: 20_000n, loadAttemptsMax: 3 };
  const said = { input: new Uint8Array(), output: new Uint8Array(), contract: "" };
  return { ...said, service: "model", instances: 2, resources: needs(), ...load, ...about };
}

export const spec: JobSpec = {
  job: "job-1",
  topology: "test",
  bundle: "0".repeat(64),
  planHash: "0".repeat(64),
  params: {},
  parallelism: 2,
  inputs: {},
  assets: [],
  actors: [
    { actor: "read-0", region: "region-read-0", subtask: 0, resources: needs({ cpu: 0 }), gpus: [] },
    { actor: "read-1", region: "region-read-0", subtask: 1, resources: needs({ cpu: 0 }), gpus: [] },
    { actor: "alone-0", region: "region-alone-0", subtask: 0, resources: needs({ cpu: 0 }), gpus: [] },
  ],
  services: [serviceSpec()],
  sources: ["read"],
  unit: "rows",
  submittedMs: 0n,
  checkpointIntervalMs: 1_000n,
  exchanges: [],
  operators: [],
  seeds: [],
  graph: [],
  deadLetters: "dead-letters",
};

/** Memory in GiB. */
export const worker = (
  name: string,
  about: { cpus?: number; draining?: boolean; memory?: number; gpus?: WorkerFacts["gpus"] } = {},
): WorkerFacts => ({
  worker: name,
  cpus: about.cpus ?? 2,
  memoryBytes: BigInt(about.memory ?? 64) * GiB,
  draining: about.draining ?? false,
  gpus: about.gpus ?? [],
});

/** Memory in GiB. */
export const gpu = (uuid: string, kind = "NVIDIA H200", memory = 140) => ({
  uuid,
  kind,
  memoryBytes: BigInt(memory) * GiB,
});

/** Long in its state, heard of just now. */
export function host(name: string, worker: string, about: Partial<WatchedHost> = {}): WatchedHost {
  const wasUp = about.state !== "asked";
  return {
    host: name,
    worker,
    group: "",
    state: "up",
    failure: undefined,
    wasUp,
    neverReported: false,
    forMs: 3_600_000,
    silentMs: 0,
    ...about,
  };
}

export function enumerator(about: Partial<EnumeratorFacts> = {}): EnumeratorFacts {
  return { source: "read", host: "job-1-w1-1", attempt: 1, deployed: true, ...about };
}

export function instance(name: string, about: Partial<InstanceFacts> = {}): InstanceFacts {
  return {
    instance: name,
    service: name.replace(/-\d+$/, ""),
    worker: "w1",
    granted: granted(),
    state: "READY",
    served: true,
    forMs: 3_600_000,
    code: "",
    message: "",
    ...about,
  };
}

export function actor(name: string, state: ActorState, about: Partial<ActorReport> = {}): ActorReport {
  const region = spec.actors.find((one) => one.actor === name)!.region;
  const counts = {
    rowsRead: 0n,
    rowsWritten: 0n,
    rowsInFlight: 0n,
    deadLetters: 0n,
    published: 0n,
    sinksPublished: 0n,
    load: null,
  };
  return { actor: name, region, attempt: 1, state, code: "", message: "", ...counts, ...about };
}

/** A job whose two hosts and two instances are up and whose regions run. */
export function facts(about: Partial<JobFacts> = {}): JobFacts {
  const instances = about.instances ?? [instance("model-1", { worker: "w2" }), instance("model-0")];
  const alive = instances.filter(({ state, worker }) => worker !== "" && state !== "STOPPED" && state !== "FAILED");
  const holdings: Holding[] = alive.map((one) => ({ worker: one.worker, granted: one.granted }));
  return {
    job: "job-1",
    term: 1n,
    state: "RUNNING",
    services: spec.services,
    retired: new Set<string>(),
    stopping: false,
    rests: false,
    writing: false,
    error: undefined,
    hosts: [host("job-1-w1-1", "w1"), host("job-1-w2-1", "w2")],
    placedOn: ["w1", "w2"],
    groups: [],
    regions: ["RUNNING", "RUNNING"],
    enumerators: [enumerator()],
    instances,
    holdings,
    workers: [worker("w1"), worker("w2")],
    enumeratorSilenceMs: 2_000,
    ...about,
  };
}

export function ofKind<K extends JobAction["kind"]>(actions: readonly JobAction[], kind: K) {
  return actions.filter((action): action is Extract<JobAction, { kind: K }> => action.kind === kind);
}

/** What it enters, if anything. */
export function entered(actions: readonly JobAction[]) {
  return ofKind(actions, "enter")[0];
}
