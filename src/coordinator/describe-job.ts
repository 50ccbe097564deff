/**
 * Puts together what is told of one job (`describe.ts`), from its spec, its report, and what its books know of actors and regions.
 * Pure: nothing is kept, and nothing is computed before somebody asks.
 */
import { limits } from "../base/limits.js";
import type {
  ActorLoad,
  ActorReport,
  InputLoad,
  InstanceReport,
  JobReport,
  JobSpec,
  OperatorLoad,
  ProcessUsage,
} from "../wire/control.js";
import type {
  ActorDetail,
  EdgeDetail,
  HostDetail,
  InstanceDetail,
  JobDetail,
  JobSummary,
  OperatorDetail,
  OperatorLoadDetail,
  RegionDetail,
  ServiceDetail,
  TimeShares,
} from "./describe.js";
import type { Change, RateWindow } from "./rate-window.js";
import type { LoadedReport } from "./region-book.js";
import { instancesWanted } from "./wishes.js";

/** What is known beyond the report while the job is at work; of one that has ended long ago there is no more. */
export interface JobParts {
  readonly regions: readonly RegionDetail[];
  readonly actors: readonly ActorDetail[];
  readonly edges: ReadonlyMap<string, EdgeQueue>;
  readonly hosts: readonly HostDetail[];
  readonly instances: readonly InstanceDetail[];
}

/** By `<from> <to>`, over all channels between them. */
export interface EdgeQueue {
  channels: number;
  queuedBytes: number;
  queuedBatches: number;
}

export const NO_SHARES = { busy: 0, backPressured: 0, idle: 0 } as const;
const NO_LOAD: Omit<OperatorLoadDetail, "operator"> = {
  ...NO_SHARES,
  ...{ rowsIn: 0, rowsOut: 0, rowsInPerSecond: 0, rowsOutPerSecond: 0 },
  ...{ requestsInFlight: 0, rowsInFlight: 0, queuedBytes: 0, queuedBatches: 0 },
};

export function summaryOf(spec: JobSpec, report: JobReport, actorsRunning: number): JobSummary {
  const { job, state, code, message, instances, regions } = report;
  return {
    job,
    topology: spec.topology,
    state,
    code,
    message,
    submittedMs: Number(spec.submittedMs),
    startedMs: Number(report.startedMs),
    finishedMs: Number(report.finishedMs),
    rowsTotal: Number(report.rowsTotal),
    rowsRead: Number(report.rowsRead),
    rowsWritten: Number(report.rowsWritten),
    rowsInFlight: Number(report.rowsInFlight),
    deadLetters: Number(report.deadLetters),
    counts: {
      actors: spec.actors.length,
      actorsRunning,
      regions: regions.length,
      restarts: sum(regions, ({ attempt }) => attempt - 1),
      instancesWanted: sum(spec.services, (service) => instancesWanted(service, report.wishes)),
      instancesReady: instances.filter((instance) => instance.state === "READY").length,
    },
  };
}

/** @param parts undefined: the job ended under an earlier coordinator */
export function detailOf(spec: JobSpec, report: JobReport, parts?: JobParts): JobDetail {
  const actors = parts?.actors ?? [];
  const running = actors.filter(({ state }) => state === "RUNNING").length;
  return {
    ...summaryOf(spec, report, running),
    planHash: spec.planHash,
    bundle: spec.bundle,
    params: spec.params,
    parallelism: spec.parallelism,
    unit: spec.unit,
    checkpointIntervalMs: Number(spec.checkpointIntervalMs),
    rowsReadPerSecond: sum(actors, (actor) => actor.rowsReadPerSecond),
    rowsWrittenPerSecond: sum(actors, (actor) => actor.rowsWrittenPerSecond),
    operators: operatorsOf(spec, actors),
    edges: edgesOf(spec, parts?.edges),
    actors,
    regions: parts?.regions ?? report.regions.map(endedRegion),
    services: servicesOf(spec, report, parts?.instances ?? report.instances.map(instanceOf)),
    hosts: parts?.hosts ?? [],
  };
}

/** Loads of all parallel instances of each operator, put together. */
function operatorsOf({ operators, graph, actors: specs }: JobSpec, actors: readonly ActorDetail[]): OperatorDetail[] {
  const loads = new Map<string, OperatorLoadDetail[]>(operators.map(({ operator }) => [operator, []]));
  for (const actor of actors) for (const load of actor.operators) loads.get(load.operator)?.push(load);
  const regions = new Map<string, Set<string>>();
  for (const { actor, subtask, region } of specs) {
    const chain = actor.slice(0, actor.length - `-${subtask}`.length);
    regions.set(chain, (regions.get(chain) ?? new Set()).add(region));
  }
  const places = new Map(graph.map((place) => [place.operator, place]));
  return operators.map(({ operator, kind, parallelism }) => {
    const { chain = "", service = "" } = places.get(operator) ?? {};
    const own = loads.get(operator)!;
    return {
      ...together(operator, own),
      kind,
      parallelism,
      chain,
      service,
      regions: [...(regions.get(chain) ?? [])],
      busyMax: own.reduce((most, { busy }) => Math.max(most, busy), 0),
      backPressuredMax: own.reduce((most, { backPressured }) => Math.max(most, backPressured), 0),
    };
  });
}

function together(operator: string, loads: readonly OperatorLoadDetail[]): OperatorLoadDetail {
  const total: { -readonly [K in keyof typeof NO_LOAD]: number } = { ...NO_LOAD };
  const known = loads.filter(({ busy, backPressured, idle }) => busy + backPressured + idle > 0).length;
  for (const load of loads) for (const name of NAMES) total[name] += load[name];
  for (const name of SHARES) total[name] = known === 0 ? 0 : total[name] / known;
  return { operator, ...total };
}

const NAMES = Object.keys(NO_LOAD) as (keyof typeof NO_LOAD)[];
const SHARES = Object.keys(NO_SHARES) as (keyof typeof NO_SHARES)[];

function edgesOf({ graph }: JobSpec, queues: ReadonlyMap<string, EdgeQueue> = new Map()): EdgeDetail[] {
  return graph.flatMap(({ operator: to, inputs }) =>
    inputs.map(({ operator: from, exchange, durable }) => {
      const queue = queues.get(`${from} ${to}`) ?? { channels: 0, queuedBytes: 0, queuedBatches: 0 };
      return { from, to, exchange, durable, ...queue, creditBytes: queue.channels * limits.channelCreditBytes };
    }),
  );
}

function servicesOf(spec: JobSpec, report: JobReport, instances: readonly InstanceDetail[]): ServiceDetail[] {
  const counts = new Map(report.services.map((one) => [one.service, one]));
  return spec.services.map(({ service, instances: declared }) => ({
    service,
    callers: spec.graph.filter((operator) => operator.service === service).map(({ operator }) => operator),
    instancesWanted: instancesWanted({ service, instances: declared }, report.wishes),
    ...(counts.has(service) && { counts: counts.get(service)! }),
    instances: instances.filter((instance) => instance.service === service),
  }));
}

/** As far as the report that outlived its coordinator says. */
function endedRegion({ region, phase, attempt, committed }: JobReport["regions"][number]): RegionDetail {
  const none = { checkpoints: [], restarts: [] };
  return { region, phase, attempt, actors: 0, committed: Number(committed), ...none };
}

export function instanceOf(report: InstanceReport): InstanceDetail {
  const { service, instance, worker, state, message, queuedRows, rowMs } = report;
  const newest = report.transitions.at(-1);
  return {
    ...{ service, instance, worker, state, message, queuedRows, rowMs },
    sinceMs: Number(newest?.enteredMs ?? 0n),
    code: newest?.code ?? "",
    ...{ runningRows: 0, requests: 0, calls: 0, rows: 0, errors: 0, rowsPerSecond: 0 },
    ...{ callMsP50: 0, callMsP99: 0, batchRowsMean: 0, aside: 0, probation: 0, gpus: [], memoryBytes: 0, cpuMs: 0 },
    transitions: report.transitions.map((one) => ({ ...one, enteredMs: Number(one.enteredMs) })),
  };
}

/** @param placed where it is, or is to be */
export function actorOf(
  { actor, region, subtask }: JobSpec["actors"][number],
  attempt: number,
  placed: { readonly worker: string; readonly host: string } = { worker: "", host: "" },
  report?: ActorReport,
  loads?: RateWindow<LoadedReport>,
): ActorDetail {
  const load = loads?.newest?.load;
  // Of one that has ended nothing changes any more.
  const change = report?.state === "RUNNING" ? loads?.change : undefined;
  return {
    ...{ actor, region, subtask, attempt, worker: placed.worker, host: placed.host },
    state: report?.state ?? "",
    code: report?.code ?? "",
    message: report?.message ?? "",
    rowsRead: Number(report?.rowsRead ?? 0n),
    rowsWritten: Number(report?.rowsWritten ?? 0n),
    rowsInFlight: Number(report?.rowsInFlight ?? 0n),
    deadLetters: Number(report?.deadLetters ?? 0n),
    rowsReadPerSecond: change === undefined ? 0 : perSecond(change, (told) => told.rowsRead),
    rowsWrittenPerSecond: change === undefined ? 0 : perSecond(change, (told) => told.rowsWritten),
    ...queueOf(load?.inputs ?? []),
    ...(change === undefined ? NO_SHARES : sharesOf(change, (told) => told.load)),
    operators: load?.operators.map((own, i) => operatorOf(own, i, load, change)) ?? [],
  };
}

/** @param at its place among the operators, which is the same in all reports of an attempt */
function operatorOf(
  own: OperatorLoad,
  at: number,
  { inputs }: ActorLoad,
  change: Change<LoadedReport> | undefined,
): OperatorLoadDetail {
  const of = (told: LoadedReport) => told.load.operators[at]!;
  return {
    operator: own.operator,
    rowsIn: Number(own.rowsIn),
    rowsOut: Number(own.rowsOut),
    rowsInPerSecond: change === undefined ? 0 : perSecond(change, (told) => of(told).rowsIn),
    rowsOutPerSecond: change === undefined ? 0 : perSecond(change, (told) => of(told).rowsOut),
    requestsInFlight: own.requests,
    rowsInFlight: own.rowsHeld,
    ...queueOf(inputs, own.operator),
    ...(change === undefined ? NO_SHARES : sharesOf(change, of)),
  };
}

function sharesOf<T>(
  { from, to, ms }: Change<T>,
  of: (told: T) => { readonly busyMs: number; readonly backPressuredMs: number },
): TimeShares {
  const [before, now] = [of(from), of(to)];
  const busy = Math.min(Math.max((now.busyMs - before.busyMs) / ms, 0), 1);
  const backPressured = Math.min(Math.max((now.backPressuredMs - before.backPressuredMs) / ms, 0), 1 - busy);
  return { busy, backPressured, idle: 1 - busy - backPressured };
}

export function perSecond<T>({ from, to, ms }: Change<T>, of: (told: T) => bigint): number {
  return (Number(of(to) - of(from)) * 1_000) / ms;
}

/** @param reader undefined: all of them */
function queueOf(inputs: readonly InputLoad[], reader?: string) {
  const queue = { queuedBytes: 0, queuedBatches: 0 };
  for (const { to, queuedBytes, queuedBatches } of inputs) {
    if (reader !== undefined && to !== reader) continue;
    queue.queuedBytes += Number(queuedBytes);
    queue.queuedBatches += queuedBatches;
  }
  return queue;
}

export function addQueue(queues: Map<string, EdgeQueue>, { from, to, channels, ...queued }: InputLoad): void {
  const queue = queues.get(`${from} ${to}`) ?? { channels: 0, queuedBytes: 0, queuedBatches: 0 };
  queue.channels += channels;
  queue.queuedBytes += Number(queued.queuedBytes);
  queue.queuedBatches += queued.queuedBatches;
  queues.set(`${from} ${to}`, queue);
}

/** @param usage undefined: not known */
export function used(usage: ProcessUsage | undefined): { readonly memoryBytes: number; readonly cpuMs: number } {
  return { memoryBytes: Number(usage?.rssBytes ?? 0n), cpuMs: Number(usage?.cpuMs ?? 0n) };
}

export function sum<T>(all: Iterable<T>, value: (one: T) => number): number {
  let total = 0;
  for (const one of all) total += value(one);
  return total;
}
