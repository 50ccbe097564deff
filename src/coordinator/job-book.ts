/** What the coordinator knows of one job: facts gathered from reports, kept for `job.ts` to decide on. */
import { type InstanceId, id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Subscription } from "../bus/bus.js";
import type { GoneInstance } from "../services/gone-report.js";
import type {
  ActorReport,
  ActorSpec,
  HostReport,
  InstanceReport,
  JobReport,
  JobSpec,
  JobState,
  WorkerReport,
} from "../wire/control.js";
import type { LoadReport } from "../wire/frames.js";
import type { Promised } from "./holdings.js";
import type { EnumeratorFacts, HostFacts, InstanceFacts, JobFacts } from "./job.js";
import { type ActorGroup, type Holding, NOTHING, type WorkerFacts } from "./placement.js";
import { failureOf, RegionBook } from "./region-book.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

interface KnownHost extends Writable<HostFacts> {
  wasUp: boolean;
  /** When it entered its state, as far as this process has heard, and when it was heard of. */
  sinceMs: number;
  heardMs: number;
  sequence: bigint;
  rowsTotal: bigint;
}

interface KnownInstance extends Writable<Omit<InstanceFacts, "forMs">> {
  /** When it entered its state, as far as this process has heard. */
  sinceMs: number;
  queuedRows: number;
  rowMs: number;
  /** What was granted is its own: nobody has said that its process has ended, or was never there (X5). */
  holds: boolean;
  /** Its worker has told of it. */
  shown: boolean;
}

export class JobBook {
  readonly job: JobId;
  readonly regions: ReadonlyMap<string, RegionBook>;
  /** Keys of snapshots that a savepoint is copying. */
  readonly pinned = new Set<string>();
  #state: JobState = "SUBMITTED";
  /** Until then, by the monotonic clock, hosts and instances of an earlier leader may tell of themselves. */
  #adoptingMs = Number.NEGATIVE_INFINITY;
  #error: { code: string; message: string } | undefined;
  /** What is waited for, by region; empty: by the job. */
  #waitingFor = new Map<string, string>();
  /** The most that enumerators have announced: one that moves begins to count anew. */
  #rowsTotal = 0n;
  #startedMs = 0;
  #finishedMs = 0;
  #hosts = new Map<string, KnownHost>();
  #instances = new Map<string, KnownInstance>();
  #enumerators = new Map<string, Writable<EnumeratorFacts>>();
  /** Instances of an earlier leader, while it is not known which of them live. */
  #left: readonly InstanceReport[] = [];
  #subscriptions: Subscription[] = [];

  constructor(
    private readonly spec: JobSpec,
    private readonly clock: Clock,
  ) {
    this.job = id<JobId>("job", spec.job);
    const regions = new Set(spec.actors.map(({ region }) => region));
    const actorsOf = (region: string) => spec.actors.filter((one) => one.region === region).map(({ actor }) => actor);
    this.regions = new Map([...regions].map((region) => [region, new RegionBook(region, actorsOf(region), clock)]));
    for (const source of spec.sources) this.#enumerators.set(source, { source, host: "", attempt: 0, deployed: false });
  }

  /**
   * Takes up a job that an earlier leader began: what is at work goes on.
   * @param left what that leader noted of it last
   */
  takeUp(left?: JobReport): void {
    this.#state = "DEPLOYING";
    this.#startedMs = Number(left?.startedMs || this.spec.submittedMs);
    this.#adoptingMs = this.clock.monotonicMs() + limits.adoptionMs;
    this.#left = left?.instances.filter(({ worker }) => worker !== "") ?? [];
    if (left?.state === "FAILING") this.enter("FAILING", { code: left.code, message: left.message });
  }

  /** @returns the instances of the earlier leader that nobody has told of: they are gone, and their clients do not know */
  adopted(): GoneInstance[] {
    const gone = this.#left.filter(({ instance }) => !this.#instances.has(instance));
    this.#left = [];
    const [code, reason] = ["MILL_WORKER_LOST", "its worker was lost while no coordinator led"];
    return gone.map(({ service, instance, worker }) => {
      this.expectInstance({ service, instance: instance as InstanceId, worker, granted: NOTHING });
      this.#fail(this.#instances.get(instance)!, code, reason);
      return { service, instance, state: "FAILED", code, reason };
    });
  }

  get adopting(): boolean {
    return this.clock.monotonicMs() < this.#adoptingMs;
  }
  /** Something of it needs what is never promised twice (X5). */
  get countsRoom(): boolean {
    const all = [...this.spec.services, ...this.spec.actors].map(({ resources }) => resources);
    return all.some(({ memoryBytes, gpuThousandths }) => memoryBytes > 0n || gpuThousandths > 0);
  }
  get state(): JobState {
    return this.#state;
  }
  get exchanges(): JobSpec["exchanges"] {
    return this.spec.exchanges;
  }
  get seeds(): JobSpec["seeds"] {
    return this.spec.seeds;
  }
  get sources(): JobSpec["sources"] {
    return this.spec.sources;
  }
  get topology(): string {
    return this.spec.topology;
  }
  get planHash(): string {
    return this.spec.planHash;
  }
  get operators(): JobSpec["operators"] {
    return this.spec.operators;
  }
  subtaskOf(actor: string): number {
    return this.spec.actors.find((spec) => spec.actor === actor)!.subtask;
  }
  get checkpointIntervalMs(): number {
    return Number(this.spec.checkpointIntervalMs);
  }

  facts(workers: readonly WorkerFacts[], term: bigint, holdings: readonly Holding[]): JobFacts {
    const regions = [...this.regions.values()];
    const now = this.clock.monotonicMs();
    const placedOn = regions
      .filter(({ phase }) => phase !== "FINISHED")
      .flatMap((region) => [...region.placed.values()].map(({ worker }) => worker));
    return {
      job: this.job,
      term,
      state: this.#state,
      services: this.spec.services,
      error: this.#error,
      hosts: [...this.#hosts.values()].map((host) => ({
        ...host,
        forMs: now - host.sinceMs,
        silentMs: now - host.heardMs,
      })),
      placedOn: [...new Set(placedOn)],
      regions: regions.map(({ phase }) => phase),
      enumerators: [...this.#enumerators.values()],
      instances: [...this.#instances.values()].reverse().map((one) => ({ ...one, forMs: now - one.sinceMs })),
      workers,
      holdings,
      loadAttemptsMax: limits.serviceLoadAttemptsMax,
      enumeratorSilenceMs: limits.enumeratorSilenceMs,
    };
  }

  host(name: string): HostFacts | undefined {
    return this.#hosts.get(name);
  }

  /** The host of this job that lives on a worker. */
  hostOn(worker: string): HostFacts | undefined {
    return [...this.#hosts.values()].find((host) => host.worker === worker && host.state !== "gone");
  }

  /** A region's actors as they are placed together: by subtask. */
  groups(region: RegionBook): ActorGroup[] {
    const groups = new Map<number, ActorSpec[]>();
    for (const spec of this.spec.actors) {
      if (spec.region === region.region) groups.set(spec.subtask, [...(groups.get(spec.subtask) ?? []), spec]);
    }
    return [...groups.values()].map((specs) => ({
      actors: specs.map(({ actor }) => actor),
      before: region.placed.get(specs[0]!.actor)?.worker ?? "",
      needs: {
        cpu: specs.reduce((sum, spec) => sum + coresOf(spec), 0),
        memoryBytes: specs.reduce((sum, { resources }) => sum + resources.memoryBytes, 0n),
        gpuThousandths: 0,
        gpuKind: "",
        gpuMemoryBytes: 0n,
        gpuOptional: false,
      },
    }));
  }

  /** Cores' worth of actors that each worker holds, regions that are over left out. */
  load(): ReadonlyMap<string, number> {
    const load = new Map<string, number>();
    for (const { worker, spec } of this.#placed()) load.set(worker, (load.get(worker) ?? 0) + coresOf(spec));
    return load;
  }

  /** What was granted to its instances and actors, and has not been given back. */
  promised(): Promised[] {
    const { job } = this;
    const held = [...this.#instances.values()].filter(({ holds }) => holds);
    const actors = this.#placed().map(({ worker, spec: { resources } }) => {
      return {
        job,
        instance: "",
        worker,
        granted: { ...NOTHING, cpu: resources.cpu, memoryBytes: resources.memoryBytes },
      };
    });
    return [...held.map(({ instance, worker, granted }) => ({ job, instance, worker, granted })), ...actors];
  }

  #placed(): { readonly worker: string; readonly spec: ActorSpec }[] {
    if (this.#finishedMs > 0) return [];
    return this.spec.actors.flatMap((spec) => {
      const region = this.regions.get(spec.region)!;
      const worker = region.placed.get(spec.actor)?.worker ?? "";
      return worker === "" || region.phase === "FINISHED" || region.phase === "PLACING" ? [] : [{ worker, spec }];
    });
  }

  enter(state: JobState, error?: { code: string; message: string }): void {
    this.#state = state;
    this.#error ??= error;
    this.#waitingFor.clear();
    if (state === "FAILING" || state === "COMMITTING") this.#forgetWaiting();
    if (state === "RUNNING" && this.#startedMs === 0) this.#startedMs = this.clock.nowMs();
    if (state === "FINISHED" || state === "FAILED" || state === "CANCELLED") {
      this.#finishedMs = this.clock.nowMs();
      this.close();
    }
  }

  /** Empty: for nothing any more. */
  waitFor(message: string, region = ""): void {
    if (message === "") this.#waitingFor.delete(region);
    else this.#waitingFor.set(region, message);
  }

  /** Nobody waits for instances any more that were never placed. */
  #forgetWaiting(): void {
    for (const known of this.#instances.values()) {
      if (known.worker === "") Object.assign(known, { state: "STOPPED", message: "it was never placed" });
    }
  }

  /** An error without a code: the user wanted it so. */
  cancel(): void {
    if (this.#finishedMs === 0 && this.#state !== "COMMITTING")
      this.enter("FAILING", { code: "", message: "cancelled" });
  }

  /** Something that could not be done, and will not be by asking again. */
  onRefused(code: string, message: string): void {
    const ending = this.#state === "FAILING" || this.#state === "COMMITTING";
    if (!ending && this.#finishedMs === 0) this.enter("FAILING", { code, message });
  }

  expectHost(host: string, worker: string): void {
    if (this.#hosts.has(host)) return; // asked for again
    const now = this.clock.monotonicMs();
    const base = { host, worker, state: "asked", failure: undefined } as const;
    this.#hosts.set(host, { ...base, wasUp: false, sinceMs: now, heardMs: now, sequence: 0n, rowsTotal: 0n });
  }

  /** @param reason why it is on no worker yet */
  expectInstance(instance: Pick<InstanceFacts, "instance" | "service" | "worker" | "granted">, reason = ""): void {
    const known = this.#instances.get(instance.instance);
    const holds = instance.worker !== "";
    if (known?.worker === "" && known.state === "REQUESTED")
      Object.assign(known, { ...instance, message: reason, holds });
    if (known !== undefined) return; // asked for again
    this.#instances.set(instance.instance, {
      ...instance,
      holds,
      shown: false,
      state: "REQUESTED",
      served: false,
      code: "",
      message: reason,
      sinceMs: this.clock.monotonicMs(),
      queuedRows: 0,
      rowMs: 0,
    });
  }

  expectEnumerator(source: string, host: string, attempt: number): void {
    const known = this.#enumerators.get(source)!;
    if (known.attempt < attempt) Object.assign(known, { host, attempt, deployed: false });
  }

  onEnumerator(source: string, attempt: number): void {
    const known = this.#enumerators.get(source)!;
    if (known.attempt === attempt) known.deployed = true;
  }

  /** @returns whether anything that decisions rest on has changed */
  onHost(report: HostReport): boolean {
    const host = this.#hosts.get(report.host);
    if (host === undefined || host.state === "gone" || report.sequence <= host.sequence) return false;
    let changed = host.state !== "up";
    host.heardMs = this.clock.monotonicMs();
    if (changed) Object.assign(host, { state: "up", wasUp: true, sinceMs: host.heardMs });
    host.sequence = report.sequence;
    host.rowsTotal = report.rowsTotal;
    const living = [...this.#hosts.values()].filter((one) => one.state !== "gone");
    const announced = living.reduce((total, one) => total + one.rowsTotal, 0n);
    if (announced > this.#rowsTotal) this.#rowsTotal = announced;
    for (const actor of report.actors) {
      if (this.regions.get(actor.region)?.onReport(actor, report.host, host.worker)) changed = true;
    }
    return changed;
  }

  onWorker(report: WorkerReport): void {
    if (this.adopting) this.#adopt(report);
    if (report.draining && this.hostOn(report.worker) === undefined) this.#placeAnew(report.worker);
    for (const { host, state, code, message } of report.hosts) {
      const known = this.#hosts.get(host);
      if (known !== undefined && known.worker === report.worker && state === "EXITED") {
        this.#lose(known, code, message);
      }
    }
    for (const told of report.instances) {
      const known = this.#instances.get(told.instance);
      if (told.job !== this.job || known === undefined || known.worker !== report.worker) continue;
      known.shown = true;
      if (told.state === "PROVISIONING" && known.state === "REQUESTED") known.state = "PROVISIONING";
      if (
        known.state !== "STOPPED" &&
        known.state !== "FAILED" &&
        (told.state === "STOPPED" || told.state === "FAILED")
      ) {
        Object.assign(known, { state: told.state, sinceMs: this.clock.monotonicMs() });
        known.code ||= told.code;
        known.message ||= told.message;
      }
    }
    this.#release(report);
  }

  /** What its worker says has ended, or told of once and tells of no more, holds nothing (X5). */
  #release({ worker, instances }: WorkerReport): void {
    const alive = new Set(instances.filter(({ job, state }) => job === this.job && !isOver(state)).map(nameOf));
    for (const known of this.#instances.values()) {
      if (known.worker === worker && known.shown && !alive.has(known.instance)) known.holds = false;
    }
  }

  #adopt({ worker, hosts, instances }: WorkerReport): void {
    for (const { host, job, state } of hosts) {
      if (job === this.job && state !== "EXITED") this.expectHost(host, worker);
    }
    for (const { instance, service, job, state, granted } of instances) {
      if (job === this.job && state === "PROVISIONING") this.expectInstance({ instance, service, worker, granted });
    }
  }

  /** @returns the instances that are lost with it and cannot tell their clients */
  onWorkerGone(worker: string, message: string): GoneInstance[] {
    for (const host of this.#hosts.values()) {
      if (host.worker === worker) this.#lose(host, "", message);
    }
    this.#placeAnew(worker);
    const lost: GoneInstance[] = [];
    for (const known of this.#instances.values()) {
      if (known.worker !== worker) continue;
      known.holds = false;
      if (known.state === "STOPPED" || known.state === "FAILED") continue;
      this.#fail(known, "MILL_WORKER_LOST", message);
      const { service, instance, code } = known;
      lost.push({ service, instance, state: "FAILED", code, reason: message });
    }
    return lost;
  }

  /** No host of the job is on that worker, and none will be. */
  #placeAnew(worker: string): void {
    for (const region of this.regions.values()) region.onWorkerGone(worker);
  }

  /** Its worker does not take it: its regions are placed anew (J1). */
  onHostRefused(host: string, message: string): void {
    const known = this.#hosts.get(host);
    if (known?.state !== "asked") return;
    this.#lose(known, "", message);
    this.#placeAnew(known.worker);
  }

  /** Its worker does not take it: another will be asked (J5). */
  onInstanceRefused(instance: string, code: string, message: string): void {
    const known = this.#instances.get(instance);
    if (known?.state !== "REQUESTED") return;
    known.holds = false;
    this.#fail(known, code, message);
  }

  #fail(known: KnownInstance, code: string, message: string): void {
    Object.assign(known, { state: "FAILED", code, message, sinceMs: this.clock.monotonicMs() });
  }

  /** @returns whether the instance's state has changed */
  onLoad(report: LoadReport): boolean {
    const known = this.#instances.get(report.instance);
    if (known === undefined || known.state === "STOPPED" || known.state === "FAILED") return false;
    const changed = known.state !== report.state;
    const { state, code, reason: message, queuedRows, rowMs } = report;
    Object.assign(known, { state, code, message, queuedRows: queuedRows + report.runningRows, rowMs });
    if (changed) known.sinceMs = this.clock.monotonicMs();
    known.served ||= state === "READY";
    return changed;
  }

  /**
   * Hosts that have been silent for longer are gone, whatever their worker says. So are instances that neither finish
   * loading or warming nor fail: a handler that hangs cannot say so.
   * @param deafMs time of it in which this process itself heard nothing
   */
  expire(silenceMsMax: number, deafMs: number): void {
    const now = this.clock.monotonicMs();
    // What has come meanwhile is still to be read: a whole round of reports, as silence counts it.
    if (deafMs > 0) this.#adoptingMs += deafMs + 2 * limits.heartbeatIntervalMs;
    for (const host of this.#hosts.values()) {
      host.heardMs += deafMs;
      if (host.state !== "up" || now - host.heardMs <= silenceMsMax) continue;
      this.#lose(host, "", "it fell silent");
    }
    for (const known of this.#instances.values()) {
      known.sinceMs += deafMs;
      const { instance, state } = known;
      if (!(state === "LOADING" || state === "WARMING")) continue;
      if (now - known.sinceMs <= limits.serviceLoadTimeoutMs) continue;
      const message = `${instance} was still ${state} after ${limits.serviceLoadTimeoutMs / 1_000} s`;
      this.#fail(known, "MILL_SERVICE_TIMEOUT", message);
    }
  }

  #lose(host: KnownHost, code: string, message: string): void {
    if (host.state === "gone") return;
    Object.assign(host, { state: "gone", sinceMs: this.clock.monotonicMs() });
    // That an instance's client closed is what the host's end looks like from inside.
    host.failure =
      code !== "" && code !== "MILL_SERVICE_LOST"
        ? failureOf(code, `host ${host.host}: ${message}`)
        : failureOf(
            "MILL_WORKER_LOST",
            `host ${host.host} on worker ${host.worker} ended: ${message || "no reason was given"}.`,
          );
  }

  /** Whether a host or instance that still runs was given up: it was out of reach when it was to stop. */
  gaveUp(what: "host" | "instance", name: string): boolean {
    if (this.#finishedMs > 0) return true;
    const known = what === "host" ? this.#hosts.get(name) : this.#instances.get(name);
    // What nobody here asked for, and did not show in time, is of an earlier leader.
    if (known === undefined) return !this.adopting;
    return known.state === "gone" || known.state === "FAILED" || known.state === "STOPPED";
  }

  /** A subscription that ends with the job. */
  keep(subscription: Subscription): void {
    this.#subscriptions.push(subscription);
  }

  close(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  /** Of the instances that have ended, only the newest: a service may fail for as long as a store is away. */
  #worthTelling(): KnownInstance[] {
    const all = [...this.#instances.values()];
    const ended = all.filter(({ state }) => state === "FAILED" || state === "STOPPED");
    const old = new Set(ended.slice(0, Math.max(ended.length - limits.instancesEndedMax, 0)));
    return all.filter((instance) => !old.has(instance));
  }

  describe(): JobReport {
    const sum = (count: (actor: ActorReport) => bigint) =>
      [...this.regions.values()]
        .flatMap((region) => [...region.reports()])
        .reduce((total, actor) => total + count(actor), 0n);
    return {
      job: this.job,
      state: this.#state,
      code: this.#error?.code ?? "",
      message: this.#error?.message ?? [...this.#waitingFor.values()][0] ?? "",
      startedMs: BigInt(this.#startedMs),
      finishedMs: BigInt(this.#finishedMs),
      rowsTotal: this.#rowsTotal,
      rowsRead: sum((actor) => actor.rowsRead),
      rowsWritten: sum((actor) => actor.rowsWritten),
      rowsInFlight: sum((actor) => actor.rowsInFlight),
      deadLetters: sum((actor) => actor.deadLetters),
      instances: [
        ...this.#left.filter(({ instance }) => !this.#instances.has(instance)),
        ...this.#worthTelling().map((instance) => ({
          service: instance.service,
          instance: instance.instance,
          worker: instance.worker,
          state: instance.state,
          queuedRows: instance.queuedRows,
          rowMs: instance.rowMs,
          message: instance.message,
        })),
      ],
      regions: [...this.regions.values()].map((region) => region.describe()),
    };
  }
}

/** For spreading them: one that says nothing counts as one. */
function coresOf({ resources }: ActorSpec): number {
  return resources.cpu || 1;
}

function isOver(state: string): boolean {
  return state === "STOPPED" || state === "FAILED";
}

function nameOf({ instance }: { readonly instance: string }): string {
  return instance;
}
