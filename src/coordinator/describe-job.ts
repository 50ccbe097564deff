/**
 * Puts together what is told of one job (`describe.ts`), from its spec, its report, and what its books know of actors and regions.
 * Pure: nothing is kept but what follows from a spec alone, and nothing is computed before somebody asks: a page shows a part of it,
 * and a job may have ten thousand actors.
 */
import { limits } from "../base/limits.js";
import type {
  ActorLoad,
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
import type { Change } from "./rate-window.js";
import type { Loads, ToldActor, ToldLoad } from "./told-actor.js";
import { instancesWanted } from "./wishes.js";

/** What is known beyond the report while the job is at work; of one that has ended long ago there is no more. */
export interface JobParts {
  readonly actorsRunning: number;
  /** Of each actor that has told of its load. */
  loads(): readonly Loads[];
  regions(): readonly RegionDetail[];
  hosts(): readonly HostDetail[];
  instances(): readonly InstanceDetail[];
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** Over all channels between two operators. */
interface EdgeQueue {
  channels: number;
  queuedBytes: number;
  queuedBatches: number;
}

export const NO_SHARES = { busy: 0, backPressured: 0, idle: 0 } as const;
const NO_LOADS: Loads = { newest: undefined, change: undefined };
const NO_LOAD: Omit<OperatorLoadDetail, "operator"> = {
  ...NO_SHARES,
  ...{ rowsIn: 0, rowsOut: 0, rowsInPerSecond: 0, rowsOutPerSecond: 0 },
  ...{ requestsInFlight: 0, rowsInFlight: 0, queuedBytes: 0, queuedBatches: 0 },
};

/** Over all actors. */
export function rowsOf(regions: Iterable<{ told(): Iterable<ToldActor> }>) {
  let [rowsRead, rowsWritten, rowsInFlight, deadLetters] = [0, 0, 0, 0];
  for (const region of regions) {
    for (const told of region.told()) {
      rowsRead += told.rowsRead;
      rowsWritten += told.rowsWritten;
      rowsInFlight += told.rowsInFlight;
      deadLetters += told.deadLetters;
    }
  }
  return {
    rowsRead: BigInt(rowsRead),
    rowsWritten: BigInt(rowsWritten),
    rowsInFlight: BigInt(rowsInFlight),
    deadLetters: BigInt(deadLetters),
  };
}

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
  const loads = once(() => parts?.loads() ?? []);
  const rates = once(() => rowRates(loads()));
  const operators = once(() => operatorsOf(spec, loads()));
  const edges = once(() => edgesOf(spec, queuesOf(loads())));
  const regions = once(() => parts?.regions() ?? report.regions.map(endedRegion));
  const services = once(() => servicesOf(spec, report, parts?.instances() ?? report.instances.map(instanceOf)));
  const hosts = once(() => parts?.hosts() ?? []);
  return {
    ...summaryOf(spec, report, parts?.actorsRunning ?? 0),
    planHash: spec.planHash,
    bundle: spec.bundle,
    params: spec.params,
    parallelism: spec.parallelism,
    unit: spec.unit,
    checkpointIntervalMs: Number(spec.checkpointIntervalMs),
    get rowsReadPerSecond() {
      return rates().rowsReadPerSecond;
    },
    get rowsWrittenPerSecond() {
      return rates().rowsWrittenPerSecond;
    },
    get operators() {
      return operators();
    },
    get edges() {
      return edges();
    },
    get regions() {
      return regions();
    },
    get services() {
      return services();
    },
    get hosts() {
      return hosts();
    },
  };
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

function rowRates(loads: readonly Loads[]): Pick<JobDetail, "rowsReadPerSecond" | "rowsWrittenPerSecond"> {
  let [read, written] = [0, 0];
  for (const { change } of loads) {
    if (change === undefined) continue;
    read += perSecond(change.from.rowsRead, change.to.rowsRead, change.ms);
    written += perSecond(change.from.rowsWritten, change.to.rowsWritten, change.ms);
  }
  return { rowsReadPerSecond: read, rowsWrittenPerSecond: written };
}

/** Sums over parallel instances; shares are sums, too, until they are divided. */
interface Totals extends Writable<OperatorLoadDetail> {
  busyMax: number;
  backPressuredMax: number;
  /** Parallel instances whose shares are known. */
  known: number;
}

/** Loads of all parallel instances of each operator, put together. */
function operatorsOf(spec: JobSpec, loads: readonly Loads[]): OperatorDetail[] {
  const totals = new Map(spec.operators.map(({ operator }) => [operator, noTotals(operator)]));
  for (const { newest, change } of loads) {
    if (newest === undefined) continue;
    const { operators, inputs } = newest.load;
    for (let i = 0; i < operators.length; i++) {
      const total = totals.get(operators[i]!.operator);
      if (total !== undefined) addLoad(total, operators[i]!, i, change);
    }
    for (const input of inputs) {
      const total = totals.get(input.to);
      if (total === undefined) continue;
      total.queuedBytes += Number(input.queuedBytes);
      total.queuedBatches += input.queuedBatches;
    }
  }
  const regions = regionsByChain(spec);
  const places = new Map(spec.graph.map((place) => [place.operator, place]));
  return spec.operators.map(({ operator, kind, parallelism }) => {
    const { chain = "", service = "" } = places.get(operator) ?? {};
    const { known, ...total } = totals.get(operator)!;
    for (const share of SHARES) total[share] = known === 0 ? 0 : total[share] / known;
    return { ...total, kind, parallelism, chain, service, regions: [...(regions.get(chain) ?? [])] };
  });
}

function noTotals(operator: string): Totals {
  return { operator, ...NO_LOAD, busyMax: 0, backPressuredMax: 0, known: 0 };
}

function addLoad(total: Totals, own: OperatorLoad, at: number, change: Change<ToldLoad> | undefined): void {
  total.rowsIn += Number(own.rowsIn);
  total.rowsOut += Number(own.rowsOut);
  total.requestsInFlight += own.requests;
  total.rowsInFlight += own.rowsHeld;
  if (change === undefined) return;
  const [before, now] = [change.from.load.operators[at]!, change.to.load.operators[at]!];
  total.rowsInPerSecond += perSecond(before.rowsIn, now.rowsIn, change.ms);
  total.rowsOutPerSecond += perSecond(before.rowsOut, now.rowsOut, change.ms);
  const { busy, backPressured, idle } = sharesOf(before, now, change.ms);
  total.busy += busy;
  total.backPressured += backPressured;
  total.idle += idle;
  total.busyMax = Math.max(total.busyMax, busy);
  total.backPressuredMax = Math.max(total.backPressuredMax, backPressured);
  total.known += 1;
}

/** By the spec: it does not change. */
const chainRegions = new WeakMap<JobSpec, ReadonlyMap<string, ReadonlySet<string>>>();

function regionsByChain(spec: JobSpec): ReadonlyMap<string, ReadonlySet<string>> {
  const known = chainRegions.get(spec);
  if (known !== undefined) return known;
  const regions = new Map<string, Set<string>>();
  for (const { actor, subtask, region } of spec.actors) {
    const chain = actor.slice(0, actor.length - `-${subtask}`.length);
    const own = regions.get(chain);
    if (own === undefined) regions.set(chain, new Set([region]));
    else own.add(region);
  }
  chainRegions.set(spec, regions);
  return regions;
}

const SHARES = ["busy", "backPressured", "idle"] as const;

function edgesOf({ graph }: JobSpec, queues: ReadonlyMap<string, ReadonlyMap<string, EdgeQueue>>): EdgeDetail[] {
  return graph.flatMap(({ operator: to, inputs }) =>
    inputs.map(({ operator: from, exchange, durable }) => {
      const queue = queues.get(to)?.get(from) ?? NO_QUEUE;
      return { from, to, exchange, durable, ...queue, creditBytes: queue.channels * limits.channelCreditBytes };
    }),
  );
}

function servicesOf(spec: JobSpec, report: JobReport, instances: readonly InstanceDetail[]): ServiceDetail[] {
  const counts = new Map(report.services.map((one) => [one.service, one]));
  const own = new Map(spec.services.map(({ service }) => [service, [] as InstanceDetail[]]));
  for (const instance of instances) own.get(instance.service)?.push(instance);
  const callers = new Map(spec.services.map(({ service }) => [service, [] as string[]]));
  for (const { operator, service } of spec.graph) callers.get(service)?.push(operator);
  return spec.services.map(({ service, instances: declared }) => ({
    service,
    callers: callers.get(service)!,
    instancesWanted: instancesWanted({ service, instances: declared }, report.wishes),
    ...(counts.has(service) && { counts: counts.get(service)! }),
    instances: own.get(service)!,
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
    service,
    instance,
    worker,
    state,
    sinceMs: Number(newest?.enteredMs ?? 0n),
    code: newest?.code ?? "",
    message,
    queuedRows,
    runningRows: 0,
    requests: 0,
    calls: 0,
    rows: 0,
    errors: 0,
    rowsPerSecond: 0,
    rowMs,
    callMsP50: 0,
    callMsP99: 0,
    batchRowsMean: 0,
    aside: 0,
    probation: 0,
    gpus: [],
    memoryBytes: 0,
    cpuMs: 0,
    transitions: report.transitions.map((one) => ({ ...one, enteredMs: Number(one.enteredMs) })),
  };
}

/** @param placed where it is, or is to be */
export function actorOf(
  { actor, region, subtask }: JobSpec["actors"][number],
  attempt: number,
  placed: { readonly worker: string; readonly host: string } = { worker: "", host: "" },
  told: ToldActor | undefined,
): ActorDetail {
  const { newest, change } = told?.loads ?? NO_LOADS;
  const [from, to, ms] = [change?.from, change?.to, change?.ms ?? 0];
  const shares = from === undefined ? NO_SHARES : sharesOf(from.load, to!.load, ms);
  const queue = queueOf(newest?.load.inputs ?? []);
  return {
    actor,
    region,
    subtask,
    attempt,
    worker: placed.worker,
    host: placed.host,
    state: told?.state ?? "",
    code: told?.code ?? "",
    message: told?.message ?? "",
    rowsRead: told?.rowsRead ?? 0,
    rowsWritten: told?.rowsWritten ?? 0,
    rowsInFlight: told?.rowsInFlight ?? 0,
    deadLetters: told?.deadLetters ?? 0,
    rowsReadPerSecond: from === undefined ? 0 : perSecond(from.rowsRead, to!.rowsRead, ms),
    rowsWrittenPerSecond: from === undefined ? 0 : perSecond(from.rowsWritten, to!.rowsWritten, ms),
    queuedBytes: queue.queuedBytes,
    queuedBatches: queue.queuedBatches,
    busy: shares.busy,
    backPressured: shares.backPressured,
    idle: shares.idle,
    operators: newest?.load.operators.map((own, i) => operatorOf(own, i, newest.load, change)) ?? [],
  };
}

/** @param at its place among the operators, which is the same in all reports of an attempt */
function operatorOf(
  own: OperatorLoad,
  at: number,
  { inputs }: ActorLoad,
  change: Change<ToldLoad> | undefined,
): OperatorLoadDetail {
  const [before, now, ms] = [change?.from.load.operators[at], change?.to.load.operators[at], change?.ms ?? 0];
  const shares = before === undefined ? NO_SHARES : sharesOf(before, now!, ms);
  const queue = queueOf(inputs, own.operator);
  return {
    operator: own.operator,
    rowsIn: Number(own.rowsIn),
    rowsOut: Number(own.rowsOut),
    rowsInPerSecond: before === undefined ? 0 : perSecond(before.rowsIn, now!.rowsIn, ms),
    rowsOutPerSecond: before === undefined ? 0 : perSecond(before.rowsOut, now!.rowsOut, ms),
    requestsInFlight: own.requests,
    rowsInFlight: own.rowsHeld,
    queuedBytes: queue.queuedBytes,
    queuedBatches: queue.queuedBatches,
    busy: shares.busy,
    backPressured: shares.backPressured,
    idle: shares.idle,
  };
}

interface Spent {
  readonly busyMs: number;
  readonly backPressuredMs: number;
}

function sharesOf(before: Spent, now: Spent, ms: number): TimeShares {
  const busy = Math.min(Math.max((now.busyMs - before.busyMs) / ms, 0), 1);
  const backPressured = Math.min(Math.max((now.backPressuredMs - before.backPressuredMs) / ms, 0), 1 - busy);
  return { busy, backPressured, idle: 1 - busy - backPressured };
}

export function perSecond(before: bigint | number, now: bigint | number, ms: number): number {
  return ((Number(now) - Number(before)) * 1_000) / ms;
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

/** What waits on channels, by the operator that they lead to and the one that they come from. */
function queuesOf(loads: readonly Loads[]): Map<string, Map<string, EdgeQueue>> {
  const queues = new Map<string, Map<string, EdgeQueue>>();
  for (const { newest } of loads) {
    for (const { from, to, channels, queuedBytes, queuedBatches } of newest?.load.inputs ?? []) {
      const own = queues.get(to) ?? new Map<string, EdgeQueue>();
      if (own.size === 0) queues.set(to, own);
      let queue = own.get(from);
      if (queue === undefined) {
        queue = { ...NO_QUEUE };
        own.set(from, queue);
      }
      queue.channels += channels;
      queue.queuedBytes += Number(queuedBytes);
      queue.queuedBatches += queuedBatches;
    }
  }
  return queues;
}

const NO_QUEUE: EdgeQueue = { channels: 0, queuedBytes: 0, queuedBatches: 0 };

/** @param usage undefined: not known */
export function used(usage: ProcessUsage | undefined): { readonly memoryBytes: number; readonly cpuMs: number } {
  return { memoryBytes: Number(usage?.rssBytes ?? 0n), cpuMs: Number(usage?.cpuMs ?? 0n) };
}

export function sum<T>(all: Iterable<T>, value: (one: T) => number): number {
  let total = 0;
  for (const one of all) total += value(one);
  return total;
}
