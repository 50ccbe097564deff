/**
 * A node's agent: starts hosts and instances when the coordinator says so, watches them, and reports what it has.
 *
 * Invariants:
 *   W1  What it started it ends: on command, on `close`, and when its own process ends (its children notice).
 *   W2  A report says all there is to say; one goes out on every change and on a heartbeat.
 *   W3  A draining worker starts nothing new; it leaves when what it holds has ended.
 *   W4  An instance that ends without having been told to is reported FAILED, with the reason its process gave, to
 *       the coordinator and to the service's clients.
 */
import { isErrorCode, MillraceError } from "../base/errors.js";
import type { HostId, InstanceId, JobId, Namespace, ServiceId, WorkerId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import { type ClusterSubjects, clusterSubjects, jobSubjects } from "../bus/subjects.js";
import {
  acknowledgementFrame,
  type StartHost,
  type StartInstance,
  type StopHost,
  type StopInstance,
  workerReportFrame,
} from "../wire/control.js";
import { decodeFrame, loadReportFrame } from "../wire/frames.js";

/** How a child process ended. Code and message are empty when it was told to and did. */
export interface Exit {
  readonly code: string;
  readonly message: string;
}

export interface Child {
  readonly exited: Promise<Exit>;
  /** Asks it to end, finishing what it must; kills it after `limits.drainTimeoutMs`. */
  stop(): void;
}

/** Starts processes. What they need (bundle, models, connections) is its business; errors name what is missing. */
export interface Launcher {
  startHost(job: JobId, host: HostId): Promise<Child>;
  startInstance(job: JobId, service: ServiceId, instance: InstanceId): Promise<Child>;
}

export interface WorkerOptions {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  readonly worker: WorkerId;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly launcher: Launcher;
}

interface Held {
  readonly kind: "host" | "instance";
  readonly id: string;
  readonly job: JobId;
  readonly service: ServiceId | "";
  state: "STARTING" | "RUNNING" | "STOPPING" | "EXITED";
  exit: Exit | undefined;
  child: Child | undefined;
}

export class Worker {
  #held = new Map<string, Held>();
  #reports = 0n;
  #draining = false;
  #stopped = false;
  #heartbeat: Timer | undefined;
  #command: Subscription | undefined;
  #emptied: (() => void) | undefined;
  #subjects: ClusterSubjects;

  constructor(private readonly options: WorkerOptions) {
    this.#subjects = clusterSubjects(options.namespace);
  }

  async open(): Promise<void> {
    const subject = this.#subjects.workerCommand(this.options.worker);
    this.#command = await this.options.bus.subscribe(subject, (message) => void this.#obey(message));
    this.#beat();
  }

  /** W3. Resolves when everything it held has ended and it has said goodbye. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#report();
    if (this.#alive().length > 0) {
      await new Promise<void>((resolve) => {
        this.#emptied = resolve;
      });
    }
    await this.#leave();
  }

  /** Stops everything it holds, then leaves. */
  async close(): Promise<void> {
    this.#draining = true;
    const alive = this.#alive();
    for (const held of alive) this.#stop(held);
    await Promise.all(alive.map((held) => held.child?.exited));
    await this.#leave();
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

  async #obey(message: BusMessage): Promise<void> {
    let code = "";
    let text = "";
    try {
      const { kind, header } = decodeFrame(message.payload);
      if (kind === "start-host") {
        const { job, host } = header as StartHost;
        this.#start("host", host, job as JobId, "");
      } else if (kind === "start-instance") {
        const { job, service, instance } = header as StartInstance;
        this.#start("instance", instance, job as JobId, service as ServiceId);
      } else if (kind === "stop-host") {
        const { job, host } = header as StopHost;
        this.#stop(this.#held.get(keyOf("host", job, host)));
      } else if (kind === "stop-instance") {
        const { job, instance } = header as StopInstance;
        this.#stop(this.#held.get(keyOf("instance", job, instance)));
      } else throw new MillraceError("MILL_COMMAND_REFUSED", `a worker does not know the command "${kind}".`);
    } catch (cause) {
      const error = MillraceError.from(cause);
      code = error.code;
      text = error.message;
    }
    if (message.replyTo !== undefined) {
      await this.options.bus.publish(message.replyTo, acknowledgementFrame.encode({ code, message: text }));
    }
  }

  #start(kind: Held["kind"], what: string, job: JobId, service: ServiceId | ""): void {
    const key = keyOf(kind, job, what);
    if (this.#held.has(key)) return;
    if (this.#draining) {
      throw new MillraceError(
        "MILL_COMMAND_REFUSED",
        `worker ${this.options.worker} is draining and takes nothing new.`,
      );
    }
    const held: Held = { kind, id: what, job, service, state: "STARTING", exit: undefined, child: undefined };
    this.#held.set(key, held);
    const { launcher } = this.options;
    const launched =
      kind === "host"
        ? launcher.startHost(job, what as HostId)
        : launcher.startInstance(job, service as ServiceId, what as InstanceId);
    void launched.then(
      async (child) => {
        held.child = child;
        if (held.state === "STOPPING") child.stop();
        else held.state = "RUNNING";
        this.#report();
        this.#onExit(held, await child.exited);
      },
      (cause: unknown) => {
        const error = MillraceError.from(cause);
        this.options.ports.log.error("a process could not be started", { kind, id: what, error });
        this.#onExit(held, { code: isErrorCode(error.code) ? error.code : "MILL_INTERNAL", message: error.message });
      },
    );
  }

  #stop(held: Held | undefined): void {
    if (held === undefined || held.state === "EXITED" || held.state === "STOPPING") return;
    held.state = "STOPPING";
    held.child?.stop();
  }

  #onExit(held: Held, exit: Exit): void {
    const asked = held.state === "STOPPING";
    held.exit = asked ? { code: "", message: exit.message } : exit;
    held.state = "EXITED";
    held.child = undefined;
    if (held.kind === "instance" && !asked) this.#tellClients(held);
    this.#report();
    if (this.#alive().length === 0) this.#emptied?.();
  }

  /** The instance cannot say itself that it is gone. */
  #tellClients(held: Held): void {
    const { bus, namespace } = this.options;
    const service = held.service as ServiceId;
    const frame = loadReportFrame.encode({
      service,
      instance: held.id,
      sequence: LAST_SEQUENCE,
      subject: "",
      state: "FAILED",
      queuedRows: 0,
      runningRows: 0,
      rowMs: 0,
      reason: held.exit?.message ?? "",
      code: held.exit?.code ?? "",
    });
    void Promise.resolve(bus.publish(jobSubjects(namespace, held.job).load(service), frame)).catch(() => {});
  }

  #alive(): Held[] {
    return [...this.#held.values()].filter((held) => held.state !== "EXITED");
  }

  #beat(): void {
    this.#report();
    this.#heartbeat = this.options.ports.clock.after(limits.heartbeatIntervalMs, () => this.#beat());
  }

  #report(): void {
    const { worker, cpus, memoryBytes } = this.options;
    const held = [...this.#held.values()];
    const frame = workerReportFrame.encode({
      worker,
      sequence: ++this.#reports,
      cpus,
      memoryBytes: BigInt(memoryBytes),
      draining: this.#draining,
      stopped: this.#stopped,
      hosts: held
        .filter((one) => one.kind === "host")
        .map(({ id, job, state, exit }) => ({
          host: id,
          job,
          state,
          code: exit?.code ?? "",
          message: exit?.message ?? "",
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
        })),
    });
    void Promise.resolve(this.options.bus.publish(this.#subjects.coordinatorReport, frame)).catch(() => {});
  }
}

/** Above every report that the instance itself can have sent. */
const LAST_SEQUENCE = 2n ** 62n;

function keyOf(kind: Held["kind"], job: string, what: string): string {
  return `${kind} ${job} ${what}`;
}
