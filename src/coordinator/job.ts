/**
 * Decides what a job needs next beside its regions: hosts, enumerators, instances, and its end. Pure: facts in, actions out;
 * `coordinator.ts` carries the actions out and brings back facts. Deciding twice on the same facts asks for the same
 * things, so a lost command or report is made good by the next look. What a region needs: `checkpoint/region.ts`.
 *
 * Invariants:
 *   J1  Every worker that actors are placed on has one living host of the job; a host that has gone is replaced by a new one. So has
 *       every group of actors that needs devices, where it is placed; one that is not there any more is stopped, for its devices.
 *   J2  A job is FINISHED only when every region is.
 *   J3  The first failure decides the job's error; later ones do not replace it.
 *   J4  A job ends only after its hosts and instances were told to stop and have gone, or their worker has, and what was being written
 *       of it is there: who deletes it meets nothing that comes later.
 *   J5  A failed instance is replaced, but as many of a service as its `load.attemptsMax` says in a row that failed before they were ever
 *       READY fail the job.
 *   J6  What was asked for and has not shown in a report is asked for again.
 *   J7  The splits of each source are handed out by one living host, one that was heard of lately if there is any. For a while two
 *       may do it; their log keeps that from doing harm (D3 and D7 of `actors/split-enumerator.ts`).
 *   J8  A host that never came up, and an instance that failed before it was READY, are replaced after a pause that grows with
 *       how often that has happened in a row. One that went with its worker, or was not taken by it, is replaced at once.
 *   J10 A service has as many instances as it is to have: of more, those that serve least are retired, the newest first. One that is
 *       retired drains and ends, and another takes its place where one is missing.
 *   J11 As many hosts as `limits.hostStartsMax`, one after the other in one place, that run and never report fail the job.
 *   J9  An instance that fits on no worker is REQUESTED with the reason, and is placed when it fits. The rest of the job runs.
 */
import { limits } from "../base/limits.js";
import type { Failure, RegionPhase } from "../checkpoint/region.js";
import type { Granted, HostGpu, JobState, ServiceSpec } from "../wire/control.js";
import type { LifeCycle } from "../wire/frames.js";
import { groupBy } from "./group-by.js";
import { pauseMs } from "./pause.js";
import { coresOf, type Holding, Room, type WorkerFacts } from "./placement.js";

export interface HostFacts {
  readonly host: string;
  readonly worker: string;
  /** `asked`: to be started; `up`: it has reported; `gone`: its process or its worker has ended. */
  /** Actors that it is for, which need devices; empty: all of this worker that need none. */
  readonly group: string;
  readonly state: "asked" | "up" | "gone";
  readonly failure: Failure | undefined;
}

/** Actors that have a host of their own. */
export interface GroupFacts {
  readonly group: string;
  /** Where they are placed; empty: their region is over. */
  readonly worker: string;
  readonly gpus: readonly HostGpu[];
}

/** What is decided about itself rests on. */
export interface WatchedHost extends HostFacts {
  /** It has reported, once at least. */
  readonly wasUp: boolean;
  /** It was given up because it ran and had not. */
  readonly neverReported: boolean;
  /** How long it has been in its state, and how long nothing was heard of it. */
  readonly forMs: number;
  readonly silentMs: number;
}

export interface EnumeratorFacts {
  readonly source: string;
  /** Empty: nobody was asked yet. */
  readonly host: string;
  readonly attempt: number;
  readonly deployed: boolean;
}

export interface InstanceFacts {
  readonly instance: string;
  readonly service: string;
  /** Empty: it fits nowhere yet. */
  readonly worker: string;
  readonly granted: Granted;
  readonly state: LifeCycle;
  /** It was READY once: what made it fail came later than loading and warming. */
  readonly served: boolean;
  /** How long it has been in its state. */
  readonly forMs: number;
  readonly code: string;
  readonly message: string;
}

export interface JobFacts {
  readonly job: string;
  /** Of the coordinator: names of hosts and instances contain it, so that they are never used twice. */
  readonly term: bigint;
  readonly state: JobState;
  /** With as many instances as they are to have now. */
  readonly services: readonly ServiceSpec[];
  /** Instances that are to drain and end. */
  readonly retired: ReadonlySet<string>;
  /** It ends as soon as all regions rest. */
  readonly stopping: boolean;
  readonly error: { readonly code: string; readonly message: string } | undefined;
  /** Every one that there ever was, oldest first. */
  readonly hosts: readonly WatchedHost[];
  /** Workers that actors are placed on, those of groups left out. */
  readonly placedOn: readonly string[];
  /** Those whose place is settled. */
  readonly groups: readonly GroupFacts[];
  readonly regions: readonly RegionPhase[];
  /** Every region rests, or is over. */
  readonly rests: boolean;
  /** A record of a region, or a savepoint, or old records are being deleted. */
  readonly writing: boolean;
  readonly enumerators: readonly EnumeratorFacts[];
  /** Newest first. */
  readonly instances: readonly InstanceFacts[];
  readonly workers: readonly WorkerFacts[];
  /** All that is promised on these workers, to this job and to others. */
  readonly holdings: readonly Holding[];
  readonly enumeratorSilenceMs: number;
}

export type JobAction =
  | {
      readonly kind: "enter";
      readonly state: JobState;
      readonly error?: { readonly code: string; readonly message: string };
    }
  | ({ readonly kind: "start-host"; readonly host: string } & GroupFacts)
  | { readonly kind: "stop-host"; readonly host: HostFacts }
  | { readonly kind: "deploy-enumerator"; readonly source: string; readonly host: string; readonly attempt: number }
  | {
      readonly kind: "start-instance";
      readonly instance: string;
      readonly service: string;
      readonly worker: string;
      readonly granted: Granted;
    }
  | { readonly kind: "await-room"; readonly instance: string; readonly service: string; readonly reason: string }
  | { readonly kind: "retire"; readonly instance: string }
  | { readonly kind: "stop-instance"; readonly instance: InstanceFacts }
  | { readonly kind: "wait"; readonly message: string };

const ENDED: ReadonlySet<JobState> = new Set(["FINISHED", "FAILED", "CANCELLED"]);
const GONE: ReadonlySet<LifeCycle> = new Set(["STOPPED", "FAILED"]);

export function hasEnded(state: JobState): boolean {
  return ENDED.has(state);
}

/** Whether its regions are to be looked at. */
export function isRunning(state: JobState): boolean {
  return state === "DEPLOYING" || state === "RUNNING";
}

export function decideJob(facts: JobFacts): JobAction[] {
  if (hasEnded(facts.state)) return [];
  if (facts.state === "SUBMITTED") return begin(facts);
  if (facts.state === "FAILING") return windUp(facts, facts.error?.code === "" ? "CANCELLED" : "FAILED");
  if (facts.state === "COMMITTING") return windUp(facts, "FINISHED");

  const of = groupBy(facts.instances, ({ service }) => service);
  const failure = findFailure(facts, of);
  if (failure !== undefined) return [{ kind: "enter", state: "FAILING", error: failure }];
  if (facts.regions.every((phase) => phase === "FINISHED")) return [{ kind: "enter", state: "COMMITTING" }];
  if (facts.stopping && facts.rests) return [{ kind: "enter", state: "FAILING", error: STOPPED }];
  const actions = [
    ...[...hosts(facts), ...enumerators(facts)],
    ...[...askAgain(facts), ...retire(facts, of), ...placeInstances(facts, of)],
  ];
  if (facts.state === "DEPLOYING" && facts.regions.every((phase) => phase === "RUNNING" || phase === "FINISHED")) {
    actions.push({ kind: "enter", state: "RUNNING" });
  }
  return actions;
}

/** Instances of each service, newest first: there may be hundreds of both. */
type InstancesOf = ReadonlyMap<string, readonly InstanceFacts[]>;

/** An error without a code: the user wanted it so. */
const STOPPED = { code: "", message: "stopped behind its last checkpoints" };

function begin(facts: JobFacts): JobAction[] {
  if (facts.workers.every((worker) => worker.draining)) {
    return [{ kind: "wait", message: "no worker takes work: start one with `millrace worker`" }];
  }
  return [{ kind: "enter", state: "DEPLOYING" }];
}

/** J1, J6 */
function hosts(facts: JobFacts): JobAction[] {
  const counts = new Map<string, number>();
  for (const { worker } of facts.hosts) counts.set(worker, (counts.get(worker) ?? 0) + 1);
  const there = new Set(facts.workers.map(({ worker }) => worker));
  const known = groupBy(facts.hosts, placeOf);
  const places = [...facts.placedOn.map((worker) => ({ group: "", worker, gpus: [] })), ...facts.groups];
  const starts = places.flatMap((place): JobAction[] => {
    const { worker } = place;
    const own = known.get(placeOf(place)) ?? [];
    const living = own.find((host) => host.state !== "gone");
    if (living?.state === "up" || !there.has(worker)) return [];
    const failed = neverUp(own);
    if (living === undefined && rests(failed, failed.length)) return [];
    const number = counts.get(worker) ?? 0;
    if (living === undefined) counts.set(worker, number + 1);
    return [{ kind: "start-host", host: living?.host ?? `${facts.job}-${worker}-${facts.term}-${number}`, ...place }];
  });
  const settled = new Map(facts.groups.map(({ group, worker }) => [group, worker]));
  const left = facts.hosts.filter(({ group, worker, state }) => {
    return state !== "gone" && (settled.get(group) ?? worker) !== worker;
  });
  return [...starts, ...left.map((host): JobAction => ({ kind: "stop-host", host }))];
}

const placeOf = ({ group, worker }: Pick<HostFacts, "group" | "worker">) => `${worker} ${group}`;

/** Of hosts in one place, oldest first, those after the last that has reported. */
function neverUp(own: readonly WatchedHost[]): readonly WatchedHost[] {
  return own.slice(own.findLastIndex(({ wasUp }) => wasUp) + 1);
}

/** J8 */
function rests(failed: readonly { readonly forMs: number }[], timesInARow: number): boolean {
  return pauseMs(timesInARow) > Math.min(...failed.map(({ forMs }) => forMs));
}

/** J7 */
function enumerators(facts: JobFacts): JobAction[] {
  const all = facts.hosts.filter((host) => host.state === "up");
  const heard = all.filter((host) => host.silentMs <= facts.enumeratorSilenceMs);
  const up = heard.length > 0 ? heard : all;
  return facts.enumerators.flatMap(({ source, host, attempt, deployed }): JobAction[] => {
    const lives = up.some((candidate) => candidate.host === host);
    if (lives && deployed) return [];
    const next = lives ? host : up[0]?.host;
    return next === undefined
      ? []
      : [{ kind: "deploy-enumerator", source, host: next, attempt: lives ? attempt : attempt + 1 }];
  });
}

function findFailure(facts: JobFacts, of: InstancesOf): { code: string; message: string } | undefined {
  // What a host says itself before it ends tells more than that it has gone; regions are placed anew for the rest.
  const broken = facts.hosts.find((host) => host.failure?.passing === false)?.failure;
  if (broken !== undefined) return broken;
  const late = lateHosts(facts);
  if (late !== undefined) return late;
  for (const { service, loadAttemptsMax } of facts.services) {
    const failed = failedInARow(of.get(service) ?? []);
    const [newest] = failed;
    if (newest !== undefined && failed.length >= loadAttemptsMax) {
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

/** J11 */
function lateHosts({ hosts }: JobFacts): { code: string; message: string } | undefined {
  for (const own of groupBy(hosts, placeOf).values()) {
    const late = neverUp(own).filter(({ neverReported }) => neverReported);
    const last = late.at(-1)?.failure;
    if (last === undefined || late.length < limits.hostStartsMax) continue;
    return { code: last.code, message: `${late.length} hosts in a row did not start; the last one: ${last.message}` };
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
 * Those that failed of something else than the service do not count.
 */
function failedInARow(own: readonly InstanceFacts[]): InstanceFacts[] {
  if (own.some((instance) => instance.state === "READY")) return [];
  return sinceServed(own).filter((instance) => instance.state === "FAILED" && !ELSEWHERE.has(instance.code));
}

/** Of instances, newest first, those before the first that did serve. */
function sinceServed(own: readonly InstanceFacts[]): readonly InstanceFacts[] {
  const lastServed = own.findIndex((instance) => instance.served);
  return own.slice(0, lastServed < 0 ? own.length : lastServed);
}

/** What they failed of says nothing about the service: their worker went, or the store or NATS is away for now. */
const ELSEWHERE: ReadonlySet<string> = new Set([
  "MILL_WORKER_LOST",
  "MILL_STORE_UNREACHABLE",
  "MILL_BUS_UNREACHABLE",
  "MILL_BUS_TIMEOUT",
]);

/** J6. Asking a worker for what it has already started changes nothing. */
function askAgain(facts: JobFacts): JobAction[] {
  return facts.instances
    .filter(({ state, worker, instance }) => state === "REQUESTED" && worker !== "" && !facts.retired.has(instance))
    .map(({ instance, service, worker, granted }): JobAction => {
      return { kind: "start-instance", instance, service, worker, granted };
    });
}

/** J9. Those that wait are placed before any new one is asked for. */
function placeInstances(facts: JobFacts, of: InstancesOf): JobAction[] {
  const waits = ({ state, worker, instance }: InstanceFacts) =>
    state === "REQUESTED" && worker === "" && !facts.retired.has(instance);
  const wanted = facts.services.flatMap((spec) => {
    const own = of.get(spec.service) ?? [];
    const waiting = own.filter(waits).reverse();
    return [
      ...waiting.map(({ instance }) => ({ spec, instance })),
      ...missing(facts, spec, own).map((instance) => ({ spec, instance })),
    ];
  });
  if (wanted.length === 0) return []; // what is free is not added up for nothing
  const { workers, holdings } = facts;
  const room = new Room(workers, holdings, coresOf(holdings));
  return wanted.map(({ spec, instance }) => place(room, spec, instance));
}

function place(room: Room, { service, resources }: ServiceSpec, instance: string): JobAction {
  const placed = room.place(resources);
  return placed.worker === undefined
    ? { kind: "await-room", instance, service, reason: placed.reason }
    : { kind: "start-instance", instance, service, ...placed };
}

/** Names of instances that a service lacks (J8). */
function missing(
  facts: JobFacts,
  { service, instances: wanted }: ServiceSpec,
  own: readonly InstanceFacts[],
): string[] {
  const alive = living(facts, own);
  const failed = sinceServed(own).filter(({ state, code }) => state === "FAILED" && code !== "MILL_WORKER_LOST");
  if (rests(failed, Math.ceil(failed.length / Math.max(wanted, 1)))) return [];
  const count = Math.max(wanted - alive.length, 0);
  return Array.from({ length: count }, (_, i) => `${service}-${facts.term}-${own.length + i}`);
}

/** Newest first: those that are there, or will be, and stay. */
function living(facts: JobFacts, own: readonly InstanceFacts[]): InstanceFacts[] {
  return own.filter((one) => !GONE.has(one.state) && !facts.retired.has(one.instance));
}

/** J10 */
function retire(facts: JobFacts, of: InstancesOf): JobAction[] {
  const retired = facts.instances.filter(({ instance, state }) => facts.retired.has(instance) && !GONE.has(state));
  const tooMany = facts.services.flatMap(({ service, instances }) => {
    const all = living(facts, of.get(service) ?? []);
    const serveLeast = [...all].sort((a, b) => usefulness(a) - usefulness(b));
    return serveLeast.slice(0, Math.max(all.length - instances, 0));
  });
  return [
    ...tooMany.map(({ instance }): JobAction => ({ kind: "retire", instance })),
    ...[...retired, ...tooMany].map((instance): JobAction => ({ kind: "stop-instance", instance })),
  ];
}

const USEFULNESS: readonly LifeCycle[] = ["DRAINING", "REQUESTED", "PROVISIONING", "LOADING", "WARMING", "READY"];
const usefulness = ({ state }: InstanceFacts): number => USEFULNESS.indexOf(state);

/** J4. Asks everything to stop until all is gone. */
function windUp(facts: JobFacts, end: JobState): JobAction[] {
  const hosts = facts.hosts.filter((host) => host.state !== "gone");
  const instances = facts.instances.filter((instance) => !GONE.has(instance.state));
  if (hosts.length === 0 && instances.length === 0) return facts.writing ? [] : [{ kind: "enter", state: end }];
  return [
    ...hosts.map((host): JobAction => ({ kind: "stop-host", host })),
    ...instances.map((instance): JobAction => ({ kind: "stop-instance", instance })),
  ];
}
