/**
 * The world of a walk at random through what can happen to a job (`job-walk.test.ts`): decisions (`job.ts`, `checkpoint/region.ts`), facts (`job-book.ts`,
 * `region-book.ts`) and records (`region-runner.ts`) against a small model of workers, hosts and instances that loses
 * commands, acknowledgements and reports, and dies.
 *
 * Faults: a command or its acknowledgement is lost; a report or snapshot is lost or late; the store does not answer, before
 * or after it has written; a worker drains, is lost, or refuses; a host or instance dies; a host is taken for lost and is
 * not; an actor fails; the user cancels, stops, pauses, scales, retires instances; another coordinator takes over. Not here: two coordinators at once, which
 * `coordinator.test.ts` has, and rows, which the simulation has.
 */
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { MillraceError } from "../../../src/base/errors.js";
import type { Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { decideRegion, type RegionAction } from "../../../src/checkpoint/region.js";
import { Events } from "../../../src/coordinator/events.js";
import { holdingsOf } from "../../../src/coordinator/holdings.js";
import { decideJob, hasEnded, isRunning, type JobAction } from "../../../src/coordinator/job.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import { type Holding, NOTHING } from "../../../src/coordinator/placement.js";
import { RegionBook } from "../../../src/coordinator/region-book.js";
import { RegionRunner, type Then } from "../../../src/coordinator/region-runner.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ActorState, Deploy, JobState, Snapshot, Trigger, WorkerReport } from "../../../src/wire/control.js";
import { decodeFrame, type LifeCycle } from "../../../src/wire/frames.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { fakePorts } from "./fake-ports.js";
import { actor as actorReport, granted, spec } from "./job-facts.js";

export const ENDED: readonly JobState[] = ["FINISHED", "FAILED", "CANCELLED"];
const INSTANCE_NEXT: Partial<Record<LifeCycle, LifeCycle>> = {
  PROVISIONING: "LOADING",
  LOADING: "WARMING",
  WARMING: "READY",
};
/** What an actor has to do; its snapshot says how much of it is done. */
const WORK = 3;

interface WorldActor {
  state: ActorState;
  done: number;
}

interface WorldRegion {
  readonly attempt: number;
  readonly actors: Map<string, WorldActor>;
  published: bigint;
}

interface WorldHost {
  readonly worker: string;
  readonly regions: Map<string, WorldRegion>;
  readonly enumerators: Map<string, number>;
  exited: boolean;
}

interface WorldInstance {
  readonly worker: string;
  state: LifeCycle;
}

/** What is really there, and what the coordinator has been told of it. */
export class World {
  readonly ports = fakePorts();
  readonly store = new MemoryStore();
  readonly bus = new MemoryBus(this.ports);
  readonly hosts = new Map<string, WorldHost>();
  readonly instances = new Map<string, WorldInstance>();
  readonly workers = new Map<string, { draining: boolean }>();
  readonly known = new Map<string, WorkerReport>();
  /** Actors that were deployed, by region and attempt. */
  readonly deployed = new Map<string, Set<string>>();
  /** On their way. */
  readonly snapshots: Snapshot[] = [];
  /** Regions that were looked at for what has changed, and what each asked for when it was looked at last. */
  private readonly looked = new Set<RegionBook>();
  private readonly asked = new WeakMap<RegionBook, readonly RegionAction[]>();
  /** Every record of the regions' logs, also those that are no longer kept. */
  readonly created: RegionRecord[] = [];
  term = 0n;
  book!: JobBook;
  runner!: RegionRunner;
  sequence = 0n;
  workersMade = 0;
  takeovers = 0;
  firstError: unknown;

  constructor(private readonly lost: () => boolean) {
    const create = this.store.create.bind(this.store);
    this.store.create = async (...args) => {
      const unreachable = new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
      if (this.lost()) throw unreachable;
      const made = await create(...args);
      if (made.created) this.created.push(regionRecordFrame.decode(args[1] as Uint8Array).header);
      if (this.lost()) throw unreachable;
      return made;
    };
    this.lead();
  }

  // Coordinators

  private lead(): void {
    this.term += 1n;
    this.known.clear();
    this.book = new JobBook(spec, this.ports.clock);
    for (const region of this.book.regions.values()) this.watch(region);
    const { term } = this;
    this.runner = new RegionRunner({
      bus: this.bus,
      namespace: "test" as Namespace,
      store: this.store,
      ports: this.ports,
      term: this.term,
      events: new Events({ bus: this.bus, ports: this.ports, namespace: "test" as Namespace }, () => this.term),
      send: (_, host, frame, then) => this.toHost(host, frame, then),
      look: () => {},
      workers: () => [...this.known.values()],
      holdings: () => this.holdings(),
      deposed: () => assert.fail("nobody else leads"),
      leads: async () => term === this.term,
    });
  }

  takeOver(): void {
    if (hasEnded(this.state)) return;
    const left = this.book.describe();
    this.lead();
    this.book.takeUp(left);
    this.takeovers += 1;
  }

  get state(): JobState {
    return this.book.state;
  }

  // What happens of itself

  join(): void {
    this.workers.set(`w${++this.workersMade}`, { draining: false });
  }
  killWorker(name: string): void {
    this.workers.delete(name);
    for (const host of this.hosts.values()) if (host.worker === name) host.exited = true;
    for (const one of this.instances.values()) if (one.worker === name && one.state !== "STOPPED") one.state = "FAILED";
    if (this.known.delete(name)) this.book.onWorkerGone(name, "its worker fell silent");
  }
  work(host: WorldHost): void {
    if (host.exited) return;
    for (const { actors } of host.regions.values()) {
      for (const one of actors.values()) {
        if (one.state !== "RUNNING") continue;
        one.done = Math.min(one.done + 1, WORK);
        if (one.done === WORK) one.state = "FINISHED";
      }
    }
  }
  ripen(instance: WorldInstance): void {
    instance.state = INSTANCE_NEXT[instance.state] ?? instance.state;
  }
  progress(): void {
    for (const host of this.hosts.values()) this.work(host);
    for (const one of this.instances.values()) this.ripen(one);
  }

  // What the coordinator is told

  reportWorker(name: string): void {
    const told = { job: spec.job, code: "", message: "" };
    const hosts = [...this.hosts].filter(([, host]) => host.worker === name);
    const instances = [...this.instances].filter(([, one]) => one.worker === name);
    const report: WorkerReport = {
      ...{ worker: name, sequence: ++this.sequence, cpus: 2, memoryBytes: 0n, gpus: [], stopped: false, usage: null },
      draining: this.workers.get(name)!.draining,
      hosts: hosts.map(([host, { exited }]) => {
        return { host, state: exited ? "EXITED" : "RUNNING", group: "", gpus: [], ...told };
      }),
      instances: instances.map(([instance, { state }]) => {
        const about = { service: "model", granted: granted(), startedMs: 1n, endedMs: 0n, launched: true };
        return { instance, state: isGone(state) ? state : "PROVISIONING", ...about, ...told };
      }),
    };
    this.known.set(name, report);
    this.book.onWorker(report);
    // As the coordinator does with what it has given up.
    for (const [host, held] of hosts) if (!this.lost() && this.book.gaveUp("host", host)) held.exited = true;
    for (const [instance, held] of instances) {
      if (!this.lost() && this.book.gaveUp("instance", instance) && !isGone(held.state)) held.state = "STOPPED";
    }
  }
  reportHost(name: string): void {
    const host = this.hosts.get(name)!;
    if (host.exited) return;
    const actors = [...host.regions.values()].flatMap(({ attempt, actors: states, published }) =>
      [...states].map(([id, { state }]) => {
        const failure = { code: "MILL_WORKER_LOST", message: `${id} failed` };
        return actorReport(id, state, {
          attempt,
          published,
          sinksPublished: published,
          ...(state === "FAILED" ? failure : {}),
        });
      }),
    );
    this.book.onHost({
      host: name,
      job: spec.job,
      sequence: ++this.sequence,
      actors,
      rowsTotal: 0n,
      services: [],
      standings: [],
    });
  }
  reportInstance(name: string): void {
    const { state } = this.instances.get(name)!;
    const load = { sequence: ++this.sequence, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs: 0n };
    this.book.onLoad({ service: "model", instance: name, state, reason: "", code: "", ...load });
  }
  deliver(at: number): void {
    const [snapshot] = this.snapshots.splice(at % Math.max(this.snapshots.length, 1), 1);
    if (snapshot !== undefined) this.book.regions.get(snapshot.region)!.onSnapshot(snapshot);
  }
  reportAll(): void {
    for (const name of this.workers.keys()) this.reportWorker(name);
    for (const name of this.hosts.keys()) this.reportHost(name);
    for (const name of this.instances.keys()) this.reportInstance(name);
    while (this.snapshots.length > 0) this.deliver(0);
  }
  /** Whoever has not just reported is taken for lost. */
  async silence(): Promise<void> {
    await this.ports.clock.freeze(limits.heartbeatTimeoutMs + 1);
    this.book.expire(limits.heartbeatTimeoutMs, 0);
  }

  // What the coordinator does

  private holdings(): readonly Holding[] {
    return holdingsOf([...this.known.values()], this.book.promised());
  }

  /** @param beat a heartbeat: all regions are looked at, also those of which nothing has changed */
  async decide(beat = false): Promise<void> {
    if (!this.book.adopting) {
      this.book.adopted();
      const facts = this.book.facts([...this.known.values()], this.term, () => this.holdings());
      for (const action of decideJob(facts)) {
        await this.check(action);
        this.carryOut(action);
      }
    }
    if (isRunning(this.state)) {
      this.looked.clear();
      this.runner.look(this.book);
      for (const region of this.book.regions.values()) if (!this.looked.has(region)) this.checkUnseen(region);
    }
    if (beat && isRunning(this.state)) {
      this.book.turns.addAll();
      this.runner.look(this.book);
    }
    await this.ports.clock.settle();
    await this.checkLogs();
    if (this.state !== "FAILING" && this.state !== "FAILED") return;
    const { code, message } = this.book.describe();
    this.firstError ??= { code, message };
    assert.deepEqual({ code, message }, this.firstError, "J3: the error was replaced");
  }

  private watch(region: RegionBook): void {
    const facts = region.facts.bind(region);
    region.facts = (...given) => {
      const told = facts(...given);
      this.looked.add(region);
      this.asked.set(region, decideRegion(told, this.policy));
      return told;
    };
  }

  /** U1. Where nothing has changed since, it would ask for nothing that it has not asked for then; heartbeats alone see what time brings. */
  private checkUnseen(region: RegionBook): void {
    const before = this.asked.get(region) ?? [];
    region.settle((actor, worker) => this.book.hostFor(actor, worker)?.host);
    const facts = RegionBook.prototype.facts.call(region, (host) => this.book.host(host), this.book.adopting);
    const adopted = facts.phase === "PLACING" && facts.inherited && !facts.adopting;
    for (const action of decideRegion(facts, this.policy)) {
      if (adopted || action.kind === "give-up") continue;
      const known = before.some((one) => isDeepStrictEqual(one, action));
      assert.ok(known, `U1: ${region.region} (${facts.phase}) was not looked at, and has to ${action.kind}`);
    }
  }

  private get policy() {
    return {
      checkpointIntervalMs: this.book.checkpointIntervalMs,
      checkpointTimeoutMs: limits.checkpointTimeoutMs,
      failuresMax: limits.regionFailuresMax,
      checkpointFailuresMax: limits.checkpointFailuresMax,
    };
  }

  async log(region: string): Promise<RegionRecord[]> {
    return this.created.filter((record) => record.region === region);
  }

  private async checkLogs(): Promise<void> {
    for (const region of this.book.regions.keys()) {
      let before: RegionRecord | undefined;
      for (const record of await this.log(region)) {
        const { number, kind, term, attempt, actors } = record;
        // Old records are deleted: the first that is there may have any number.
        assert.equal(number, before === undefined ? number : before.number + 1n, `a gap in the log of ${region}`);
        assert.ok(term >= (before?.term ?? 0n) && attempt >= (before?.attempt ?? 0), `${region}: ${kind} ${number}`);
        if (kind === "COMMIT") {
          assert.deepEqual(
            before === undefined ? [term, attempt] : [before.term, before.attempt],
            [term, attempt],
            `${region}: commit ${number} is not fenced`,
          );
          const wanted = spec.actors.filter((one) => one.region === region).map((one) => one.actor);
          assert.deepEqual(actors.map(({ actor }) => actor).sort(), wanted.sort(), `C2: ${region} ${number}`);
          const said = actors.map(({ inline }) => new TextDecoder().decode(inline));
          assert.ok(
            said.every((one) => one.startsWith(`${attempt} ${number} `)),
            `C7: ${region} ${number}: ${said}`,
          );
        }
        before = record;
      }
    }
  }

  private async check(action: JobAction): Promise<void> {
    if (action.kind === "deploy-enumerator") {
      const host = this.book.host(action.host);
      assert.equal(host?.state, "up", `J7: the splits of ${action.source} were given to ${action.host}`);
    }
    if (action.kind !== "enter") return;
    assert.ok(!ENDED.includes(this.state), `entered ${action.state} after ${this.state}`);
    if (action.state === "FINISHED") {
      for (const region of this.book.regions.keys()) {
        const last = (await this.log(region)).findLast(({ kind }) => kind === "COMMIT");
        assert.ok(
          last?.actors.every((one) => one.finished),
          `J2: FINISHED, and ${region} is not`,
        );
      }
    }
    if (!ENDED.includes(action.state)) return;
    const left = [...this.hosts].filter(([name, host]) => !host.exited && !this.book.gaveUp("host", name));
    const running = [...this.instances].filter(([name, { state }]) => {
      return !isGone(state) && !this.book.gaveUp("instance", name);
    });
    const names = [...left, ...running].map(([name]) => name);
    assert.deepEqual(names, [], `J4: ${action.state} while these run`);
  }

  private carryOut(action: JobAction): void {
    switch (action.kind) {
      case "enter":
        this.book.enter(action.state, action.error);
        return;
      case "wait":
        return;
      case "start-host": {
        const { host, worker } = action;
        this.book.expectHost(host, worker);
        const living = this.book
          .facts([], 1n, () => [])
          .hosts.filter((one) => one.worker === worker && one.state !== "gone");
        assert.deepEqual([...new Set(living.map((one) => one.host))], [host], `J1: hosts on ${worker}`);
        const there = this.hosts.get(host);
        assert.ok(there === undefined || there.worker === worker, `a name was used twice: ${host}`);
        if (!this.reaches(worker) || there !== undefined) return;
        if (this.workers.get(worker)!.draining) this.book.onHostRefused(host, "draining");
        else this.hosts.set(host, { worker, regions: new Map(), enumerators: new Map(), exited: false });
        return;
      }
      case "stop-host": {
        const { host, worker } = action.host;
        if (!this.reaches(worker)) return;
        // A worker keeps that what it never started has ended (W1).
        const never = { worker, regions: new Map(), enumerators: new Map(), exited: true };
        const there = this.hosts.get(host) ?? never;
        this.hosts.set(host, there);
        there.exited = true;
        return;
      }
      case "deploy-enumerator": {
        const { source, host, attempt } = action;
        this.book.expectEnumerator(source, host, attempt);
        const held = this.hosts.get(host);
        if (held === undefined || held.exited || !this.reaches(held.worker)) return;
        held.enumerators.set(source, Math.max(attempt, held.enumerators.get(source) ?? 0));
        if (!this.lost()) this.book.onEnumerator(source, attempt);
        return;
      }
      case "start-instance": {
        const { instance, service, worker } = action;
        this.book.expectInstance({ instance: instance as never, service, worker, granted: action.granted });
        if (!this.reaches(worker) || this.instances.has(instance)) return;
        if (this.workers.get(worker)!.draining) this.book.onInstanceRefused(instance, "MILL_WORKER_LOST", "draining");
        else this.instances.set(instance, { worker, state: "PROVISIONING" });
        return;
      }
      case "await-room": {
        const { instance, service, reason } = action;
        this.book.expectInstance({ instance: instance as never, service, worker: "", granted: NOTHING }, reason);
        return;
      }
      case "retire":
        this.book.wish((wishes) => wishes.retire(action.instance));
        return;
      case "stop-instance": {
        const { instance, worker } = action.instance;
        if (worker === "") this.book.forgetUnplaced(instance);
        else if (this.reaches(worker)) this.instances.set(instance, { worker, state: "STOPPED" });
      }
    }
  }

  private toHost(name: string, frame: Uint8Array, then: Then = {}): void {
    const { kind, header } = decodeFrame(frame);
    const command = header as Deploy & Trigger;
    const host = this.hosts.get(name);
    if (kind === "deploy") this.checkDeploy(command);
    if (kind === "start") this.checkStart(command);
    if (host === undefined || host.exited || !this.reaches(host.worker)) return;
    const known = host.regions.get(command.region);
    if (kind === "deploy") {
      if (known !== undefined && known.attempt > command.attempt) return; // refused
      if (known?.attempt !== command.attempt) this.restore(host, command);
    } else if (known?.attempt !== command.attempt) return;
    else if (kind === "start") {
      for (const one of known.actors.values()) if (one.state === "DEPLOYED") one.state = "RUNNING";
    } else if (kind === "trigger") this.cut(command, known);
    else if (kind === "complete") known.published = command.checkpoint;
    else if (kind === "stop-region") host.regions.delete(command.region);
    if (!this.lost()) then.done?.();
  }

  private restore(host: WorldHost, { region, attempt, actors, checkpoint }: Deploy): void {
    const done = this.progressAt(region, checkpoint);
    const made = actors.map((id): [string, WorldActor] => [id, { state: "DEPLOYED", done: done.get(id) ?? 0 }]);
    host.regions.set(region, { attempt, actors: new Map(made), published: checkpoint });
    const all = this.deployed.get(`${region} ${attempt}`) ?? new Set();
    for (const id of actors) all.add(id);
    this.deployed.set(`${region} ${attempt}`, all);
  }

  /** How far each actor was at a commit. */
  private readonly commits = new Map<string, Map<string, number>>();
  private progressAt(region: string, checkpoint: bigint): ReadonlyMap<string, number> {
    return this.commits.get(`${region} ${checkpoint}`) ?? new Map();
  }

  private cut({ region, attempt, checkpoint }: Trigger, { actors }: WorldRegion): void {
    for (const [actor, { state, done }] of actors) {
      if (state !== "RUNNING" && state !== "FINISHED") continue;
      const cuts = this.commits.get(`${region} ${checkpoint}`) ?? new Map<string, number>();
      cuts.set(actor, done);
      this.commits.set(`${region} ${checkpoint}`, cuts);
      const inline = new TextEncoder().encode(`${attempt} ${checkpoint} ${done}`);
      const told = { job: spec.job, region, attempt, checkpoint, actor, finished: state === "FINISHED" };
      if (!this.lost()) this.snapshots.push({ ...told, inline, key: "", sha256: "", sizeBytes: 1n, unaligned: false });
    }
  }

  /** C4: checked against the log at the end of the look, when it can be read. */
  private checkDeploy({ region, attempt, checkpoint }: Deploy): void {
    this.later.push(async () => {
      const log = await this.log(region);
      const fence = log.findIndex((record) => record.kind === "FENCE" && record.attempt === attempt);
      assert.ok(fence >= 0, `C4: attempt ${attempt} of ${region} was deployed without a fence`);
      const newest = log.slice(0, fence).findLast(({ kind }) => kind === "COMMIT")?.number ?? 0n;
      assert.equal(checkpoint, newest, `C4: attempt ${attempt} of ${region} was restored from another checkpoint`);
    });
  }
  readonly later: (() => Promise<void>)[] = [];

  private checkStart({ region, attempt }: Deploy): void {
    const wanted = spec.actors.filter((one) => one.region === region).map((one) => one.actor);
    const there = this.deployed.get(`${region} ${attempt}`) ?? new Set();
    assert.deepEqual([...there].sort(), wanted.sort(), `C5: ${region} started before all of it was deployed`);
  }

  private reaches(worker: string): boolean {
    return this.workers.has(worker) && !this.lost();
  }
}

const isGone = (state: LifeCycle) => state === "STOPPED" || state === "FAILED";
