/** A coordinator with fake workers on a memory bus and store, by a clock that the test moves. */
import assert from "node:assert/strict";
import type { JobId, Namespace, ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects, jobSubjects } from "../../../src/bus/subjects.js";
import { Coordinator } from "../../../src/coordinator/coordinator.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import {
  acknowledgementFrame,
  cancelJobFrame,
  describeJobFrame,
  type JobReport,
  jobReportFrame,
  jobSpecFrame,
  submitJobFrame,
} from "../../../src/wire/control.js";
import { type LoadReport, loadReportFrame } from "../../../src/wire/frames.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { within } from "../actors/support.js";
import { fakePorts } from "./fake-ports.js";
import { FakeWorker } from "./fake-worker.js";
import { spec } from "./job-facts.js";

export const namespace = "test" as Namespace;
export const subjects = clusterSubjects(namespace);
export const job = spec.job;
export const keys = jobKeys(job as JobId);
export const beatMs = limits.heartbeatIntervalMs;
export const READ = "region-read-0";
export const ALONE = "region-alone-0";

/** Keeps every record of the regions' logs, so that the tests see what was decided from the beginning. */
export class WholeLogs extends MemoryStore {
  override async delete(key: string): Promise<void> {
    if (!key.includes("/log/")) await super.delete(key);
  }
}

export class Cluster {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly store = new WholeLogs();
  coordinator = this.#make();
  readonly workers: FakeWorker[] = [];
  readonly #created: RegionRecord[] = [];

  #make(): Coordinator {
    return new Coordinator({ bus: this.bus, store: this.store, ports: this.ports, namespace });
  }

  async open(...workers: string[]): Promise<this> {
    const create = this.store.create.bind(this.store);
    this.store.create = async (key, bytes, ...rest) => {
      const made = await create(key, bytes, ...rest);
      if (made.created && key.startsWith("jobs/"))
        this.#created.push(regionRecordFrame.decode(bytes as Uint8Array).header);
      return made;
    };
    await this.coordinator.open();
    await this.store.put(keys.spec, jobSpecFrame.encode(spec));
    for (const name of workers) await this.join(name);
    return this;
  }

  async join(name: string): Promise<FakeWorker> {
    const worker = await new FakeWorker(this.bus, namespace, name).open();
    this.workers.push(worker);
    await worker.report();
    await this.clock.settle();
    return worker;
  }

  /** Another coordinator leads; the one before was closed, or believes that it still leads. */
  async succeed(): Promise<Coordinator> {
    const before = this.coordinator;
    this.coordinator = this.#make();
    await this.coordinator.open();
    await this.clock.settle();
    return before;
  }

  async ask(frame: Uint8Array): Promise<{ code: string; message: string }> {
    const answer = this.bus.request(subjects.coordinatorCommand, frame);
    await this.clock.settle();
    return acknowledgementFrame.decode((await within("an answer", answer)).payload).header;
  }

  async submit(): Promise<{ code: string; message: string }> {
    return this.ask(submitJobFrame.encode({ job }));
  }

  async cancel(): Promise<{ code: string; message: string }> {
    return this.ask(cancelJobFrame.encode({ job }));
  }

  async describe(): Promise<JobReport> {
    const answer = this.bus.request(subjects.coordinatorCommand, describeJobFrame.encode({ job }));
    await this.clock.settle();
    return jobReportFrame.decode((await within("a description", answer)).payload).header;
  }

  /** Heartbeats of the workers in `alive`, while time passes. */
  async pass(ms: number, alive: readonly FakeWorker[] = this.workers): Promise<void> {
    for (let passed = 0; passed < ms; passed += beatMs) {
      await this.clock.advance(beatMs);
      for (const worker of alive) await worker.beat();
      await this.clock.settle();
    }
  }

  /** A job that runs on `w1` and `w2`. */
  async running(): Promise<this> {
    await this.open("w1", "w2");
    await this.submit();
    assert.equal((await this.describe()).state, "RUNNING");
    return this;
  }

  /** Every record of a region's log, also those that are no longer kept. */
  async log(region: string): Promise<RegionRecord[]> {
    return this.#created.filter((record) => record.region === region);
  }

  /** Kinds, terms and attempts of a region's log. */
  async logOf(region: string): Promise<string[]> {
    return (await this.log(region)).map(({ kind, term, attempt }) => `${kind} ${term}/${attempt}`);
  }

  /** What every worker and host was told, in the order in which it came. */
  listen(): string[] {
    const all: string[] = [];
    for (const worker of this.workers) {
      const push = worker.commands.push.bind(worker.commands);
      worker.commands.push = (...told) => all.push(...told) && push(...told);
    }
    return all;
  }

  /** The worker that holds the actors of a region, where one does. */
  holderOf(region: string): FakeWorker {
    return this.workers.find((worker) => [...worker.hosts.values()].some((host) => host.regions.has(region)))!;
  }
}

export const attemptsOf = (worker: FakeWorker, region: string) =>
  worker.commands
    .filter((command) => command.startsWith(`deploy ${region} `))
    .map((told) => Number(told.split(" ")[2]));

/** What clients of the service are told of its instances from now on. */
export async function told(cluster: Cluster): Promise<LoadReport[]> {
  const reports: LoadReport[] = [];
  const subject = jobSubjects(namespace, job as JobId).load("model" as ServiceId);
  await cluster.bus.subscribe(subject, ({ payload }) => void reports.push(loadReportFrame.decode(payload).header));
  return reports;
}
