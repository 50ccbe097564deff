/** Facts of a small job for the suites of the coordinator: two regions on two workers, one service. */
import type { EnumeratorFacts, InstanceFacts, JobAction, JobFacts, WatchedHost } from "../../../src/coordinator/job.js";
import type { ActorReport, ActorState, JobSpec } from "../../../src/wire/control.js";

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
    { actor: "read-0", region: "region-read-0", subtask: 0 },
    { actor: "read-1", region: "region-read-0", subtask: 1 },
    { actor: "alone-0", region: "region-alone-0", subtask: 0 },
  ],
  services: [{ service: "model", instances: 2 }],
  sources: ["read"],
  unit: "rows",
  submittedMs: 0n,
  checkpointIntervalMs: 1_000n,
  exchanges: [],
  operators: [],
  seeds: [],
};

export const worker = (name: string, about: { cpus?: number; draining?: boolean } = {}) => ({
  worker: name,
  cpus: about.cpus ?? 2,
  draining: about.draining ?? false,
});

/** Long in its state, heard of just now. */
export function host(name: string, worker: string, about: Partial<WatchedHost> = {}): WatchedHost {
  const wasUp = about.state !== "asked";
  return { host: name, worker, state: "up", failure: undefined, wasUp, forMs: 3_600_000, silentMs: 0, ...about };
}

export function enumerator(about: Partial<EnumeratorFacts> = {}): EnumeratorFacts {
  return { source: "read", host: "job-1-w1-1", attempt: 1, deployed: true, ...about };
}

export function instance(name: string, about: Partial<InstanceFacts> = {}): InstanceFacts {
  return {
    instance: name,
    service: name.replace(/-\d+$/, ""),
    worker: "w1",
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
  };
  return { actor: name, region, attempt: 1, state, code: "", message: "", ...counts, ...about };
}

/** A job whose two hosts and two instances are up and whose regions run. */
export function facts(about: Partial<JobFacts> = {}): JobFacts {
  return {
    job: "job-1",
    term: 1n,
    state: "RUNNING",
    services: spec.services,
    error: undefined,
    hosts: [host("job-1-w1-1", "w1"), host("job-1-w2-1", "w2")],
    placedOn: ["w1", "w2"],
    regions: ["RUNNING", "RUNNING"],
    enumerators: [enumerator()],
    instances: [instance("model-1", { worker: "w2" }), instance("model-0")],
    workers: [worker("w1"), worker("w2")],
    loadAttemptsMax: 3,
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
