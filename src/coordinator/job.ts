/**
 * Decides what a job needs next. Pure: facts in, actions out; `coordinator.ts` carries the actions out and brings
 * back facts. Deciding twice on the same facts asks for the same things, so a lost command or report is made good
 * by the next look.
 *
 * Invariants:
 *   J1  Sources start only after every host has acknowledged its deployment (no frame before its receiver listens).
 *   J2  Regions are committed only when every actor of the job is PREPARED, because none can yet start again alone: a job
 *       that fails before has published nothing. It is FINISHED only when every actor is COMMITTED.
 *   J3  The first failure decides the job's error; later ones do not replace it.
 *   J4  A job ends only after its hosts and instances were told to stop and have gone, or their worker has.
 *   J5  A failed instance is replaced, but `loadAttemptsMax` of a service in a row that failed before they were ever
 *       READY fail the job.
 *   J6  What was asked for and has not shown in a report is asked for again.
 */

import type { InstanceState } from "../services/balance.js";
import type { ActorReport, JobState } from "../wire/control.js";
import { type Placeable, type Placement, placeJob, type WorkerFacts } from "./placement.js";

export interface HostFacts {
  readonly host: string;
  readonly worker: string;
  readonly actors: readonly string[];
  readonly enumerators: readonly string[];
  /** `asked`: to be started; `up`: it has reported; `gone`: its process or its worker has ended. */
  readonly state: "asked" | "up" | "gone";
  readonly deployed: boolean;
  readonly started: boolean;
  /** How it ended: empty when it was told to. */
  readonly code: string;
  readonly message: string;
}

export interface InstanceFacts {
  readonly instance: string;
  readonly service: string;
  readonly worker: string;
  readonly state: InstanceState;
  /** It was READY once: what made it fail came later than loading and warming. */
  readonly served: boolean;
  readonly code: string;
  readonly message: string;
}

export interface JobFacts {
  readonly job: string;
  readonly state: JobState;
  readonly spec: Placeable & { readonly sources: readonly string[] };
  readonly error: { readonly code: string; readonly message: string } | undefined;
  readonly hosts: readonly HostFacts[];
  /** Newest first. */
  readonly instances: readonly InstanceFacts[];
  readonly actors: ReadonlyMap<string, ActorReport>;
  readonly workers: readonly WorkerFacts[];
  readonly loadAttemptsMax: number;
}

export type JobAction =
  | {
      readonly kind: "enter";
      readonly state: JobState;
      readonly error?: { readonly code: string; readonly message: string };
    }
  | { readonly kind: "start-host"; readonly host: HostFacts }
  | { readonly kind: "stop-host"; readonly host: HostFacts }
  | { readonly kind: "deploy"; readonly host: HostFacts }
  | { readonly kind: "start"; readonly host: HostFacts }
  | { readonly kind: "commit"; readonly host: HostFacts; readonly region: string }
  | { readonly kind: "start-instance"; readonly instance: string; readonly service: string; readonly worker: string }
  | { readonly kind: "stop-instance"; readonly instance: InstanceFacts }
  | { readonly kind: "wait"; readonly message: string };

const ENDED: ReadonlySet<JobState> = new Set(["FINISHED", "FAILED", "CANCELLED"]);
const GONE: ReadonlySet<InstanceState> = new Set(["STOPPED", "FAILED"]);

export function decideJob(facts: JobFacts): JobAction[] {
  if (ENDED.has(facts.state)) return [];
  if (facts.state === "SUBMITTED") return place(facts);
  if (facts.state === "FAILING") return windUp(facts, facts.error?.code === "" ? "CANCELLED" : "FAILED");
  if (facts.state === "COMMITTING") return windUp(facts, "FINISHED");

  const failure = findFailure(facts);
  if (failure !== undefined) return [{ kind: "enter", state: "FAILING", error: failure }];
  const instances = [...askAgain(facts), ...replaceInstances(facts)];
  return [...(facts.state === "DEPLOYING" ? deploy(facts) : run(facts)), ...instances];
}

function place(facts: JobFacts): JobAction[] {
  const placement = placeJob(facts.spec, facts.workers);
  if (placement === undefined) {
    return [{ kind: "wait", message: "no worker takes work: start one with `millrace worker`" }];
  }
  return [
    ...hostsOf(facts, placement).map((host): JobAction => ({ kind: "start-host", host })),
    ...placement.instances.map((placed): JobAction => ({ kind: "start-instance", ...placed })),
    { kind: "enter", state: "DEPLOYING" },
  ];
}

/** One host per worker; the first also lists the sources. */
function hostsOf(facts: JobFacts, placement: Placement): HostFacts[] {
  return [...placement.actors].map(([worker, actors], i) => ({
    host: `${facts.job}-${worker}`,
    worker,
    actors,
    enumerators: i === 0 ? facts.spec.sources : [],
    state: "asked",
    deployed: false,
    started: false,
    code: "",
    message: "",
  }));
}

function deploy(facts: JobFacts): JobAction[] {
  if (facts.hosts.every((host) => host.deployed)) {
    return [...facts.hosts.map((host): JobAction => ({ kind: "start", host })), { kind: "enter", state: "RUNNING" }];
  }
  return facts.hosts
    .filter((host) => host.state !== "gone" && !host.deployed)
    .map((host): JobAction => ({ kind: host.state === "asked" ? "start-host" : "deploy", host }));
}

function run(facts: JobFacts): JobAction[] {
  const late = facts.hosts.filter((host) => !host.started).map((host): JobAction => ({ kind: "start", host }));
  const stateOf = (actor: string) => facts.actors.get(actor)?.state;
  const open = facts.spec.actors.filter(({ actor }) => stateOf(actor) !== "COMMITTED");
  if (open.length === 0) return [{ kind: "enter", state: "COMMITTING" }];
  if (!open.every(({ actor }) => stateOf(actor) === "PREPARED")) return late;
  const commits = [...new Set(open.map(({ region }) => region))].flatMap((region) => {
    const members = open.filter((actor) => actor.region === region).map(({ actor }) => actor);
    const holders = facts.hosts.filter((host) => members.some((actor) => host.actors.includes(actor)));
    return holders.map((host): JobAction => ({ kind: "commit", host, region }));
  });
  return [...late, ...commits];
}

function findFailure(facts: JobFacts): { code: string; message: string } | undefined {
  for (const actor of facts.actors.values()) {
    if (actor.state === "FAILED") return { code: actor.code || "MILL_OPERATOR_FAILED", message: actor.message };
  }
  for (const host of facts.hosts) {
    const left = host.actors.filter((actor) => facts.actors.get(actor)?.state !== "COMMITTED");
    if (host.state !== "gone" || left.length === 0) continue;
    // What it said itself before it ended tells more than that it has gone.
    if (host.code !== "" && host.code !== "MILL_SERVICE_LOST")
      return { code: host.code, message: `host ${host.host}: ${host.message}` };
    const held = `It held ${left.slice(0, 3).join(", ")}${left.length > 3 ? ` and ${left.length - 3} more` : ""}.`;
    return {
      code: "MILL_WORKER_LOST",
      message: `host ${host.host} on worker ${host.worker} ended: ${host.message || "no reason was given"}. ${held} Nothing of it was published; submit the job again.`,
    };
  }
  for (const { service } of facts.spec.services) {
    const failed = failedInARow(facts, service);
    const [newest] = failed;
    if (newest !== undefined && failed.length >= facts.loadAttemptsMax) {
      const tries = failed.length === 1 ? "" : ` ${failed.length} instances in a row failed; the last one:`;
      return { code: newest.code || "MILL_SERVICE_FAILED", message: `service "${service}":${tries} ${newest.message}` };
    }
    // What is wrong with the model itself is wrong in every instance: trying again would only take longer.
    if (newest !== undefined && PERMANENT.has(newest.code)) {
      return { code: newest.code, message: `service "${service}": ${newest.message}` };
    }
  }
  return undefined;
}

const PERMANENT: ReadonlySet<string> = new Set([
  "MILL_MODEL_MISSING",
  "MILL_MODEL_CORRUPT",
  "MILL_MODEL_INPUTS",
  "MILL_PROVIDER_MISSING",
]);

/**
 * Instances that failed before they served, newest first, down to the newest that did serve; none while one serves.
 * Those that were lost with their worker say nothing about the service.
 */
function failedInARow(facts: JobFacts, service: string): InstanceFacts[] {
  const own = facts.instances.filter((instance) => instance.service === service);
  if (own.some((instance) => instance.state === "READY")) return [];
  const lastServed = own.findIndex((instance) => instance.served);
  return own
    .slice(0, lastServed < 0 ? own.length : lastServed)
    .filter((instance) => instance.state === "FAILED" && instance.code !== "MILL_WORKER_LOST");
}

/** J6. Asking a worker for what it has already started changes nothing. */
function askAgain(facts: JobFacts): JobAction[] {
  return facts.instances
    .filter((instance) => instance.state === "REQUESTED")
    .map(({ instance, service, worker }): JobAction => ({ kind: "start-instance", instance, service, worker }));
}

function replaceInstances(facts: JobFacts): JobAction[] {
  const takers = facts.workers.filter((worker) => !worker.draining);
  if (takers.length === 0) return [];
  return facts.spec.services.flatMap(({ service, instances: wanted }) => {
    const own = facts.instances.filter((instance) => instance.service === service);
    const alive = own.filter((instance) => !GONE.has(instance.state)).length;
    return Array.from({ length: Math.max(wanted - alive, 0) }, (_, i): JobAction => {
      const number = own.length + i;
      return {
        kind: "start-instance",
        instance: `${service}-${number}`,
        service,
        worker: takers[number % takers.length]!.worker,
      };
    });
  });
}

/** J4. Asks everything to stop until all is gone. */
function windUp(facts: JobFacts, end: JobState): JobAction[] {
  const hosts = facts.hosts.filter((host) => host.state !== "gone");
  const instances = facts.instances.filter((instance) => !GONE.has(instance.state));
  if (hosts.length === 0 && instances.length === 0) return [{ kind: "enter", state: end }];
  return [
    ...hosts.map((host): JobAction => ({ kind: "stop-host", host })),
    ...instances.map((instance): JobAction => ({ kind: "stop-instance", instance })),
  ];
}
