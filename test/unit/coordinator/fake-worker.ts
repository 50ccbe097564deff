/**
 * A worker with its hosts and instances that only exists on the bus: it acknowledges what it is told, keeps it for the test
 * to look at, and says what the test makes it say. Its processes do what they are told at once, unless `obeys` is false.
 */
import type { HostId, JobId, Namespace, ServiceId, WorkerId } from "../../../src/base/ids.js";
import type { Bus, BusMessage } from "../../../src/bus/bus.js";
import { clusterSubjects, jobSubjects } from "../../../src/bus/subjects.js";
import {
  type ActorState,
  acknowledgementFrame,
  type Complete,
  type Deploy,
  type DeployEnumerator,
  type Gpu,
  type Granted,
  hostReportFrame,
  type StartHost,
  type StartInstance,
  type StopInstance,
  type StopRegion,
  snapshotFrame,
  type Trigger,
  type WorkerReport,
  workerReportFrame,
} from "../../../src/wire/control.js";
import { decodeFrame, type LifeCycle, loadReportFrame } from "../../../src/wire/frames.js";
import { actor, granted, spec } from "./job-facts.js";

/** A region's actors in a host, in one attempt. */
interface FakeRegion {
  readonly attempt: number;
  readonly actors: Map<string, ActorState>;
  published: bigint;
}

interface FakeHost {
  readonly regions: Map<string, FakeRegion>;
  state: "RUNNING" | "EXITED";
}

type Header = Partial<StartHost & StartInstance & Deploy & DeployEnumerator & Trigger>;

export class FakeWorker {
  /** Kind of each command it was given and what it names, in order. */
  readonly commands: string[] = [];
  /** Terms of these. */
  readonly terms = new Set<bigint>();
  readonly hosts = new Map<string, FakeHost>();
  readonly instances = new Map<string, LifeCycle>();
  /** What each of them was promised. */
  readonly granted = new Map<string, Granted>();
  gpus: Gpu[] = [];
  memoryBytes = 2n ** 36n;
  /** Whether commands are answered and carried out. */
  obeys = true;
  /** Regions that do not take part in checkpoints. */
  readonly withholds = new Set<string>();
  /** Whether it reports on every change, and not on heartbeats alone. */
  prompt = true;
  /** Hosts and instances that hang. */
  readonly silent = new Set<string>();
  /** Code of the refusal of commands of that kind. */
  readonly refuses = new Map<string, string>();
  draining = false;
  sequence = 0n;
  #reports = 0n;

  constructor(
    readonly bus: Bus,
    readonly namespace: Namespace,
    readonly name: string,
  ) {}

  async open(): Promise<this> {
    const subject = clusterSubjects(this.namespace).workerCommand(this.name as WorkerId);
    await this.bus.subscribe(subject, (message) => void this.#obey(message));
    return this;
  }

  get subjects() {
    return jobSubjects(this.namespace, spec.job as JobId);
  }

  /** How often it was given a command of that kind. */
  told(kind: string): number {
    return this.commands.filter((command) => command.startsWith(`${kind} `)).length;
  }

  /** Of the hosts that it runs, the newest. */
  get host(): string {
    return [...this.hosts].filter(([, { state }]) => state === "RUNNING").at(-1)![0];
  }

  #note(kind: string, header: Header): void {
    const { host, instance, source, region, attempt, checkpoint, term } = header;
    const named = [host ?? instance ?? source ?? region, attempt, checkpoint].filter((one) => one !== undefined);
    this.commands.push([kind, ...named].join(" "));
    if (term !== undefined) this.terms.add(term);
  }

  async #obey(message: BusMessage): Promise<void> {
    const { kind, header } = decodeFrame(message.payload);
    const { host = "", instance = "" } = header as Header;
    this.#note(kind, header as Header);
    if (!this.obeys) return;
    const code = this.refuses.get(kind) ?? "";
    if (code === "") {
      if (kind === "start-host") await this.#startHost(host);
      if (kind === "stop-host") this.#known(host).state = "EXITED";
      if (kind === "start-instance" && !this.instances.has(instance)) {
        this.instances.set(instance, "PROVISIONING");
        this.granted.set(instance, (header as StartInstance).granted);
      }
      if (kind === "stop-instance") this.instances.set((header as StopInstance).instance, "STOPPED");
    }
    await this.#acknowledge(message, code);
    if (this.prompt) await this.report();
  }

  async #acknowledge(message: BusMessage, code: string): Promise<void> {
    const text = code === "" ? "" : `${this.name} does not want to`;
    await this.bus.publish(message.replyTo!, acknowledgementFrame.encode({ code, message: text }));
  }

  #known(name: string): FakeHost {
    const known = this.hosts.get(name) ?? { regions: new Map(), state: "EXITED" };
    this.hosts.set(name, known);
    return known;
  }

  async #startHost(name: string): Promise<void> {
    if (this.hosts.has(name)) return;
    const host: FakeHost = { regions: new Map(), state: "RUNNING" };
    this.hosts.set(name, host);
    const subject = this.subjects.hostCommand(name as HostId);
    await this.bus.subscribe(subject, (message) => void this.#host(host, name, message));
    await this.reportHost(name);
  }

  async #host(host: FakeHost, name: string, message: BusMessage): Promise<void> {
    const { kind, header } = decodeFrame(message.payload);
    this.#note(kind, header as Header);
    if (!this.obeys || host.state === "EXITED" || this.silent.has(name)) return;
    const code = this.refuses.get(kind) ?? "";
    if (code === "") await this.#obeyForRegion(host, kind, header as Header);
    await this.#acknowledge(message, code);
    await this.reportHost(name);
  }

  async #obeyForRegion(host: FakeHost, kind: string, header: Header): Promise<void> {
    const { region = "", attempt = 0, checkpoint = 0n, actors = [] } = header;
    const known = host.regions.get(region);
    if (kind === "deploy" && known?.attempt !== attempt) {
      const states = actors.map((one) => [one, "DEPLOYED"] as const);
      host.regions.set(region, { attempt, actors: new Map(states), published: checkpoint });
    }
    if (known?.attempt !== attempt) return;
    if (kind === "start") move(known, "DEPLOYED", "RUNNING");
    if (kind === "trigger" && !this.withholds.has(region)) await this.#cut(header as Trigger, known);
    if (kind === "complete") known.published = (header as Complete).checkpoint;
    if (kind === "stop-region") host.regions.delete((header as StopRegion).region);
  }

  async #cut({ region, attempt, checkpoint }: Trigger, { actors }: FakeRegion): Promise<void> {
    for (const [name, state] of actors) {
      if (state !== "RUNNING" && state !== "FINISHED") continue;
      await this.bus.publish(
        clusterSubjects(this.namespace).coordinatorReport,
        snapshotFrame.encode({
          job: spec.job,
          region,
          attempt,
          checkpoint,
          actor: name,
          finished: state === "FINISHED",
          unaligned: false,
          inline: new TextEncoder().encode(`${name} at ${checkpoint}`),
          key: "",
          sha256: "",
          sizeBytes: 1n,
        }),
      );
    }
  }

  /** Every actor of the hosts that run, or of one region. */
  async set(from: ActorState, to: ActorState, region?: string): Promise<void> {
    for (const [name, host] of this.hosts) {
      for (const [id, known] of host.regions) if (region === undefined || id === region) move(known, from, to);
      if (host.state === "RUNNING") await this.reportHost(name);
    }
  }

  /** Its actors have done their work. */
  finish(region?: string): Promise<void> {
    return this.set("RUNNING", "FINISHED", region);
  }

  async reportHost(name: string, sequence = ++this.#reports): Promise<void> {
    if (this.silent.has(name)) return;
    const actors = [...this.hosts.get(name)!.regions.values()].flatMap(({ attempt, actors: states, published }) =>
      [...states].map(([id, state]) => {
        const failure = state === "FAILED" ? { code: "MILL_IMAGE_INVALID", message: `${id} is torn` } : {};
        return actor(id, state, { attempt, published, sinksPublished: published, rowsRead: 2n, ...failure });
      }),
    );
    const frame = hostReportFrame.encode({
      host: name,
      job: spec.job,
      sequence,
      actors,
      rowsTotal: 7n,
      services: [],
      standings: [],
    });
    await this.bus.publish(clusterSubjects(this.namespace).coordinatorReport, frame);
  }

  async report(about: Partial<WorkerReport> = {}): Promise<void> {
    const told = { job: spec.job, code: "", message: "" };
    const frame = workerReportFrame.encode({
      worker: this.name,
      sequence: ++this.sequence,
      cpus: 2,
      memoryBytes: this.memoryBytes,
      gpus: this.gpus,
      draining: this.draining,
      stopped: false,
      usage: null,
      hosts: [...this.hosts].map(([host, { state }]) => ({ host, state, group: "", gpus: [], ...told })),
      instances: [...this.instances].map(([instance, state]) => {
        const ended = state === "STOPPED" || state === "FAILED";
        const about = { service: "model", granted: this.granted.get(instance) ?? granted() };
        const times = { startedMs: 1n, endedMs: ended ? 2n : 0n, launched: !ended };
        return { ...times, instance, state: ended ? state : "PROVISIONING", ...about, ...told };
      }),
      ...about,
    });
    await this.bus.publish(clusterSubjects(this.namespace).coordinatorReport, frame);
  }

  /** What an instance of it says itself. */
  async load(instance: string, state: LifeCycle, about: { code?: string; reason?: string } = {}): Promise<void> {
    this.instances.set(instance, state);
    const counts = { sequence: ++this.#reports, subject: "", queuedRows: 3, runningRows: 1, rowMs: 5, enteredMs: 0n };
    const load = { service: "model", instance, state, code: "", reason: "", ...counts, ...about };
    await this.bus.publish(this.subjects.load("model" as ServiceId), loadReportFrame.encode(load));
  }

  /** Everything says that it is still there. */
  async beat(): Promise<void> {
    await this.report();
    for (const [name, host] of this.hosts) if (host.state === "RUNNING") await this.reportHost(name);
    for (const [name, state] of this.instances) {
      const reports = state !== "STOPPED" && state !== "FAILED" && state !== "PROVISIONING";
      if (reports && !this.silent.has(name)) await this.load(name, state);
    }
  }
}

function move({ actors }: FakeRegion, from: ActorState, to: ActorState): void {
  for (const [name, state] of actors) if (state === from) actors.set(name, to);
}
