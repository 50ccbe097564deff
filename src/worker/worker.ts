/**
 * A node's agent: starts hosts and instances when the coordinator says so, watches them, and reports what it has.
 *
 * Invariants:
 *   W1  What it started it ends: on command, on `close`, and when its own process ends (its children notice). What it was
 *       told to stop before it was told to start is never started. What is still being started `limits.drainTimeoutMs` after it was told to
 *       stop counts as ended, and ends as soon as it is there: nobody can tell when that will be.
 *   W2  A report says all there is to say; one goes out on every change and on a heartbeat. Who holds many puts changes together that come
 *       shortly after one another: a thousand starts would be a thousand reports of a thousand.
 *   W3  A draining worker starts nothing new; it leaves when what it holds has ended.
 *   W4  An instance that ends without having been told to is reported FAILED, however it ended, with the reason its
 *       process gave. The service's clients are told of every end, also on the heartbeats that follow it.
 *   W5  A command of an older term is refused and changes nothing.
 *   W6  An instance or a host is not started where what was promised to it of a device is not free, whoever promised it. It sees the devices
 *       that were promised to it, and what was promised to none sees none; where a worker offers none, it says nothing about them.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { HostId, InstanceId, JobId, Namespace, ServiceId, WorkerId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { Commands } from "../bus/commands.js";
import { publishLossy } from "../bus/publish-lossy.js";
import { type ClusterSubjects, clusterSubjects } from "../bus/subjects.js";
import { goneReport } from "../services/gone-report.js";
import {
  type Gpu,
  type Granted,
  type HostGpu,
  type MachineUsage,
  type StartHost,
  type StartInstance,
  type StopHost,
  type StopInstance,
  workerReportFrame,
} from "../wire/control.js";

/** How a child process ended. Code and message are empty when it was told to and did. */
export interface Exit {
  readonly code: string;
  readonly message: string;
}

export interface Child {
  readonly exited: Promise<Exit>;
  /** Asks it to end, finishing what it must; kills it after `limits.drainTimeoutMs`. */
  stop(): void;
  /** Absent, or nothing: it is not a process of its own, or cannot be measured. */
  usage?(): ChildUsage | undefined;
}

export interface ChildUsage {
  readonly rssBytes: number;
  /** Processor time that it has used. */
  readonly cpuMs: number;
}

/** What is used of the machine now. */
export interface Used {
  readonly memoryBytes: number;
  /** Processor time that all of its processors together have worked. */
  readonly cpuMs: number;
  /** Resident memory of this process. */
  readonly rssBytes: number;
}

/** Starts processes. What they need (bundle, models, connections) is its business; errors name what is missing. */
export interface Launcher {
  /**
   * @param devices that the process may see; undefined: nothing is said about them
   * @param gpus the same by operator
   */
  startHost(job: JobId, host: HostId, devices: readonly string[] | undefined, gpus: readonly HostGpu[]): Promise<Child>;
  startInstance(
    job: JobId,
    service: ServiceId,
    instance: InstanceId,
    devices: readonly string[] | undefined,
  ): Promise<Child>;
}

export interface WorkerOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly worker: WorkerId;
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Default: none. */
  readonly gpus?: readonly Gpu[];
  readonly launcher: Launcher;
  /** The coordinator was asked to let it drain; whoever holds the worker is to call `drain`. Default: it does so itself. */
  onDrainAsked?(): void;
  /** Absent, or nothing: it cannot be measured. */
  used?(): Used | undefined;
}

interface Held {
  readonly kind: "host" | "instance";
  readonly id: string;
  readonly job: JobId;
  readonly service: ServiceId | "";
  readonly granted: Granted;
  /** Of a host: as in its command. */
  readonly group: string;
  readonly gpus: readonly HostGpu[];
  state: "STARTING" | "RUNNING" | "STOPPING" | "EXITED";
  exit: Exit | undefined;
  child: Child | undefined;
  /** Of one that was told to stop before it was there. */
  givesUp: Timer | undefined;
  /** By the clock on the wall; 0: not yet. */
  readonly startedAt: number;
  endedAt: number;
  /** When it ended, by the monotonic clock. */
  endedMs: number;
}

export class Worker {
  #held = new Map<string, Held>();
  #reports = 0n;
  #draining = false;
  #stopped = false;
  /** As measured last. */
  #usage: MachineUsage | null = null;
  #measured: { readonly atMs: number; readonly cpuMs: number } | undefined;
  #heartbeat: Timer | undefined;
  /** Of a change that waits for others. */
  #reportDue: Timer | undefined;
  #reportedMs = Number.NEGATIVE_INFINITY;
  #commands: Commands;
  #command: Subscription | undefined;
  #emptied: (() => void)[] = [];
  #subjects: ClusterSubjects;

  constructor(private readonly options: WorkerOptions) {
    this.#subjects = clusterSubjects(options.namespace);
    this.#commands = new Commands({
      bus: options.bus,
      log: options.ports.log,
      who: "a worker",
      kinds: COMMANDS,
      obey: (kind, header) => this.#obey(kind, header),
    });
  }

  async open(): Promise<void> {
    const subject = this.#subjects.workerCommand(this.options.worker);
    this.#command = await this.#commands.subscribe(subject);
    this.#beat();
  }

  /** W3. Resolves when everything it held has ended and it has said goodbye. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#report();
    await this.#empty();
    await this.#leave();
  }

  /** Stops everything it holds, then leaves. */
  async close(): Promise<void> {
    this.#draining = true;
    for (const held of this.#alive()) this.#stop(held);
    await this.#empty();
    await this.#leave();
  }

  /** Resolves when it holds nothing any more, nor starts anything. */
  async #empty(): Promise<void> {
    if (this.#alive().length > 0) await new Promise<void>((resolve) => this.#emptied.push(resolve));
  }

  get holds(): number {
    return this.#alive().length;
  }

  async #leave(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#heartbeat?.cancel();
    this.#command?.unsubscribe();
    this.#report();
    await this.options.bus.flush();
  }

  #obey(kind: string, header: unknown): void {
    if (kind === "start-host") {
      const { job, host, group, gpus } = header as StartHost;
      const granted = { ...NOTHING, gpus: gpus.map(({ operator: _, ...share }) => share) };
      this.#start("host", host, job as JobId, "", granted, { group, gpus });
    } else if (kind === "start-instance") {
      const { job, service, instance, granted } = header as StartInstance;
      this.#start("instance", instance, job as JobId, service as ServiceId, granted);
    } else if (kind === "stop-host") {
      const { job, host } = header as StopHost;
      this.#stop(this.#known("host", host, job as JobId, ""));
    } else if (kind === "drain-worker") {
      if (!this.#draining) this.#drainAsked();
    } else {
      const { job, service, instance } = header as StopInstance;
      this.#stop(this.#known("instance", instance, job as JobId, service as ServiceId));
    }
  }

  #drainAsked(): void {
    const { onDrainAsked } = this.options;
    if (onDrainAsked !== undefined) onDrainAsked();
    else void this.drain();
  }

  #start(
    kind: Held["kind"],
    what: string,
    job: JobId,
    service: ServiceId | "",
    granted: Granted,
    own: Pick<Held, "group" | "gpus"> = { group: "", gpus: [] },
  ): void {
    const key = keyOf(kind, job, what);
    if (this.#held.has(key)) return;
    if (this.#draining) {
      throw new MillraceError(
        "MILL_COMMAND_REFUSED",
        `worker ${this.options.worker} is draining and takes nothing new.`,
      );
    }
    this.#checkDevices(what, granted);
    const held = this.#hold(kind, what, job, service, "STARTING", granted, own);
    const { launcher, gpus = [] } = this.options;
    // Two operators of a host may share a device.
    const devices = gpus.length === 0 ? undefined : [...new Set(granted.gpus.map(({ uuid }) => uuid))];
    const launched =
      kind === "host"
        ? launcher.startHost(job, what as HostId, devices, own.gpus)
        : launcher.startInstance(job, service as ServiceId, what as InstanceId, devices);
    void launched.then(
      async (child) => {
        held.givesUp?.cancel();
        if (held.state === "EXITED") return child.stop();
        held.child = child;
        if (held.state === "STOPPING") child.stop();
        else held.state = "RUNNING";
        this.#reportChange();
        this.#onExit(held, await child.exited);
      },
      (cause: unknown) => {
        held.givesUp?.cancel();
        if (held.state === "EXITED") return;
        const error = MillraceError.from(cause);
        this.options.ports.log.error("a process could not be started", { kind, id: what, error });
        this.#onExit(held, { code: isErrorCode(error.code) ? error.code : "MILL_INTERNAL", message: error.message });
      },
    );
  }

  /** W6. Two leaders may not know of each other's promises, nor one of what it gave up. */
  #checkDevices(what: string, { gpus: wanted }: Granted): void {
    for (const { uuid } of wanted) {
      // Operators of one host may have parts of the same.
      const thousandths = wanted.reduce((sum, share) => sum + (share.uuid === uuid ? share.thousandths : 0), 0);
      const taken = this.#alive().flatMap(({ granted }) => granted.gpus.filter((share) => share.uuid === uuid));
      const free = 1_000 - taken.reduce((sum, share) => sum + share.thousandths, 0);
      const offered = this.options.gpus?.some((gpu) => gpu.uuid === uuid) ?? false;
      if (offered && thousandths <= free) continue;
      throw new MillraceError(
        "MILL_COMMAND_REFUSED",
        `worker ${this.options.worker} has ${offered ? `${free / 1_000} of` : "no"} gpu ${uuid} free, and ${what} was promised ${thousandths / 1_000} of it.`,
      );
    }
  }

  #hold(
    kind: Held["kind"],
    what: string,
    job: JobId,
    service: ServiceId | "",
    state: Held["state"],
    granted: Granted = NOTHING,
    own: Pick<Held, "group" | "gpus"> = { group: "", gpus: [] },
  ): Held {
    const about = { kind, id: what, job, service, granted, ...own, state };
    // What it was never told to start has not begun.
    const startedAt = state === "STARTING" ? this.options.ports.clock.nowMs() : 0;
    const process = { exit: undefined, child: undefined, givesUp: undefined };
    const held: Held = { ...about, startedAt, ...process, endedAt: 0, endedMs: 0 };
    this.#held.set(keyOf(kind, job, what), held);
    return held;
  }

  /** What it holds of that name. Of what it was never told to start it keeps that it has ended: the start may be late. */
  #known(kind: Held["kind"], what: string, job: JobId, service: ServiceId | ""): Held {
    const known = this.#held.get(keyOf(kind, job, what));
    if (known !== undefined) return known;
    const never = this.#hold(kind, what, job, service, "STOPPING");
    this.#onExit(never, { code: "", message: "it was never started" });
    return never;
  }

  #stop(held: Held): void {
    if (held.state === "EXITED" || held.state === "STOPPING") return;
    held.state = "STOPPING";
    if (held.child !== undefined) held.child.stop();
    else held.givesUp = this.options.ports.clock.after(limits.drainTimeoutMs, () => this.#onExit(held, NEVER_THERE));
  }

  #onExit(held: Held, exit: Exit): void {
    const asked = held.state === "STOPPING";
    held.exit = asked ? { code: "", message: exit.message } : unasked(held, exit);
    held.state = "EXITED";
    held.child = undefined;
    held.endedAt = this.options.ports.clock.nowMs();
    held.endedMs = this.options.ports.clock.monotonicMs();
    this.#tellClients(held);
    this.#forgetOldest();
    this.#reportChange();
    if (this.#alive().length === 0) for (const done of this.#emptied.splice(0)) done();
  }

  /** The instance cannot say itself that it is gone, or was killed before it could. */
  #tellClients(held: Held): void {
    if (held.kind !== "instance") return;
    const { code = "", message: reason = "" } = held.exit ?? {};
    const state = code === "" ? "STOPPED" : "FAILED";
    const gone = { service: held.service, instance: held.id, state, code, reason } as const;
    const { subject, frame } = goneReport(this.options.namespace, held.job, gone);
    this.#publish(subject, frame);
  }

  /** Of what has ended only the newest stay in the reports: a worker outlives many jobs. */
  #forgetOldest(): void {
    const ended = [...this.#held].filter(([, held]) => held.state === "EXITED");
    for (const [key] of ended.slice(0, Math.max(ended.length - limits.workerEndedMax, 0))) this.#held.delete(key);
  }

  #alive(): Held[] {
    return [...this.#held.values()].filter((held) => held.state !== "EXITED");
  }

  #beat(): void {
    this.#usage = this.#measure();
    this.#report();
    const now = this.options.ports.clock.monotonicMs();
    for (const held of this.#held.values()) {
      if (held.state === "EXITED" && now - held.endedMs <= limits.heartbeatTimeoutMs) this.#tellClients(held);
    }
    this.#heartbeat = this.options.ports.clock.after(limits.heartbeatIntervalMs, () => this.#beat());
  }

  /** Measured on the heartbeat alone: it costs a few files for each child. */
  #measure(): MachineUsage | null {
    const used = this.options.used?.();
    if (used === undefined) return null;
    const now = this.options.ports.clock.monotonicMs();
    const before = this.#measured;
    this.#measured = { atMs: now, cpuMs: used.cpuMs };
    const forMs = now - (before?.atMs ?? now);
    return {
      memoryBytes: BigInt(Math.round(used.memoryBytes)),
      cpus: before === undefined || forMs <= 0 ? 0 : Math.max(used.cpuMs - before.cpuMs, 0) / forMs,
      rssBytes: BigInt(used.rssBytes),
      processes: this.#alive().flatMap(({ job, id: name, child }) => {
        const usage = child?.usage?.();
        if (usage === undefined) return [];
        return { job, name, rssBytes: BigInt(usage.rssBytes), cpuMs: BigInt(Math.round(usage.cpuMs)) };
      }),
    };
  }

  /** W2 */
  #reportChange(): void {
    if (this.#stopped || this.#reportDue !== undefined) return;
    const { clock } = this.options.ports;
    const leftMs = this.#reportedMs + limits.workerReportPauseMs - clock.monotonicMs();
    if (this.#held.size <= limits.workerReportAtOnceMax || leftMs <= 0) this.#report();
    else this.#reportDue = clock.after(leftMs, () => this.#report());
  }

  #report(): void {
    this.#reportDue?.cancel();
    this.#reportDue = undefined;
    this.#reportedMs = this.options.ports.clock.monotonicMs();
    const { worker, cpus, memoryBytes, gpus = [] } = this.options;
    const held = [...this.#held.values()];
    const frame = workerReportFrame.encode({
      worker,
      sequence: ++this.#reports,
      cpus,
      memoryBytes: BigInt(memoryBytes),
      gpus,
      draining: this.#draining,
      stopped: this.#stopped,
      usage: this.#usage,
      hosts: held
        .filter((one) => one.kind === "host")
        .map(({ id, job, state, exit, group, gpus: devices }) => ({
          host: id,
          job,
          state,
          code: exit?.code ?? "",
          message: exit?.message ?? "",
          group,
          gpus: devices,
        })),
      instances: held
        .filter((one) => one.kind === "instance")
        .map((one) => ({
          job: one.job,
          service: one.service,
          instance: one.id,
          state: one.state !== "EXITED" ? "PROVISIONING" : one.exit?.code === "" ? "STOPPED" : "FAILED",
          code: one.exit?.code ?? "",
          message: one.exit?.message ?? "",
          granted: one.granted,
          startedMs: BigInt(Math.round(one.startedAt)),
          endedMs: BigInt(Math.round(one.endedAt)),
          launched: one.child !== undefined,
        })),
    });
    this.#publish(this.#subjects.coordinatorReport, frame);
  }

  #publish(subject: string, frame: Uint8Array): void {
    const { bus, ports } = this.options;
    void publishLossy(bus, ports.log, subject, frame);
  }
}

const NEVER_THERE: Exit = { code: "", message: "it was still being started long after it was told to stop" };
const NOTHING: Granted = { cpu: 0, memoryBytes: 0n, gpus: [] };
const COMMANDS: ReadonlySet<string> = new Set([
  ...["start-host", "start-instance", "stop-host", "stop-instance"],
  "drain-worker",
]);

/** Even an end without an error is one that nobody asked for. */
function unasked(held: Held, { code, message }: Exit): Exit {
  if (code !== "") return { code, message };
  return {
    code: held.kind === "instance" ? "MILL_SERVICE_LOST" : "",
    message: message || "its process ended by itself",
  };
}

function keyOf(kind: Held["kind"], job: string, what: string): string {
  return `${kind} ${job} ${what}`;
}
