/**
 * Carries a schedule of faults out on a cluster, one after another at their times. What is away comes back by itself meanwhile, so
 * faults of different kinds overlap.
 *
 * Invariants:
 *   N1  When `run` resolves, everything is back: servers answer, nothing is stopped, a coordinator and every worker are there.
 *   N2  A fault that found nobody to hit is not counted.
 *   N3  Nothing is done while a job is being submitted: who submits is not what is tested.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { MillraceProcess } from "../e2e/millrace-process.js";
import type { ChaosCluster } from "./chaos-cluster.js";
import type { MarkedProcess, ProcessKind } from "./marked-processes.js";
import type { Fault } from "./schedule.js";

/** As long as the issue asks for: three times what it takes to be taken for lost. */
const ZOMBIE_MS = 30_000;
const STORE_AWAY_MS = 10_000;
const AWAY_MS_MAX = 4_000;
/** How long a coordinator is stopped while another leads, and how long it may then try things. */
const OLD_LEADER_MS = 15_000;
const VICTIM_MS_MAX = 30_000;

export class Nemesis {
  faults = 0;
  #turns = new Map<string, Promise<void>>();
  #submitting = 0;
  #away = 0;
  #changed: (() => void)[] = [];

  constructor(
    private readonly cluster: ChaosCluster,
    private readonly say: (what: string, about: string) => void,
    private readonly signal: AbortSignal,
  ) {}

  async run(schedule: readonly Fault[]): Promise<void> {
    const underWay: Promise<void>[] = [];
    for (const fault of schedule) {
      await this.#pause(fault.afterMs);
      while (this.#submitting > 0) await this.#change();
      underWay.push(this.#strike(fault));
      await Promise.race([Promise.all(underWay), this.#pause(0)]); // a failure ends the run
    }
    await Promise.all(underWay);
  }

  /** Holds faults back while `submit` runs, and waits before it until all servers and the coordinator are there (N3). */
  async calmly<T>(submit: () => Promise<T>): Promise<T> {
    this.#submitting++;
    try {
      while (this.#away > 0) await this.#change();
      return await submit();
    } finally {
      this.#submitting--;
      this.#wake();
    }
  }

  async #strike(fault: Fault): Promise<void> {
    const { kind, victim, away } = fault;
    const awayMs = away * AWAY_MS_MAX;
    switch (kind) {
      case "host-kill":
        return this.#kill(kind, "host", victim);
      case "instance-kill":
        return this.#kill(kind, "instance", victim);
      case "host-pause":
        return this.#pauseHost(victim);
      case "worker-kill":
        return this.#killWorker(victim, awayMs);
      case "machine-pause":
        return this.#turn("machine", () => this.#pauseMachine(victim));
      case "coordinator-kill":
        return this.#turn("coordinator", () => this.#without(() => this.#killCoordinator(awayMs)));
      case "coordinator-pause":
        return this.#turn("coordinator", () => this.#replaceCoordinator());
      case "nats-kill":
        return this.#turn("nats", () => this.#without(() => this.#restart("nats", kind, awayMs)));
      case "store-kill":
        return this.#turn("store", () => this.#without(() => this.#restart("store", kind, STORE_AWAY_MS)));
      case "store-pause":
        return this.#turn("store", () => this.#without(() => this.#pauseStore()));
    }
  }

  #done(kind: Fault["kind"], about: string): void {
    this.faults++;
    this.say(kind, about);
  }

  async #kill(kind: Fault["kind"], what: ProcessKind, share: number): Promise<void> {
    const victim = await this.#victim(what, share);
    if (victim === undefined) return this.say(kind, `there was no ${what} to kill`);
    if (this.cluster.processes.signal(victim.pid, "SIGKILL")) this.#done(kind, this.#named(victim));
  }

  async #pauseHost(share: number): Promise<void> {
    const victim = await this.#victim("host", share);
    if (victim === undefined) return this.say("host-pause", "there was no host to stop");
    if (!this.cluster.processes.signal(victim.pid, "SIGSTOP")) return;
    this.#done("host-pause", this.#named(victim));
    await this.#pause(ZOMBIE_MS);
    const there = this.cluster.processes.signal(victim.pid, "SIGCONT");
    this.say("host-pause", `${this.#named(victim)} ${there ? "goes on" : "was ended meanwhile"}`);
  }

  async #killWorker(share: number, awayMs: number): Promise<void> {
    const victim = this.#worker(share);
    if (victim === undefined) return this.say("worker-kill", "there was no worker to kill");
    const [name, worker] = victim;
    this.cluster.expectEnd(worker);
    worker.kill("SIGKILL");
    this.#done("worker-kill", `${name} (${worker.pid}), for ${Math.round(awayMs)} ms`);
    await worker.ended;
    await this.#pause(awayMs);
    await this.cluster.keepTrying(() => this.cluster.startWorker(name));
    this.say("worker-kill", `${name} is there again (${this.cluster.workers.get(name)!.pid})`);
  }

  /** The worker goes on last: until then nobody tells its hosts and instances that they have been given up. */
  async #pauseMachine(share: number): Promise<void> {
    const victim = this.#worker(share);
    if (victim === undefined) return this.say("machine-pause", "there was no worker to stop");
    const [name, { pid }] = victim;
    const { processes } = this.cluster;
    const stopped = [pid, ...processes.list().flatMap((one) => (one.parent === pid ? [one.pid] : []))];
    for (const one of stopped) processes.signal(one, "SIGSTOP");
    this.#done("machine-pause", `${name} and all it holds (${stopped.join(", ")})`);
    await this.#pause(ZOMBIE_MS);
    for (const one of stopped.reverse()) {
      processes.signal(one, "SIGCONT");
      if (one !== pid) await this.#pause(500);
    }
    this.say("machine-pause", `${name} goes on`);
  }

  async #killCoordinator(awayMs: number): Promise<void> {
    const { coordinator } = this.cluster;
    this.cluster.expectEnd(coordinator);
    coordinator.kill("SIGKILL");
    this.#done("coordinator-kill", `${coordinator.pid}, for ${Math.round(awayMs)} ms`);
    await coordinator.ended;
    await this.#pause(awayMs);
    await this.#startCoordinator("coordinator-kill");
  }

  async #replaceCoordinator(): Promise<void> {
    const old = this.cluster.coordinator;
    this.cluster.expectEnd(old);
    await this.#without(async () => {
      old.kill("SIGSTOP");
      this.#done("coordinator-pause", `${old.pid}`);
      await this.#startCoordinator("coordinator-pause");
    });
    await this.#pause(OLD_LEADER_MS);
    old.kill("SIGCONT");
    this.say("coordinator-pause", `the old one goes on (${old.pid})`);
    await this.#pause(OLD_LEADER_MS);
    await old.stop();
    this.say("coordinator-pause", `the old one has ended (${old.pid})`);
  }

  async #startCoordinator(why: string): Promise<void> {
    await this.cluster.keepTrying(() => this.cluster.startCoordinator());
    this.say(why, `another one is there (${this.cluster.coordinator.pid})`);
  }

  async #restart(which: "nats" | "store", kind: Fault["kind"], awayMs: number): Promise<void> {
    const server = this.cluster.servers[which];
    await server.kill();
    this.#done(kind, `for ${Math.round(awayMs)} ms`);
    await this.#pause(awayMs);
    await server.startAgain();
    this.say(kind, `it answers again (${server.pid})`);
  }

  async #pauseStore(): Promise<void> {
    const { store } = this.cluster.servers;
    store.signal("SIGSTOP");
    this.#done("store-pause", `for ${STORE_AWAY_MS} ms`);
    await this.#pause(STORE_AWAY_MS);
    store.signal("SIGCONT");
    this.say("store-pause", "it goes on");
  }

  /** Whom to hit; waits a while until there is one. */
  async #victim(kind: ProcessKind, share: number): Promise<MarkedProcess | undefined> {
    for (const untilMs = performance.now() + VICTIM_MS_MAX; performance.now() < untilMs; await this.#pause(200)) {
      const found = this.cluster.processes.list().filter((one) => one.kind === kind && !one.stopped);
      if (found.length > 0) return found[Math.floor(share * found.length)];
    }
    return undefined;
  }

  #worker(share: number): [string, MillraceProcess] | undefined {
    const running = new Set(this.cluster.processes.list().flatMap(({ pid, stopped }) => (stopped ? [] : [pid])));
    const found = [...this.cluster.workers].filter(([, { pid }]) => running.has(pid));
    return found[Math.floor(share * found.length)];
  }

  #named({ pid, parent, kind }: MarkedProcess): string {
    const [worker = "a worker that has gone"] = [...this.cluster.workers].find(([, one]) => one.pid === parent) ?? [];
    return `${kind} ${pid} of ${worker}`;
  }

  /** One after another, where two at a time make no sense. */
  #turn(what: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(what) ?? Promise.resolve()).then(async () => {
      while (this.#submitting > 0) await this.#change();
      await work();
    });
    this.#turns.set(what, turn);
    return turn;
  }

  /** While `work` runs something is away that is needed to submit a job. */
  async #without(work: () => Promise<void>): Promise<void> {
    this.#away++;
    try {
      await work();
    } finally {
      this.#away--;
      this.#wake();
    }
  }

  #pause(ms: number): Promise<void> {
    return pause(ms, undefined, { signal: this.signal });
  }

  #change(): Promise<void> {
    this.signal.throwIfAborted();
    return new Promise((resolve) => this.#changed.push(resolve));
  }

  #wake(): void {
    for (const wake of this.#changed.splice(0)) wake();
  }
}
