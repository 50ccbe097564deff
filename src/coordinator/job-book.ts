/** What the coordinator knows of one job: facts gathered from reports, kept for `job.ts` to decide on. */
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Subscription } from "../bus/bus.js";
import { sumOfCounts } from "../services/call-counts.js";
import type { GoneInstance } from "../services/gone-report.js";
import type {
  ActorSpec,
  HostGpu,
  HostReport,
  InstanceHistory,
  JobReport,
  JobSpec,
  JobState,
  JobWishes,
  ProcessUsage,
  ServiceCounts,
  Standing,
  WorkerReport,
} from "../wire/control.js";
import type { LoadReport } from "../wire/frames.js";
import { type ActorShare, ActorShares } from "./actor-shares.js";
import type { ActorDetail, ActorPlace, JobDetail, JobSample, JobSummary } from "./describe.js";
import { actorOf, detailOf, rowsOf, summaryOf } from "./describe-job.js";
import type { Promised } from "./holdings.js";
import { hostDetails, lateReason, NEVER_REPORTED, standingsOf, usagesOf } from "./host-details.js";
import { groupsOf, HostGroups } from "./host-groups.js";
import { InstanceBook } from "./instance-book.js";
import type { EnumeratorFacts, GroupFacts, HostFacts, InstanceFacts, JobFacts } from "./job.js";
import { JobSamples, sampleOf } from "./job-samples.js";
import { type ActorGroup, type GroupPlace, type Holding, NOTHING, type WorkerFacts } from "./placement.js";
import { failureOf, RegionBook } from "./region-book.js";
import { RegionTurns } from "./region-turns.js";
import { Wishes } from "./wishes.js";

type Writable<T> = { -readonly [K in keyof T]: T[K] };

interface KnownHost extends Writable<HostFacts> {
  wasUp: boolean;
  neverReported: boolean;
  /** When it entered its state, as far as this process has heard, and when it was heard of. */
  sinceMs: number;
  heardMs: number;
  sequence: bigint;
  rowsTotal: bigint;
  services: readonly ServiceCounts[];
  standings: readonly Standing[];
  readonly gpus: readonly HostGpu[];
  /** As of an instance. */
  holds: boolean;
  /** When its worker first told of it. */
  shownMs: number | undefined;
}

export class JobBook {
  readonly job: JobId;
  readonly regions: ReadonlyMap<string, RegionBook>;
  readonly turns = new RegionTurns();
  /** Keys of snapshots that a savepoint is copying. */
  readonly pinned = new Set<string>();
  /** A savepoint of it is being written. */
  recording = false;
  #state: JobState = "SUBMITTED";
  /** Until then, by the monotonic clock, hosts and instances of an earlier leader may tell of themselves. */
  #adoptingMs = Number.NEGATIVE_INFINITY;
  #error: { code: string; message: string } | undefined;
  /** What is waited for, by region; empty: by the job. */
  #waitingFor = new Map<string, string>();
  /** What living hosts announce now, and the most that they ever did: an enumerator that moves begins to count anew. */
  #announced = 0n;
  #rowsTotal = 0n;
  #startedMs = 0;
  #finishedMs = 0;
  readonly #groups: HostGroups;
  /** Actors of each region: there may be many of both. */
  readonly #members = new Map<string, ActorSpec[]>();
  readonly #shares = new ActorShares(this.#members);
  #subtasks: ReadonlyMap<string, number> | undefined;
  #hosts = new Map<string, KnownHost>();
  readonly #instances: InstanceBook;
  #enumerators = new Map<string, Writable<EnumeratorFacts>>();
  readonly #wishes = new Wishes();
  readonly #samples = new JobSamples();
  #subscriptions: Subscription[] = [];
  /** What processes use, of all jobs, by worker; as it was told last. */
  #usages = new Map<string, readonly ProcessUsage[]>();

  constructor(
    private readonly spec: JobSpec,
    private readonly clock: Clock,
  ) {
    this.job = id<JobId>("job", spec.job);
    this.#groups = new HostGroups(spec.actors);
    this.#instances = new InstanceBook(spec, clock);
    for (const actor of spec.actors) {
      const members = this.#members.get(actor.region);
      if (members === undefined) this.#members.set(actor.region, [actor]);
      else members.push(actor);
    }
    this.regions = new Map(
      [...this.#members].map(([region, members]) => {
        const actors = members.map(({ actor }) => actor);
        const changed = (one: RegionBook) => this.turns.add(one);
        return [region, new RegionBook(region, actors, clock, this.#members.size, changed)];
      }),
    );
    this.turns.begin([...this.regions.values()]);
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
    this.#instances.takeUp(left?.instances ?? []);
    this.#wishes.takeUp(left?.wishes);
    this.#pauseRegions();
    if (left?.state === "FAILING") this.enter("FAILING", { code: left.code, message: left.message });
  }

  /** @returns the instances of the earlier leader that nobody has told of: they are gone, and their clients do not know */
  adopted(): GoneInstance[] {
    return this.#instances.adopted();
  }

  get adopting(): boolean {
    return this.clock.monotonicMs() < this.#adoptingMs;
  }
  /** Something of it needs what is never promised twice (X5). */
  get countsRoom(): boolean {
    const all = [...this.spec.services, ...this.spec.actors].map(({ resources }) => resources);
    const counted = all.some(({ memoryBytes, gpuThousandths }) => memoryBytes > 0n || gpuThousandths > 0);
    return counted || this.spec.actors.some(({ gpus }) => gpus.length > 0);
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
    this.#subtasks ??= new Map(this.spec.actors.map((spec) => [spec.actor, spec.subtask]));
    return this.#subtasks.get(actor)!;
  }
  get checkpointIntervalMs(): number {
    return Number(this.spec.checkpointIntervalMs);
  }

  /** @param holdings looked at only where something is to be placed */
  facts(workers: readonly WorkerFacts[], term: bigint, holdings: () => readonly Holding[]): JobFacts {
    const regions = [...this.regions.values()];
    const now = this.clock.monotonicMs();
    const placedOn = new Set<string>();
    for (const { phase, placed, workers: own } of regions) {
      if (phase === "FINISHED") continue;
      if (this.#groups.isEmpty) for (const worker of own) placedOn.add(worker);
      else for (const [actor, { worker }] of placed) if (this.#groups.of(actor) === "") placedOn.add(worker);
    }
    return {
      job: this.job,
      term,
      state: this.#state,
      services: this.spec.services.map((spec) => ({ ...spec, instances: this.#wishes.instancesOf(spec) })),
      retired: new Set(this.#wishes.now.retired),
      stopping: this.#wishes.now.stopping,
      error: this.#error,
      hosts: [...this.#hosts.values()].map((host) => ({
        ...host,
        forMs: now - host.sinceMs,
        silentMs: now - host.heardMs,
      })),
      placedOn: [...placedOn],
      groups: this.#groupFacts(),
      regions: regions.map(({ phase }) => phase),
      rests: regions.every(({ rests }) => rests),
      writing: this.recording || regions.some(({ writing, cleaning }) => writing || cleaning),
      enumerators: [...this.#enumerators.values()],
      instances: this.#instances.facts(),
      workers,
      get holdings() {
        return holdings();
      },
      enumeratorSilenceMs: limits.enumeratorSilenceMs,
    };
  }

  host(name: string): HostFacts | undefined {
    return this.#hosts.get(name);
  }

  /** The host of this job that lives on a worker for the group of an actor. */
  hostFor(actor: string, worker: string): HostFacts | undefined {
    return this.#living(this.#groups.of(actor)).find((host) => host.worker === worker);
  }

  #living(group: string): KnownHost[] {
    return [...this.#hosts.values()].filter((host) => host.group === group && host.state !== "gone");
  }

  /** Where each group's host is to be, as far as that is settled. */
  #groupFacts(): GroupFacts[] {
    if (this.#state !== "DEPLOYING" && this.#state !== "RUNNING") return [];
    return [...this.#groups].flatMap(([group, regionId]): GroupFacts[] => {
      const { phase, placed } = this.regions.get(regionId)!;
      if (phase === "FINISHED") return [{ group, worker: "", gpus: [] }];
      const actor = [...placed.keys()].find((one) => this.#groups.of(one) === group);
      const worker = actor === undefined ? "" : placed.get(actor)!.worker;
      if (worker === "" || (phase !== "DEPLOYING" && phase !== "RUNNING")) return [];
      return [{ group, worker, gpus: this.#groups.granted(group)?.gpus ?? [] }];
    });
  }

  /** A region's actors as they are placed together: by subtask. */
  groups(region: RegionBook): ActorGroup[] {
    return groupsOf(this.#members.get(region.region)!, (actor) => this.#where(region, actor));
  }

  #where(region: RegionBook, actor: string): Pick<ActorGroup, "before" | "kept"> {
    const group = this.#groups.of(actor);
    const [own] = group === "" ? [] : this.#living(group);
    return { before: own?.worker ?? region.placed.get(actor)?.worker ?? "", kept: own?.gpus };
  }

  place(region: RegionBook, groups: readonly ActorGroup[], places: readonly GroupPlace[]): void {
    for (const [i, { actors }] of groups.entries()) this.#groups.grant(this.#groups.of(actors[0]!), places[i]!);
    region.place(new Map(groups.flatMap(({ actors }, i) => actors.map((actor) => [actor, places[i]!.worker]))));
  }

  /** Cores' worth of actors that each worker holds, regions that are over left out. */
  load(): ReadonlyMap<string, number> {
    const load = new Map<string, number>();
    for (const { worker, cores } of this.#placed()) load.set(worker, (load.get(worker) ?? 0) + cores);
    return load;
  }

  /** What was granted to its instances and actors, and has not been given back. */
  promised(): Promised[] {
    const { job } = this;
    const actors = this.#placed().map(({ worker, cpu, memoryBytes }) => {
      return { job, instance: "", worker, granted: { ...NOTHING, cpu, memoryBytes } };
    });
    const instances = this.#instances.holding.map(({ instance, worker, granted }) => {
      return { job, instance, worker, granted };
    });
    const devices = (host: string, { worker, gpus }: GroupPlace) => {
      return { job, instance: "", host, worker, granted: { ...NOTHING, gpus } };
    };
    const hosts = [...this.#hosts.values()].filter(({ holds, gpus }) => holds && gpus.length > 0);
    // A host of theirs is to be started; those of a region that is being placed anew are not promised anything yet.
    const soon = this.#groupFacts().filter(({ group, worker }) => {
      return worker !== "" && !hosts.some((host) => host.group === group && host.worker === worker);
    });
    return [
      ...[...instances, ...actors].map((one) => ({ ...one, host: "" })),
      ...hosts.map((host) => devices(host.host, host)),
      ...soon.map((place) => devices("", place)),
    ];
  }

  #placed(): ActorShare[] {
    return this.#finishedMs > 0 ? [] : this.#shares.of(this.regions.values());
  }

  enter(state: JobState, error?: { code: string; message: string }): void {
    this.#state = state;
    this.#error ??= error;
    this.#waitingFor.clear();
    if (state === "FAILING" || state === "COMMITTING") this.#instances.forgetWaiting();
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

  /** Changes what is wanted of it, and lets what is there follow. */
  wish(change: (wishes: Wishes) => void): void {
    change(this.#wishes);
    this.#pauseRegions();
  }
  get wishes(): JobWishes {
    return this.#wishes.now;
  }

  /** Of instances that have ended nothing is wanted any more. */
  forgetWishes(): void {
    this.#wishes.forget((instance) => !this.adopting && this.serviceOf(instance) === undefined);
  }

  get services(): readonly string[] {
    return this.spec.services.map(({ service }) => service);
  }
  /** Of an instance that has not ended; undefined: there is none. */
  serviceOf(instance: string): string | undefined {
    return this.#instances.serviceOf(instance);
  }

  #pauseRegions(): void {
    for (const region of this.regions.values()) region.pause(this.#wishes.now.paused);
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

  expectHost(host: string, worker: string, group = "", gpus: readonly HostGpu[] = []): void {
    if (this.#hosts.has(host)) return; // asked for again
    this.#groups.grant(group, { worker, gpus });
    this.turns.addOn(worker);
    const now = this.clock.monotonicMs();
    const holding = { gpus, holds: true, shownMs: undefined };
    const base = { host, worker, group, ...holding, state: "asked", failure: undefined, neverReported: false } as const;
    this.#hosts.set(host, {
      ...base,
      wasUp: false,
      sinceMs: now,
      heardMs: now,
      sequence: 0n,
      rowsTotal: 0n,
      services: [],
      standings: [],
    });
  }

  /** @param reason why it is on no worker yet */
  expectInstance(instance: Pick<InstanceFacts, "instance" | "service" | "worker" | "granted">, reason = ""): void {
    this.#instances.expect(instance, reason);
  }

  forgetUnplaced(instance: string): void {
    this.#instances.forgetUnplaced(instance);
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
    if (changed) {
      Object.assign(host, { state: "up", wasUp: true, sinceMs: host.heardMs });
      this.turns.addOn(host.worker);
    }
    host.sequence = report.sequence;
    this.#announced += report.rowsTotal - host.rowsTotal;
    if (this.#announced > this.#rowsTotal) this.#rowsTotal = this.#announced;
    host.rowsTotal = report.rowsTotal;
    host.services = report.services;
    host.standings = report.standings;
    let region: RegionBook | undefined;
    for (const actor of report.actors) {
      if (region?.region !== actor.region) region = this.regions.get(actor.region); // those of a region come together
      if (region?.onReport(actor, report.host, host.worker)) changed = true;
    }
    return changed;
  }

  onWorker(report: WorkerReport): void {
    this.#usages.set(report.worker, report.usage?.processes ?? []);
    if (this.adopting) this.#adopt(report);
    if (report.draining) this.#placeAnew(report.worker);
    for (const { host, state, code, message } of report.hosts) {
      const known = this.#hosts.get(host);
      if (known === undefined || known.worker !== report.worker) continue;
      known.shownMs ??= this.clock.monotonicMs();
      if (state === "EXITED") this.#lose(known, code, message);
    }
    this.#instances.onWorker(report);
    this.#release(report);
  }

  /** What its worker says has ended, or told of once and tells of no more, holds nothing (X5). */
  #release({ worker, hosts }: WorkerReport): void {
    const own = hosts.filter(({ job, state }) => job === this.job && state !== "EXITED");
    const living = new Set(own.map(({ host }) => host));
    for (const known of this.#hosts.values()) {
      if (known.worker === worker && known.shownMs !== undefined && !living.has(known.host)) known.holds = false;
    }
  }

  #adopt(report: WorkerReport): void {
    for (const { host, job, state, group, gpus } of report.hosts) {
      if (job === this.job && state !== "EXITED") this.expectHost(host, report.worker, group, gpus);
    }
    this.#instances.adopt(report);
  }

  /** @returns the instances that are lost with it and cannot tell their clients */
  onWorkerGone(worker: string, message: string): GoneInstance[] {
    this.#usages.delete(worker);
    for (const host of this.#hosts.values()) {
      if (host.worker !== worker) continue;
      host.holds = false;
      this.#lose(host, "", message);
    }
    this.#placeAnew(worker);
    return this.#instances.onWorkerGone(worker, message);
  }

  /** Those whose host is not on that worker yet: none will be. */
  #placeAnew(worker: string): void {
    const waits = (actor: string) => this.hostFor(actor, worker) === undefined;
    for (const region of this.regions.values()) region.onWorkerGone(worker, waits);
  }

  /** Its worker does not take it: its regions are placed anew (J1). */
  onHostRefused(host: string, message: string): void {
    const known = this.#hosts.get(host);
    if (known?.state !== "asked") return;
    known.holds = false;
    this.#lose(known, "", message);
    this.#placeAnew(known.worker);
  }

  /** Its worker does not take it: another will be asked (J5). */
  onInstanceRefused(instance: string, code: string, message: string): void {
    this.#instances.onRefused(instance, code, message);
  }

  onHistory(history: InstanceHistory): void {
    this.#instances.onHistory(history);
  }

  /** @returns whether the instance's state has changed */
  onLoad(report: LoadReport): boolean {
    return this.#instances.onLoad(report);
  }

  /**
   * Hosts that have been silent for longer are gone, whatever their worker says. So are those that run and have never reported, and
   * instances (V1 of `instance-book.ts`).
   * @param deafMs time of it in which this process itself heard nothing
   * @returns the instances that are given up and cannot tell their clients
   */
  expire(silenceMsMax: number, deafMs: number): GoneInstance[] {
    const now = this.clock.monotonicMs();
    // What has come meanwhile is still to be read: a whole round of reports, as silence counts it.
    if (deafMs > 0) this.#adoptingMs += deafMs + 2 * limits.heartbeatIntervalMs;
    for (const host of this.#hosts.values()) {
      host.heardMs += deafMs;
      if (host.shownMs !== undefined) host.shownMs += deafMs;
      if (host.state === "up" && now - host.heardMs > silenceMsMax) this.#lose(host, "", "it fell silent");
      if (host.state !== "asked" || host.shownMs === undefined) continue;
      if (now - host.shownMs <= limits.processStartTimeoutMs) continue;
      host.neverReported = true;
      this.#lose(host, "", NEVER_REPORTED);
    }
    return this.#instances.expire(silenceMsMax, deafMs);
  }

  #lose(host: KnownHost, code: string, message: string): void {
    if (host.state === "gone") return;
    Object.assign(host, { state: "gone", standings: [], sinceMs: this.clock.monotonicMs() });
    this.#announced -= host.rowsTotal;
    this.turns.addOn(host.worker);
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
    const state = what === "host" ? this.#hosts.get(name)?.state : this.#instances.stateOf(name);
    // What nobody here asked for, and did not show in time, is of an earlier leader.
    if (state === undefined) return !this.adopting;
    return state === "gone" || state === "FAILED" || state === "STOPPED";
  }

  /** A subscription that ends with the job. */
  keep(subscription: Subscription): void {
    this.#subscriptions.push(subscription);
  }

  close(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.unsubscribe();
  }

  describe(): JobReport {
    const [waitsFor] = this.#waitingFor.values();
    const late = this.#state === "DEPLOYING" ? lateReason(this.#hosts.values()) : "";
    return {
      job: this.job,
      state: this.#state,
      code: this.#error?.code ?? "",
      message: this.#error?.message ?? waitsFor ?? late,
      startedMs: BigInt(this.#startedMs),
      finishedMs: BigInt(this.#finishedMs),
      rowsTotal: this.#rowsTotal,
      ...rowsOf(this.regions.values()),
      instances: this.#instances.describe(),
      regions: [...this.regions.values()].map((region) => region.describe()),
      services: sumOfCounts([...this.#hosts.values()].flatMap(({ services }) => services)),
      wishes: this.#wishes.now,
    };
  }

  summary(): JobSummary {
    return summaryOf(this.spec, this.describe(), this.#actorsRunning());
  }

  #actorsRunning(): number {
    let running = 0;
    for (const region of this.regions.values()) {
      for (const { state } of region.told()) if (state === "RUNNING") running++;
    }
    return running;
  }

  /** All that there is to show of it but its actors, put together as it is looked at. */
  detail(): JobDetail {
    const [hosts, regions] = [[...this.#hosts.values()], [...this.regions.values()]];
    const usages = () => usagesOf(this.job, this.#usages);
    return detailOf(this.spec, this.describe(), {
      actorsRunning: this.#actorsRunning(),
      loads: () => regions.flatMap((region) => region.loads()),
      regions: () => regions.map((region) => region.detail()),
      hosts: () => hostDetails(hosts, regions, usages(), this.clock),
      instances: () => this.#instances.detail(standingsOf(hosts), usages()),
    });
  }

  /** For charts: asked on every heartbeat, taken when it is time. */
  sample(): void {
    this.#samples.take(this.clock.nowMs(), () => sampleOf(this.detail()));
  }
  get samples(): readonly JobSample[] {
    return this.#samples.kept;
  }

  /** Where actors are and in what state, for those who show few of them. */
  actorPlaces(): ActorPlace[] {
    return this.spec.actors.map((spec) => {
      const { actor, region: name } = spec;
      const region = this.regions.get(name)!;
      const worker = region.placed.get(actor)?.worker ?? "";
      const state = region.toldBy(actor)?.state ?? "";
      return { actor, region: name, worker, state, detail: () => this.#actorDetail(spec) };
    });
  }

  #actorDetail(spec: ActorSpec): ActorDetail {
    const region = this.regions.get(spec.region)!;
    return actorOf(spec, region.attempt, region.placed.get(spec.actor), region.toldBy(spec.actor));
  }
}
