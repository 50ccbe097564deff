/**
 * Real coordinators and real workers, whose processes (instances, and hosts of operators that need devices) are the test, and what
 * can happen to them in any order.
 *
 * Faults: a process ends, or says that it has failed and lives on; a worker is out of reach for a while, then back with all it held,
 * and with commands that were kept back; a worker's machine dies and comes back under its name; another coordinator takes over,
 * with the one before still at work; jobs come and are cancelled.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { InstanceId, JobId, ServiceId, WorkerId } from "../../../src/base/ids.js";
import type { Bus, BusMessage } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { Coordinator } from "../../../src/coordinator/coordinator.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import {
  cancelJobFrame,
  describeJobFrame,
  type GpuShare,
  hostReportFrame,
  type JobReport,
  jobSpecFrame,
  type StartHost,
  type StartInstance,
  submitJobFrame,
} from "../../../src/wire/control.js";
import { decodeFrame, type LifeCycle, loadReportFrame } from "../../../src/wire/frames.js";
import { type Child, type Exit, Worker } from "../../../src/worker/worker.js";
import { namespace, subjects } from "./coordinator-cluster.js";
import { fakePorts } from "./fake-ports.js";
import { actor, gpu, needs, serviceSpec, spec } from "./job-facts.js";

/** Devices of each worker's machine, and what an instance of each job needs, and an operator of it. */
const MACHINES = [1, 2, 4];
const JOBS = [0.5, 1, 0.3, 2];
const OPERATORS = [0.4, 0, 1, 0.5];
/** It fails of something else than itself, so that it is tried for ever. */
const ELSEWHERE = "MILL_STORE_UNREACHABLE";

class Process implements Child {
  alive = true;
  asked = false;
  #end: (exit: Exit) => void = () => {};
  readonly exited = new Promise<Exit>((resolve) => {
    this.#end = resolve;
  });

  constructor(
    readonly job: JobId,
    /** Of the instance, or of the host. */
    readonly name: string,
    readonly kind: "instance" | "host",
    readonly shares: readonly GpuShare[],
  ) {}

  stop(): void {
    this.asked = true;
  }
  end(code: string): void {
    this.alive = false;
    this.#end({ code, message: code });
  }
}

/** A worker and its connection, which may be cut: what is sent to it meanwhile comes when it is back. */
class Machine {
  readonly processes: Process[] = [];
  cut = false;
  dead = false;
  readonly worker: Worker;
  #kept: (() => void)[] = [];
  readonly #granted = new Map<string, readonly GpuShare[]>();

  constructor(
    readonly world: World,
    readonly number: number,
  ) {
    this.worker = new Worker({
      bus: this.#bus(),
      ports: world.ports,
      namespace,
      worker: `w${number}` as WorkerId,
      cpus: 2,
      memoryBytes: 2 ** 36,
      gpus: Array.from({ length: MACHINES[number]! }, (_, i) => gpu(`GPU-${number}-${i}`)),
      launcher: {
        startHost: async (job, host, devices) => this.#begun(job, host, "host", devices),
        startInstance: async (job, _, instance, devices) => this.#begun(job, instance, "instance", devices),
      },
    });
  }

  #begun(job: JobId, name: string, kind: Process["kind"], devices: readonly string[] | undefined): Process {
    const shares = this.#granted.get(`${job} ${name}`)!;
    assert.deepEqual(
      devices,
      shares.map(({ uuid }) => uuid),
      "it sees what was promised to it",
    );
    const process = new Process(job, name, kind, shares);
    if (this.dead) process.alive = false;
    this.processes.push(process);
    return process;
  }

  #bus(): Bus {
    const { bus } = this.world;
    const receive = (handle: (message: BusMessage) => void) => (message: BusMessage) => {
      const { kind, header } = decodeFrame(message.payload);
      if (kind === "start-instance") {
        const { job, instance, granted } = header as StartInstance;
        if (!this.#granted.has(`${job} ${instance}`)) this.#granted.set(`${job} ${instance}`, granted.gpus);
      }
      if (kind === "start-host") {
        const { job, host, gpus } = header as StartHost;
        if (!this.#granted.has(`${job} ${host}`)) this.#granted.set(`${job} ${host}`, gpus);
      }
      if (this.dead) return;
      if (this.cut) this.#kept.push(() => handle(message));
      else handle(message);
    };
    return new Proxy(bus, {
      get: (target, name: keyof Bus) => {
        if (name === "publish")
          return async (...message: Parameters<Bus["publish"]>) => {
            if (!this.cut && !this.dead) await target.publish(...message);
          };
        if (name === "subscribe")
          return (subject: string, handle: (message: BusMessage) => void) => target.subscribe(subject, receive(handle));
        const member = target[name];
        return typeof member === "function" ? (member as () => unknown).bind(target) : member;
      },
    });
  }

  /** What was kept back comes later than what is said from now on. */
  mend(): void {
    this.cut = false;
  }

  deliver(): void {
    if (this.dead || this.cut) return;
    for (const handle of this.#kept.splice(0)) handle();
  }

  die(): void {
    this.dead = true;
    for (const process of this.processes) process.alive = false;
  }
}

class World {
  readonly ports = fakePorts();
  readonly bus = new MemoryBus(this.ports);
  readonly store = new MemoryStore();
  readonly machines: Machine[] = [];
  readonly jobs: JobId[] = [];
  #coordinators: Coordinator[] = [];
  #reports = 0n;

  get processes(): Process[] {
    return this.machines.flatMap(({ processes }) => processes).filter(({ alive }) => alive);
  }

  async lead(closeBefore: boolean): Promise<void> {
    if (closeBefore) await this.#coordinators.at(-1)?.close();
    const { bus, store, ports } = this;
    const coordinator = new Coordinator({ bus, store, ports, namespace });
    this.#coordinators.push(coordinator);
    await coordinator.open();
  }

  async boot(number: number): Promise<void> {
    const there = this.machines.find((machine) => machine.number === number && !machine.dead);
    there?.die();
    const machine = new Machine(this, number);
    this.machines.push(machine);
    await machine.worker.open();
  }

  async submit(): Promise<void> {
    if (this.jobs.length === JOBS.length) return;
    const job = `job-${this.jobs.length}` as JobId;
    const resources = needs({ gpu: JOBS[this.jobs.length]!, kind: "h200" });
    this.jobs.push(job);
    const services = [serviceSpec({ instances: 2, resources })];
    const need = { operator: "alone", thousandths: OPERATORS[this.jobs.length - 1]! * 1_000, kind: "h200" };
    const gpus = need.thousandths === 0 ? [] : [{ ...need, memoryBytes: 0n, optional: false }];
    const actors = spec.actors.map((one) => (one.actor === "alone-0" ? { ...one, gpus } : one));
    await this.store.put(jobKeys(job).spec, jobSpecFrame.encode({ ...spec, job, services, actors }));
    this.ask(submitJobFrame.encode({ job }));
  }

  ask(frame: Uint8Array): void {
    this.bus.request(subjects.coordinatorCommand, frame).catch(() => {}); // two may lead, or none
  }

  async describe(job: JobId): Promise<JobReport> {
    const answer = this.bus.request(subjects.coordinatorCommand, describeJobFrame.encode({ job }));
    await this.ports.clock.settle();
    return decodeFrame((await answer).payload).header as JobReport;
  }

  async say({ job, name: instance, kind }: Process, state: LifeCycle): Promise<void> {
    if (kind === "host") return this.sayHost(job, instance, state === "FAILED");
    const code = state === "FAILED" ? ELSEWHERE : "";
    const counts = { sequence: ++this.#reports, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs: 0n };
    const load = { service: "model", instance: instance as InstanceId, state, code, reason: code, ...counts };
    await this.bus.publish(jobSubjects(namespace, job).load("model" as ServiceId), loadReportFrame.encode(load));
  }

  /** It is up; its actors fail, where they are told to. */
  async sayHost(job: JobId, host: string, fails: boolean): Promise<void> {
    const failure = { code: "MILL_WORKER_LOST", message: "it failed" };
    const actors = fails ? [actor("alone-0", "FAILED", failure)] : [];
    const report = { host, job, sequence: ++this.#reports, actors, rowsTotal: 0n, services: [], standings: [] };
    await this.bus.publish(subjects.coordinatorReport, hostReportFrame.encode(report));
  }

  check(): void {
    const promised = new Map<string, number>();
    for (const { shares } of this.processes) {
      for (const { uuid, thousandths } of shares) promised.set(uuid, (promised.get(uuid) ?? 0) + thousandths);
    }
    for (const [uuid, thousandths] of promised)
      assert.ok(thousandths <= 1_000, `${uuid} is promised ${thousandths} times 0.001`);
  }

  async pass(ms: number): Promise<void> {
    await this.ports.clock.advance(ms);
    this.check();
  }

  async step([kind, at]: Step): Promise<void> {
    const processes = this.processes;
    const process = processes[at % Math.max(processes.length, 1)];
    const machine = this.machines[at % Math.max(this.machines.length, 1)];
    if (kind === "boot") await this.boot(at % MACHINES.length);
    else if (kind === "submit") await this.submit();
    else if (kind === "cancel" && this.jobs.length > 0)
      this.ask(cancelJobFrame.encode({ job: this.jobs[at % this.jobs.length]! }));
    else if (kind === "lead") await this.lead(at % 2 === 0);
    else if (kind === "cut" && machine !== undefined) machine.cut = true;
    else if (kind === "mend") machine?.mend();
    else if (kind === "deliver") machine?.deliver();
    else if (kind === "end") process?.end(process.asked ? "" : ELSEWHERE);
    else if (kind === "ready" && process !== undefined) await this.say(process, "READY");
    else if (kind === "fail" && process !== undefined) await this.say(process, "FAILED");
    else if (kind === "pass") await this.pass(at * 1_000);
    await this.pass(10);
  }

  /** Nothing fails any more, and what is told to end does. */
  async calm(): Promise<void> {
    for (const machine of this.machines) machine.mend();
    for (const job of this.jobs) this.ask(submitJobFrame.encode({ job })); // who was not answered asks again
    for (let i = 0; i < 40; i++) {
      if (i === 4) for (const machine of this.machines) machine.deliver();
      for (const process of this.processes) if (process.asked) process.end("");
      await this.pass(1_000);
    }
  }
}

const KINDS = ["boot", "submit", "cancel", "lead", "cut", "mend", "deliver", "end", "ready", "fail", "pass"] as const;
type Step = readonly [(typeof KINDS)[number], number];

const walk = fc.array(fc.tuple(fc.constantFrom(...KINDS), fc.integer({ min: 0, max: 14 })), { maxLength: 40 });

describe("coordinator and workers: devices, whatever happens", function () {
  this.timeout(60_000);

  it("no more of a device is promised to living processes than there is, and what fits is placed in the end (X5, W6, J9)", async () => {
    await fc.assert(
      fc.asyncProperty(walk, async (steps) => {
        const world = new World();
        await world.lead(false);
        await world.boot(1);
        await world.submit();
        for (const step of steps) await world.step(step);
        await world.calm();
        await everythingThatFits(world);
      }),
      { numRuns: 200 },
    );
  });
});

async function everythingThatFits(world: World): Promise<void> {
  const living = new Set(world.processes.map(({ job, name }) => `${job} ${name}`));
  const free = world.machines
    .filter(({ dead }) => !dead)
    .map((machine) => {
      const used = (uuid: string) =>
        machine.processes
          .filter(({ alive }) => alive)
          .flatMap(({ shares }) => shares.filter((share) => share.uuid === uuid))
          .reduce((sum, { thousandths }) => sum + thousandths, 0);
      return Array.from({ length: MACHINES[machine.number]! }, (_, i) => 1_000 - used(`GPU-${machine.number}-${i}`));
    });
  for (const [i, job] of world.jobs.entries()) {
    const { state, instances, message: waits } = await world.describe(job);
    const fitting = (need: number) =>
      free.some((devices) =>
        need < 1_000
          ? devices.some((left) => left >= need)
          : devices.filter((left) => left === 1_000).length >= need / 1_000,
      );
    const operator = OPERATORS[i]! * 1_000;
    const hosts = world.processes.filter((one) => one.kind === "host" && one.job === job && one.shares.length > 0);
    assert.ok(hosts.length <= 1, `${job} has ${hosts.length} hosts with devices`);
    if (operator > 0 && state === "DEPLOYING" && hosts.length === 0) {
      assert.match(waits, /^needs .* gpu of kind h200 for operator alone; worker /);
      assert.ok(!fitting(operator), `the host of ${job} waits: ${waits}; free are ${JSON.stringify(free)}`);
    }
    for (const { instance, worker, state: life, message } of instances) {
      if (worker !== "" && !["STOPPED", "FAILED"].includes(life))
        assert.ok(living.has(`${job} ${instance}`), `${instance}: ${life}`);
      if (worker !== "" || state !== "DEPLOYING" || life !== "REQUESTED") continue;
      assert.match(message, /^needs .* gpu of kind h200; worker /);
      assert.ok(
        !fitting(JOBS[i]! * 1_000),
        `${instance} of ${job} waits: ${message}; free are ${JSON.stringify(free)}`,
      );
    }
  }
}
