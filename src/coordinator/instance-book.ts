/**
 * What the coordinator knows of the instances of one job: facts gathered from their own reports and from those of their workers.
 *
 * Invariants:
 *   V1  Each state but REQUESTED has an end: one that goes on loading or warming long after its time, that serves and is silent for
 *       longer than a call of its service may block it, or whose process runs and has never reported, has FAILED. A program that
 *       serves reports whatever it does, so it is given no more silence than a worker is.
 *   V2  Time in which this process heard nothing counts for none of it; nor does what an earlier leader has heard.
 *   V3  Who is given up so may still run. Its clients are told that nobody knows (S6 of `instance-table.ts`), and its worker stops it
 *       when it tells of it next.
 */
import type { ErrorCode } from "../base/errors.js";
import type { InstanceId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import { silentMsMax } from "../services/declared-service.js";
import type { GoneInstance } from "../services/gone-report.js";
import { LifeHistory } from "../services/life-history.js";
import type {
  InstanceHistory,
  InstanceReport,
  InstanceWork,
  JobSpec,
  ProcessUsage,
  ServiceSpec,
  WorkerReport,
} from "../wire/control.js";
import type { LoadReport } from "../wire/frames.js";
import type { InstanceDetail } from "./describe.js";
import { instanceOf, perSecond, used } from "./describe-job.js";
import type { InstanceFacts } from "./job.js";
import { NOTHING } from "./placement.js";
import { RateWindow } from "./rate-window.js";

/** Hosts that have put an instance aside, or on probation, by its id. */
type Standings = ReadonlyMap<string, { readonly aside: number; readonly probation: number }>;

type Writable<T> = { -readonly [K in keyof T]: T[K] };

interface KnownInstance extends Writable<Omit<InstanceFacts, "forMs">> {
  /** When it entered its state, as far as this process has heard. */
  sinceMs: number;
  /** When it was heard itself; before that, when this process began to expect it. */
  heardMs: number;
  /** Since when this process knows that it runs. */
  launchedMs: number | undefined;
  queuedRows: number;
  runningRows: number;
  rowMs: number;
  readonly work: RateWindow<InstanceWork>;
  /** What was granted is its own: nobody has said that its process has ended, or was never there (X5). */
  holds: boolean;
  /** Its worker has told of it. */
  shown: boolean;
  readonly history: LifeHistory;
}

export class InstanceBook {
  #known = new Map<string, KnownInstance>();
  /** Of an earlier leader, while it is not known which of them live. */
  #left: readonly InstanceReport[] = [];
  readonly #services: ReadonlyMap<string, ServiceSpec>;

  constructor(
    private readonly spec: Pick<JobSpec, "job" | "services">,
    private readonly clock: Clock,
  ) {
    this.#services = new Map(spec.services.map((one) => [one.service, one]));
  }

  /** Newest first. */
  facts(): InstanceFacts[] {
    const now = this.clock.monotonicMs();
    return [...this.#known.values()].reverse().map((one) => ({ ...one, forMs: now - one.sinceMs }));
  }

  /** Whose promises count (X5). */
  get holding(): readonly InstanceFacts[] {
    return this.facts().filter(({ instance }) => this.#known.get(instance)!.holds);
  }

  stateOf(instance: string): InstanceFacts["state"] | undefined {
    return this.#known.get(instance)?.state;
  }

  /** Of one that has not ended. */
  serviceOf(instance: string): string | undefined {
    const known = this.#known.get(instance);
    return known === undefined || isOver(known.state) ? undefined : known.service;
  }

  /** It is not needed any more, and was never placed. */
  forgetUnplaced(instance: string): void {
    const known = this.#known.get(instance);
    if (known?.worker !== "" || isOver(known.state)) return;
    Object.assign(known, { state: "STOPPED", message: "it was never placed" });
    known.history.note("STOPPED", this.clock.nowMs(), known.message);
  }

  /** @param left what an earlier leader noted of them last */
  takeUp(left: readonly InstanceReport[]): void {
    this.#left = left.filter(({ worker }) => worker !== "");
  }

  /** @returns those of the earlier leader that nobody has told of: they are gone, and their clients do not know */
  adopted(): GoneInstance[] {
    const gone = this.#left.filter(({ instance }) => !this.#known.has(instance));
    const [code, reason] = ["MILL_WORKER_LOST", "its worker was lost while no coordinator led"];
    const told = gone.map(({ service, instance, worker }) => {
      this.expect({ service, instance: instance as InstanceId, worker, granted: NOTHING });
      this.#fail(this.#known.get(instance)!, code, reason);
      return { service, instance, state: "FAILED", code, reason } as const;
    });
    this.#left = [];
    return told;
  }

  /** @param reason why it is on no worker yet */
  expect(instance: Pick<InstanceFacts, "instance" | "service" | "worker" | "granted">, reason = ""): void {
    const known = this.#known.get(instance.instance);
    const holds = instance.worker !== "";
    if (known?.worker === "" && known.state === "REQUESTED")
      Object.assign(known, { ...instance, message: reason, holds });
    known?.history.note("REQUESTED", 0, reason);
    if (known !== undefined) return; // asked for again
    const history = new LifeHistory();
    const left = this.#left.find((one) => one.instance === instance.instance)?.transitions ?? [];
    for (const one of left) history.note(one.state, one.enteredMs, one.reason, one.code);
    history.note("REQUESTED", this.clock.nowMs(), reason || this.#whyAgain(instance.service));
    this.#known.set(instance.instance, {
      ...instance,
      holds,
      shown: false,
      state: "REQUESTED",
      served: false,
      code: "",
      message: reason,
      sinceMs: this.clock.monotonicMs(),
      heardMs: this.clock.monotonicMs(),
      launchedMs: undefined,
      queuedRows: 0,
      runningRows: 0,
      rowMs: 0,
      work: new RateWindow(),
      history,
    });
  }

  #whyAgain(service: string): string {
    const failed = [...this.#known.values()].filter((one) => one.service === service && one.state === "FAILED");
    const last = failed.at(-1);
    return last === undefined ? "" : `after ${last.instance}, which failed: ${last.message}`;
  }

  /** Nobody waits any more for those that were never placed. */
  forgetWaiting(): void {
    for (const instance of this.#known.keys()) this.forgetUnplaced(instance);
  }

  /** Found with a worker by a new leader. */
  adopt({ worker, instances }: WorkerReport): void {
    for (const { instance, service, job, state, granted } of instances) {
      if (job !== this.spec.job || state !== "PROVISIONING") continue;
      this.expect({ instance: instance as InstanceId, service, worker, granted });
    }
  }

  onWorker({ worker, instances }: WorkerReport): void {
    for (const told of instances) {
      const known = this.#known.get(told.instance);
      if (told.job !== this.spec.job || known === undefined || known.worker !== worker) continue;
      known.shown = true;
      if (told.launched) known.launchedMs ??= this.clock.monotonicMs();
      if (told.startedMs > 0n) known.history.note("PROVISIONING", told.startedMs, `on worker ${worker}`);
      if (told.state === "PROVISIONING" && known.state === "REQUESTED") known.state = "PROVISIONING";
      if (isOver(known.state) || !isOver(told.state)) continue;
      Object.assign(known, { state: told.state, sinceMs: this.clock.monotonicMs() });
      known.code ||= told.code;
      known.message ||= told.message;
      known.history.note(told.state, told.endedMs || this.clock.nowMs(), known.message, known.code);
    }
    this.#release(worker, instances);
  }

  /** What its worker says has ended, or told of once and tells of no more, holds nothing (X5). */
  #release(worker: string, instances: WorkerReport["instances"]): void {
    const own = instances.filter(({ job, state }) => job === this.spec.job && !isOver(state));
    const alive = new Set(own.map(({ instance }) => instance));
    for (const known of this.#known.values()) {
      if (known.worker === worker && known.shown && !alive.has(known.instance)) known.holds = false;
    }
  }

  /** @returns those that are lost with it and cannot tell their clients */
  onWorkerGone(worker: string, message: string): GoneInstance[] {
    const lost: GoneInstance[] = [];
    for (const known of this.#known.values()) {
      if (known.worker !== worker) continue;
      known.holds = false;
      if (isOver(known.state)) continue;
      this.#fail(known, "MILL_WORKER_LOST", message);
      const { service, instance, code } = known;
      lost.push({ service, instance, state: "FAILED", code, reason: message });
    }
    return lost;
  }

  /** Its worker does not take it: another will be asked (J5). */
  onRefused(instance: string, code: string, message: string): void {
    const known = this.#known.get(instance);
    if (known?.state !== "REQUESTED") return;
    known.holds = false;
    this.#fail(known, code, message);
  }

  #fail(known: KnownInstance, code: string, message: string): void {
    Object.assign(known, { state: "FAILED", code, message, sinceMs: this.clock.monotonicMs() });
    known.history.note("FAILED", this.clock.nowMs(), message, code);
  }

  /** It says all there is to say of itself; it decides nothing. */
  onHistory({ instance, transitions, work }: InstanceHistory): void {
    const known = this.#known.get(instance);
    if (work !== null) known?.work.add(work, this.clock.monotonicMs());
    for (const one of transitions) known?.history.note(one.state, one.enteredMs, one.reason, one.code);
  }

  /** @returns whether the instance's state has changed */
  onLoad(report: LoadReport): boolean {
    const known = this.#known.get(report.instance);
    if (known === undefined || isOver(known.state)) return false;
    const changed = known.state !== report.state;
    known.heardMs = this.clock.monotonicMs();
    const { state, code, reason: message, queuedRows, runningRows, rowMs, enteredMs } = report;
    known.history.note(state, enteredMs || this.clock.nowMs(), message, code);
    Object.assign(known, { state, code, message, queuedRows: queuedRows + runningRows, runningRows, rowMs });
    if (changed) known.sinceMs = known.heardMs;
    known.served ||= state === "READY";
    return changed;
  }

  /** V1, V2. @returns those that are given up and cannot tell their clients (V3) */
  expire(silenceMsMax: number, deafMs: number): GoneInstance[] {
    const gone: GoneInstance[] = [];
    for (const known of this.#known.values()) {
      known.sinceMs += deafMs;
      known.heardMs += deafMs;
      if (known.launchedMs !== undefined) known.launchedMs += deafMs;
      const late = isOver(known.state) ? undefined : this.#lateness(known, silenceMsMax);
      if (late === undefined) continue;
      this.#fail(known, late.code, late.message);
      const { service, instance } = known;
      gone.push({ service, instance, state: "FAILED", code: "MILL_WORKER_LOST", reason: late.message });
    }
    return gone;
  }

  /** Why it is not waited for any more. */
  #lateness(known: KnownInstance, silenceMsMax: number): { code: ErrorCode; message: string } | undefined {
    const now = this.clock.monotonicMs();
    const { instance, worker, state, launchedMs } = known;
    const spec = this.#services.get(known.service)!;
    const [loadMs, warmMs] = [Number(spec.loadTimeoutMs), Number(spec.warmTimeoutMs)];
    if (state === "LOADING" || state === "WARMING") {
      const [setting, allowedMs] = state === "LOADING" ? ["load.timeoutMs", loadMs] : ["load.warmTimeoutMs", warmMs];
      if (now - known.sinceMs <= allowedMs + silenceMsMax) return undefined;
      const message = `${instance} was still ${state} long after its ${setting} of ${allowedMs} ms was over, and did not say so itself`;
      return { code: "MILL_SERVICE_TIMEOUT", message };
    }
    if (state === "READY" || state === "DRAINING") {
      const silentMs = now - known.heardMs;
      if (silentMs <= silenceMsMax) return undefined; // nobody is allowed less
      const allowedMs = silentMsMax(spec, silenceMsMax);
      if (silentMs <= allowedMs) return undefined;
      const message = `${instance} on worker ${worker} was ${state} and has not reported for ${allowedMs} ms, though its process has not ended; it is stopped. See that worker's log for what it did. A program has to report every ${limits.heartbeatIntervalMs} ms, also while it works`;
      return { code: "MILL_SERVICE_LOST", message };
    }
    // That it loads and warms may have been told to nobody: it is told once.
    const allowedMs = limits.processStartTimeoutMs + loadMs + warmMs;
    if (state !== "PROVISIONING" || launchedMs === undefined || now - launchedMs <= allowedMs) return undefined;
    const message = `${instance} on worker ${worker} has run for ${allowedMs} ms and has not reported that it loads; it is stopped. See that worker's log for what it did: whether it can reach NATS, and what its topology or its program waits for first`;
    return { code: "MILL_SERVICE_TIMEOUT", message };
  }

  describe(): InstanceReport[] {
    return [
      ...this.#left.filter(({ instance }) => !this.#known.has(instance)),
      ...this.#worthTelling().map(({ service, instance, worker, state, queuedRows, rowMs, message, history }) => {
        return { service, instance, worker, state, queuedRows, rowMs, message, transitions: history.transitions };
      }),
    ];
  }

  /** For pages; of those that an earlier leader had, and nobody has told of, what it noted. */
  detail(standings: Standings, usages: ReadonlyMap<string, ProcessUsage>): InstanceDetail[] {
    return this.describe().map((report) => {
      const known = this.#known.get(report.instance);
      const told = instanceOf(report);
      if (known === undefined) return told;
      const { queuedRows, runningRows, code, granted, work } = known;
      return {
        ...told,
        ...{ code, runningRows, queuedRows: queuedRows - runningRows, gpus: granted.gpus },
        ...workOf(work),
        ...(standings.get(report.instance) ?? {}),
        ...used(usages.get(report.instance)),
      };
    });
  }

  /** Of those that have ended, only the newest: a service may fail for as long as a store is away. */
  #worthTelling(): KnownInstance[] {
    const all = [...this.#known.values()];
    const ended = all.filter(({ state }) => isOver(state));
    const old = new Set(ended.slice(0, Math.max(ended.length - limits.instancesEndedMax, 0)));
    return all.filter((instance) => !old.has(instance));
  }
}

function workOf(window: RateWindow<InstanceWork>) {
  const { newest, change } = window;
  if (newest === undefined) return {};
  const { calls, rows, errors, ...now } = newest;
  const rowsPerSecond = change === undefined ? 0 : perSecond(change.from.rows, change.to.rows, change.ms);
  return { ...now, calls: Number(calls), rows: Number(rows), errors: Number(errors), rowsPerSecond };
}

function isOver(state: string): boolean {
  return state === "STOPPED" || state === "FAILED";
}
