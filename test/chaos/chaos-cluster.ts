/** Coordinator and workers as processes on servers of their own, and the ways in which they are harmed. */
import { randomUUID } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../../src/base/real/ports.js";
import type { ObjectStore } from "../../src/storage/object-store.js";
import { openStore } from "../../src/storage/open-store.js";
import { MillraceProcess } from "../e2e/millrace-process.js";
import { MarkedProcesses } from "./marked-processes.js";
import { type ChaosServers, startServers } from "./restartable-servers.js";

const UP_MS_MAX = 60_000;
const STOP_MS_MAX = 10_000;

export class ChaosCluster {
  readonly processes = new MarkedProcesses(randomUUID());
  #servers: ChaosServers | undefined;
  #store: ObjectStore | undefined;
  #folder = "";
  #coordinator: MillraceProcess | undefined;
  #workers = new Map<string, MillraceProcess>();
  #started = 0;
  #ended: Promise<void>[] = [];
  #mayEnd = new Set<MillraceProcess>();
  #stopping = false;

  /** @param logs where to write what each process said; empty: nowhere */
  constructor(
    private readonly logs: string,
    private readonly say: (what: string, about: string) => void,
  ) {}

  async start(workers: readonly string[]): Promise<void> {
    this.#folder = await mkdtemp(join(tmpdir(), "millrace-chaos-"));
    if (this.logs !== "") mkdirSync(this.logs, { recursive: true });
    this.#servers = await startServers();
    this.#store = openStore(this.#servers.env.MILLRACE_STORE!, { s3: this.#servers.s3 }, realPorts());
    await Promise.all([this.startCoordinator(), ...workers.map((name) => this.startWorker(name))]);
  }

  get servers(): ChaosServers {
    if (this.#servers === undefined) throw new Error("the cluster has not been started");
    return this.#servers;
  }
  get store(): ObjectStore {
    if (this.#store === undefined) throw new Error("the cluster has not been started");
    return this.#store;
  }
  get folder(): string {
    return this.#folder;
  }
  get coordinator(): MillraceProcess {
    return this.#coordinator!;
  }
  get workers(): ReadonlyMap<string, MillraceProcess> {
    return this.#workers;
  }

  /** From now on it is the one that is meant to lead. */
  async startCoordinator(): Promise<void> {
    const coordinator = this.run("coordinator");
    await coordinator.says("leads", UP_MS_MAX); // a lease may have to run out
    this.#coordinator = coordinator;
    this.#watch(coordinator, () => this.startCoordinator());
  }

  async startWorker(name: string): Promise<void> {
    const worker = this.run("worker", "--name", name);
    await worker.says("is up", UP_MS_MAX);
    this.#workers.set(name, worker);
    this.#watch(worker, () => this.startWorker(name));
  }

  /** Its end is what somebody wants. */
  expectEnd(process: MillraceProcess): void {
    this.#mayEnd.add(process);
  }

  /** As whoever supervises processes does: what cannot start because a server is away is started again. */
  async keepTrying(start: () => Promise<void>): Promise<void> {
    for (const untilMs = performance.now() + UP_MS_MAX; !this.#stopping; ) {
      try {
        return await start();
      } catch (error) {
        if (performance.now() > untilMs) throw error;
        await pause(500);
      }
    }
  }

  /** What ends by itself is a finding, and is started again. */
  #watch(process: MillraceProcess, start: () => Promise<void>): void {
    void process.ended.then(({ status, signal, stderr }) => {
      if (this.#stopping || this.#mayEnd.has(process)) return;
      this.say(
        "ENDED",
        `millrace ${process.args.join(" ")} (${process.pid}), ${signal ?? status}: ${stderr.trim().slice(-500)}`,
      );
      void this.keepTrying(start);
    });
  }

  /** Any `millrace` command, as one of this run's processes. */
  run(...args: string[]): MillraceProcess {
    const cache = { MILLRACE_CACHE: join(this.#folder, "cache") };
    const env = { ...this.#servers?.env, ...cache, ...this.processes.env };
    const verbose = this.logs === "" ? [] : ["--log-level", args[0] === "submit" ? "info" : "debug"];
    const one = new MillraceProcess([...verbose, ...args], { env });
    const file = join(this.logs, `${String(++this.#started).padStart(3, "0")}-${args[0]}-${one.pid}.log`);
    const ended = one.ended.then(({ status, signal, stdout, stderr }) => {
      if (this.logs !== "") writeFileSync(file, `${stdout}\n${stderr}\nended with ${signal ?? status}\n`);
    });
    this.#ended.push(ended);
    return one;
  }

  /** Ends everything, whatever state it is in; nothing of this run is left. */
  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { pid, kind } of this.processes.list()) {
      this.processes.signal(pid, "SIGCONT");
      // A worker that is told twice does not wait for its hosts.
      if (kind !== "host" && kind !== "instance") this.processes.signal(pid, "SIGTERM");
    }
    const untilMs = performance.now() + STOP_MS_MAX;
    while (this.processes.list().length > 0 && performance.now() < untilMs) {
      await pause(100);
      for (const { pid, kind } of this.processes.list()) if (kind === "worker") this.processes.signal(pid, "SIGTERM");
    }
    this.processes.release();
    await Promise.all(this.#ended);
    await this.#store?.close();
    await Promise.all([this.#servers?.nats.stop(), this.#servers?.store.stop()]);
    if (this.#folder !== "") await rm(this.#folder, { recursive: true, force: true });
  }
}
