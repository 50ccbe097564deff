import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
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
  startFrame,
  submitJobFrame,
} from "../../../src/wire/control.js";
import { type LoadReport, loadReportFrame } from "../../../src/wire/frames.js";
import { type RegionRecord, regionRecordFrame } from "../../../src/wire/stored.js";
import { within } from "../actors/support.js";
import { fakePorts } from "./fake-ports.js";
import { FakeWorker } from "./fake-worker.js";
import { spec } from "./job-facts.js";

const namespace = "test" as Namespace;
const subjects = clusterSubjects(namespace);
const job = spec.job;
const keys = jobKeys(job as JobId);
const beatMs = limits.heartbeatIntervalMs;
const READ = "region-read-0";
const ALONE = "region-alone-0";

/** Keeps every record of the regions' logs, so that the tests see what was decided from the beginning. */
class WholeLogs extends MemoryStore {
  override async delete(key: string): Promise<void> {
    if (!key.includes("/log/")) await super.delete(key);
  }
}

class Cluster {
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
      if (made.created) this.#created.push(regionRecordFrame.decode(bytes as Uint8Array).header);
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

const attemptsOf = (worker: FakeWorker, region: string) =>
  worker.commands
    .filter((command) => command.startsWith(`deploy ${region} `))
    .map((told) => Number(told.split(" ")[2]));

describe("coordinator: a job from submit to end", () => {
  it("deploys, starts, takes a last checkpoint, completes it and stops, each when the one before is done", async () => {
    const cluster = await new Cluster().open("w1", "w2");
    const all = cluster.listen();
    assert.deepEqual(await cluster.submit(), { code: "", message: "" });
    assert.equal((await cluster.describe()).state, "RUNNING");
    for (const worker of cluster.workers) for (const name of worker.instances.keys()) await worker.load(name, "READY");
    for (const worker of cluster.workers) await worker.finish(READ);
    await cluster.clock.settle();
    assert.equal((await cluster.describe()).state, "RUNNING", "finished before every region was (J2)");
    for (const worker of cluster.workers) await worker.finish();
    await cluster.clock.settle();
    const report = await cluster.describe();
    assert.deepEqual([report.state, report.code], ["FINISHED", ""]);
    assert.ok(report.finishedMs >= report.startedMs && report.startedMs > 0n);
    for (const region of [READ, ALONE]) {
      const first = (kind: string) => all.findIndex((command) => command.startsWith(`${kind} ${region} `));
      const last = (kind: string) => all.findLastIndex((command) => command.startsWith(`${kind} ${region} `));
      const steps = ["deploy", "start", "trigger", "complete", "stop-region"];
      for (const [i, kind] of steps.slice(1).entries()) {
        assert.ok(last(steps[i]!) < first(kind), `${kind} of ${region} before every ${steps[i]}: ${all.join(", ")}`);
      }
      assert.deepEqual(await cluster.logOf(region), ["FENCE 1/1", "COMMIT 1/1"]);
    }
    for (const worker of cluster.workers) {
      assert.equal(worker.told("stop-host"), worker.told("start-host"));
      assert.deepEqual([...worker.instances.values()], ["STOPPED"]);
    }
  });

  it("takes checkpoints as often as the job says, numbered by their place in the region's log (C1, C2)", async () => {
    const cluster = await new Cluster().running();
    const { withholds } = cluster.holderOf(ALONE);
    withholds.add(ALONE);
    await cluster.pass(4 * beatMs);
    const read = await cluster.log(READ);
    assert.ok(read.length >= 3, `${read.length} records`);
    assert.deepEqual(
      read.map(({ number }) => number),
      read.map((_, i) => BigInt(i + 1)),
    );
    assert.ok(read.slice(1).every(({ kind, actors }) => kind === "COMMIT" && actors.length === 2));
    assert.deepEqual(await cluster.logOf(ALONE), ["FENCE 1/1"], "nobody has acknowledged it");
    withholds.clear();
    await cluster.pass(2 * beatMs);
    const [, committed] = await cluster.log(ALONE);
    assert.equal(committed?.kind, "COMMIT");
    assert.deepEqual(
      committed!.actors.map(({ actor, finished, inline }) => [actor, finished, new TextDecoder().decode(inline)]),
      [["alone-0", false, "alone-0 at 2"]],
    );
  });

  it("says what it waits for while there is no worker, and goes on when one joins", async () => {
    const cluster = await new Cluster().open();
    await cluster.submit();
    const waiting = await cluster.describe();
    assert.equal(waiting.state, "SUBMITTED");
    assert.match(waiting.message, /no worker takes work/);
    await cluster.join("w1");
    const report = await cluster.describe();
    assert.deepEqual([report.state, report.message], ["RUNNING", ""]);
  });

  it("asked twice, at once or later, it is one job", async () => {
    const cluster = await new Cluster().open("w1");
    const both = await Promise.all([cluster.submit(), cluster.submit()]);
    const again = await cluster.submit();
    assert.deepEqual(
      [...both, again].map(({ code }) => code),
      ["", "", ""],
    );
    const [worker] = cluster.workers;
    assert.equal(worker!.told("start-host"), 1);
    assert.equal(worker!.told("start-instance"), spec.services[0]!.instances);
    await cluster.store.delete(keys.spec);
    assert.equal((await cluster.submit()).code, "", "what it knows already it does not look for");
    // Each try would listen to the instances, too: one that was given up must not, nor one that has ended.
    await cluster.cancel();
    assert.equal((await cluster.describe()).state, "CANCELLED");
    const loads = jobSubjects(namespace, job as JobId).load("model" as ServiceId);
    await assert.rejects(cluster.bus.request(loads, new Uint8Array(1)), { code: "MILL_BUS_NO_RESPONDER" });
  });

  it("what it cannot read it refuses, and forgets: the next try is taken", async () => {
    const cluster = await new Cluster().open("w1");
    await cluster.store.delete(keys.spec);
    const missing = await cluster.submit();
    assert.equal(missing.code, "MILL_STORE_NOT_FOUND");
    assert.match(missing.message, /jobs\/job-1\/spec\.avro/);
    await cluster.store.put(keys.spec, new TextEncoder().encode("no spec"));
    assert.match((await cluster.submit()).code, /^MILL_FRAME_/);
    const unknown = await cluster.ask(describeJobFrame.encode({ job }));
    assert.equal(unknown.code, "MILL_JOB_UNKNOWN");
    assert.match(unknown.message, /job-1/);
    assert.equal(await cluster.store.head(keys.open), undefined);
    await cluster.store.put(keys.spec, jobSpecFrame.encode(spec));
    assert.equal((await cluster.submit()).code, "", "the next try is taken");
  });

  it("answers what it cannot do: an unknown job, a foreign command, bytes that are no frame, an id that is none", async () => {
    const cluster = await new Cluster().open();
    assert.equal((await cluster.ask(cancelJobFrame.encode({ job: "nobody" }))).code, "MILL_JOB_UNKNOWN");
    const foreign = startFrame.encode({ term: 1n, job, region: READ, attempt: 1 });
    assert.equal((await cluster.ask(foreign)).code, "MILL_COMMAND_REFUSED");
    assert.match((await cluster.ask(new Uint8Array([1, 2, 3]))).code, /^MILL_FRAME_/);
    assert.equal((await cluster.ask(submitJobFrame.encode({ job: "../etc" }))).code, "MILL_CONFIG");
  });

  it("cancels: everything is told to stop, and the job is CANCELLED when it has (J4)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    two.obeys = false;
    assert.equal((await cluster.cancel()).code, "");
    assert.equal((await cluster.describe()).state, "FAILING");
    assert.deepEqual([one.told("stop-host"), two.told("stop-host")], [1, 1]);
    two.obeys = true;
    const records = [await cluster.logOf(READ), await cluster.logOf(ALONE)];
    await cluster.pass(limits.deployTimeoutMs + 2 * beatMs);
    const report = await cluster.describe();
    assert.deepEqual([report.state, report.code, report.message], ["CANCELLED", "", "cancelled"]);
    assert.deepEqual([await cluster.logOf(READ), await cluster.logOf(ALONE)], records, "a checkpoint was committed");
    assert.equal((await cluster.cancel()).code, "", "once more changes nothing");
    assert.equal((await cluster.describe()).state, "CANCELLED");
  });

  it("what the user has to mend fails the job at once, and is what the job says; the others are stopped (J3)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    await two.set("RUNNING", "FAILED", READ);
    await cluster.clock.settle();
    const report = await cluster.describe();
    assert.deepEqual([report.state, report.code], ["FAILED", "MILL_IMAGE_INVALID"]);
    assert.match(report.message, /read-\d is torn/);
    assert.deepEqual([one.told("stop-host"), two.told("stop-host")], [1, 1]);
  });

  for (const [kind, code] of [
    ["start-host", "MILL_BUNDLE_HASH"],
    ["deploy", "MILL_PLAN_MISMATCH"],
    ["deploy-enumerator", "MILL_SOURCE_EMPTY"],
  ] as const) {
    it(`a ${kind} that is refused with ${code} fails the job with the refusal`, async () => {
      const cluster = await new Cluster().open("w1", "w2");
      for (const worker of cluster.workers) worker.refuses.set(kind, code);
      await cluster.submit();
      const report = await cluster.describe();
      assert.deepEqual([report.state, report.code], ["FAILED", code]);
      assert.match(report.message, /w\d does not want to/);
    });

    for (const passing of ["MILL_COMMAND_REFUSED", "MILL_STORE_UNREACHABLE"]) {
      if (kind === "start-host" && passing === "MILL_COMMAND_REFUSED") continue; // its worker drains: see below
      it(`a ${kind} that is refused with ${passing} is asked again (J6)`, async () => {
        const cluster = await new Cluster().open("w1", "w2");
        for (const worker of cluster.workers) worker.refuses.set(kind, passing);
        await cluster.submit();
        await cluster.pass(3 * beatMs);
        assert.notEqual((await cluster.describe()).state, "FAILED");
        for (const worker of cluster.workers) worker.refuses.clear();
        await cluster.pass(3 * beatMs);
        assert.equal((await cluster.describe()).state, "RUNNING");
      });
    }
  }

  it("what a worker refuses, because it drains and has not said so yet, is asked of another (J1, J5)", async () => {
    const cluster = await new Cluster().open("w1", "w2");
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    for (const kind of ["start-instance", "start-host"]) two.refuses.set(kind, "MILL_COMMAND_REFUSED");
    two.draining = true;
    await cluster.submit();
    await cluster.pass(beatMs);
    assert.equal(one.instances.size, 2);
    assert.ok(two.told("start-instance") <= 1, "it was asked again before it could report");
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("a worker that refuses is asked again after its next report, and its refusals say nothing of the service (J5, K2)", async () => {
    const cluster = await new Cluster().open("w1", "w2");
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    for (const kind of ["start-instance", "start-host"]) two.refuses.set(kind, "MILL_COMMAND_REFUSED");
    two.prompt = false;
    await cluster.submit();
    await cluster.clock.settle();
    assert.deepEqual([two.told("start-instance"), one.told("start-instance")], [1, 2]);
    await two.load([...one.instances.keys()].at(-1)!, "FAILED", { code: "MILL_SERVICE_LOST" });
    for (let i = 0; i < limits.serviceLoadAttemptsMax; i++) {
      await cluster.pass(beatMs);
      await one.load([...one.instances.keys()].at(-1)!, "FAILED", { code: "MILL_WORKER_LOST" });
    }
    const { state, message } = await cluster.describe();
    assert.notEqual(state, "FAILED", message);
    assert.ok(two.told("start-instance") > limits.serviceLoadAttemptsMax, two.commands.join(", "));
  });
});

describe("coordinator: how a job ended", () => {
  it("is in the store after the end, and the job is no longer one to take up (K5)", async () => {
    const cluster = await new Cluster().running();
    assert.notEqual(await cluster.store.head(keys.open), undefined);
    for (const worker of cluster.workers) await worker.finish();
    await cluster.clock.settle();
    const told = await cluster.describe();
    assert.equal(told.state, "FINISHED");
    assert.deepEqual(jobReportFrame.decode(await cluster.store.get(keys.report)).header, told);
    assert.equal(await cluster.store.head(keys.open), undefined);
    await (await cluster.succeed()).close();
    assert.deepEqual(await cluster.describe(), told);
  });

  it("is written again until the store takes it, and the job stays open until then", async () => {
    const cluster = await new Cluster().running();
    const put = cluster.store.put.bind(cluster.store);
    let refusals = 3;
    cluster.store.put = async (key, ...rest) => {
      if (key === keys.report && refusals-- > 0) throw new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
      return put(key, ...rest);
    };
    await cluster.cancel();
    for (let i = 0; i < 3; i++) {
      assert.notEqual(await cluster.store.head(keys.open), undefined);
      await cluster.clock.advance(limits.storeBackoffMsMax);
    }
    assert.equal(jobReportFrame.decode(await cluster.store.get(keys.report)).header.state, "CANCELLED");
    assert.equal(await cluster.store.head(keys.open), undefined);
  });

  it("one that is closed before the store takes it leaves it to the next one (K5)", async () => {
    const cluster = await new Cluster().running();
    const put = cluster.store.put.bind(cluster.store);
    cluster.store.put = async (key, ...rest) => {
      if (key === keys.report) throw new MillraceError("MILL_STORE_UNREACHABLE", "no store today");
      return put(key, ...rest);
    };
    await cluster.cancel();
    await cluster.coordinator.close();
    cluster.store.put = put;
    await cluster.clock.advance(2 * limits.storeBackoffMsMax);
    assert.equal(await cluster.store.head(keys.report), undefined);
    assert.notEqual(await cluster.store.head(keys.open), undefined);
    await cluster.succeed();
    await cluster.pass(limits.adoptionMs + 2 * beatMs);
    assert.equal(jobReportFrame.decode(await cluster.store.get(keys.report)).header.state, "CANCELLED");
  });

  it("a job that has ended is not begun again, asked by a client that missed the answer", async () => {
    const cluster = await new Cluster().running();
    await cluster.cancel();
    await (await cluster.succeed()).close();
    assert.equal((await cluster.submit()).code, "");
    assert.equal((await cluster.describe()).state, "CANCELLED");
    assert.equal(await cluster.store.head(keys.open), undefined);
  });

  it("a leader that died between the report and the end of the open job has ended it (K5)", async () => {
    const cluster = await new Cluster().running();
    await cluster.cancel();
    await cluster.store.put(keys.open, new Uint8Array());
    await (await cluster.succeed()).close();
    await cluster.pass(2 * limits.adoptionMs);
    assert.equal((await cluster.describe()).state, "CANCELLED");
    assert.equal(await cluster.store.head(keys.open), undefined);
  });
});

describe("coordinator: a new one takes over", () => {
  it("claims the next term of the bucket, and its commands carry it (K4)", async () => {
    const cluster = await new Cluster().running();
    const bucket = await cluster.bus.bucket(`millrace-${namespace}`);
    const term = async () => new TextDecoder().decode((await bucket.get("term"))!.value);
    assert.equal(await term(), "1");
    for (const worker of cluster.workers) assert.deepEqual([...worker.terms], [1n]);
    await (await cluster.succeed()).close();
    assert.equal(await term(), "2");
    for (const worker of cluster.workers) worker.terms.clear();
    await cluster.pass(limits.adoptionMs + 2 * beatMs);
    for (const worker of cluster.workers) assert.deepEqual([...worker.terms], [2n]);
  });

  it("what is at work goes on: no attempt is begun, nothing is started anew, checkpoints go on (K5, C8)", async () => {
    const cluster = await new Cluster().running();
    for (const worker of cluster.workers) for (const name of worker.instances.keys()) await worker.load(name, "READY");
    await cluster.pass(2 * beatMs);
    const before = (await cluster.logOf(READ)).length;
    for (const worker of cluster.workers) worker.commands.length = 0;
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + 4 * beatMs);
    const report = await cluster.describe();
    assert.equal(report.state, "RUNNING");
    for (const worker of cluster.workers) {
      for (const kind of ["start-host", "stop-host", "start-instance", "stop-instance", "deploy", "stop-region"]) {
        assert.equal(worker.told(kind), 0, `${worker.name}: ${worker.commands.join(", ")}`);
      }
    }
    assert.deepEqual(report.instances.map(({ state, worker }) => `${worker} ${state}`).sort(), [
      "w1 READY",
      "w2 READY",
    ]);
    for (const region of [READ, ALONE]) {
      const log = (await cluster.logOf(region)).slice(before);
      assert.deepEqual([log[0], log[1]], ["FENCE 2/1", "COMMIT 2/1"], `${region}: fenced before its first checkpoint`);
      assert.ok(log.slice(1).every((record) => record === "COMMIT 2/1"));
    }
    for (const worker of cluster.workers) await worker.finish();
    await cluster.pass(2 * beatMs);
    assert.equal((await cluster.describe()).state, "FINISHED");
  });

  it("a region that is not all at work begins the next attempt from its newest commit; the others go on (K5, C8)", async () => {
    const cluster = await new Cluster().running();
    await cluster.pass(2 * beatMs);
    const held = cluster.holderOf(ALONE);
    await cluster.coordinator.close();
    held.hosts.get(held.host)!.regions.delete(ALONE);
    await cluster.succeed();
    const committed = (await cluster.log(ALONE)).findLast(({ kind }) => kind === "COMMIT")!.number;
    await cluster.pass(limits.adoptionMs + 3 * beatMs);
    assert.deepEqual([...new Set(cluster.workers.flatMap((worker) => attemptsOf(worker, ALONE)))].sort(), [1, 2]);
    const told = cluster.workers
      .flatMap(({ commands }) => commands)
      .filter((one) => one.startsWith(`deploy ${ALONE} 2`));
    assert.deepEqual(told, [`deploy ${ALONE} 2 ${committed}`]);
    assert.deepEqual([...new Set(cluster.workers.flatMap((worker) => attemptsOf(worker, READ)))], [1]);
    assert.equal((await cluster.describe()).state, "RUNNING");
    assert.ok((await cluster.logOf(ALONE)).includes("FENCE 2/2"));
  });

  it("waits for reports before it begins anything anew, but no longer than limits.adoptionMs (K5)", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.close();
    for (const worker of cluster.workers) worker.commands.length = 0;
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    await cluster.succeed();
    await cluster.pass(limits.adoptionMs - beatMs, [one]);
    assert.equal(one.told("deploy") + one.told("start-instance"), 0, one.commands.join(", "));
    await cluster.pass(3 * beatMs, [one]);
    assert.ok(one.told("deploy") > 0, "the actors of w2 were not placed anew");
    assert.equal(one.told("start-instance"), 1);
    assert.equal(two.told("deploy"), 0);
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("time in which it stood still itself is not time that others had to report (K3, K5)", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.close();
    for (const worker of cluster.workers) worker.commands.length = 0;
    await cluster.succeed();
    await cluster.clock.freeze(3 * limits.adoptionMs);
    await cluster.pass(2 * limits.adoptionMs);
    for (const worker of cluster.workers) assert.equal(worker.told("deploy"), 0, worker.commands.join(", "));
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("a worker that shows late is told to stop what it still has of the earlier leader's", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.close();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    const [oldHost, oldInstance] = [two.host, [...two.instances.keys()][0]!];
    await cluster.succeed();
    await cluster.pass(limits.adoptionMs + 3 * beatMs, [one]);
    two.commands.length = 0;
    await cluster.pass(3 * beatMs);
    assert.deepEqual(two.commands.filter((told) => told.startsWith("stop-")).sort(), [
      `stop-host ${oldHost}`,
      `stop-instance ${oldInstance}`,
    ]);
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("a job that had been cancelled stays cancelled (J3, K5)", async () => {
    const cluster = await new Cluster().running();
    for (const worker of cluster.workers) worker.obeys = false;
    assert.equal((await cluster.cancel()).code, "");
    await cluster.coordinator.close();
    for (const worker of cluster.workers) worker.obeys = true;
    await cluster.succeed();
    await cluster.pass(limits.adoptionMs + 3 * beatMs);
    assert.equal((await cluster.describe()).state, "CANCELLED");
    for (const worker of cluster.workers) {
      assert.ok([...worker.hosts.values()].every(({ state }) => state === "EXITED"));
      assert.ok([...worker.instances.values()].every((state) => state === "STOPPED"));
    }
  });

  it("tells the clients of instances that went with their worker while nobody led", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    for (const worker of cluster.workers) for (const name of worker.instances.keys()) await worker.load(name, "READY");
    const reports = await told(cluster);
    const [failed] = [...two.instances.keys()];
    await two.load(failed!, "FAILED");
    await cluster.clock.settle();
    const lost = [...two.instances.keys()].at(-1)!;
    assert.notEqual(lost, failed);
    await cluster.coordinator.close();
    await cluster.succeed();
    const known = (await cluster.describe()).instances.map(({ instance }) => instance);
    assert.ok(known.includes(lost), `it knows of ${known}`);
    await cluster.pass(limits.adoptionMs + 3 * beatMs, [one]);
    const gone = new Set(reports.filter(({ state }) => state === "FAILED").map(({ instance }) => instance));
    assert.deepEqual([...gone].sort(), [failed, lost].sort());
  });

  it("a job that it cannot read does not keep it from leading the others (K5)", async () => {
    const cluster = await new Cluster().running();
    await cluster.store.put(jobKeys("job-0" as JobId).open, new Uint8Array());
    await cluster.store.put(jobKeys("job-2" as JobId).open, new Uint8Array());
    await cluster.store.put(jobKeys("job-2" as JobId).spec, new TextEncoder().encode("no spec"));
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + beatMs);
    assert.equal((await cluster.describe()).state, "RUNNING");
    const said = cluster.ports.lines.filter(({ level }) => level === "error").map(({ fields }) => fields?.job);
    assert.deepEqual(said, ["job-0", "job-2"]);
  });

  it("one that no longer leads neither records nor acknowledges, also where no region's log tells it (K4)", async () => {
    const cluster = await new Cluster().running();
    const before = await cluster.succeed();
    await cluster.coordinator.close();
    const noted = await cluster.store.get(keys.open);
    const answer = cluster.bus.request(subjects.coordinatorCommand, cancelJobFrame.encode({ job }));
    const refused = assert.rejects(answer, { code: "MILL_BUS_TIMEOUT" });
    await cluster.clock.advance(limits.busRequestTimeoutMs);
    await within("the answer that does not come", refused);
    assert.deepEqual(await cluster.store.get(keys.open), noted);
    assert.equal(await cluster.store.head(keys.report), undefined);
    await before.close();
  });

  it("one that still believes that it leads stops for good at the first record of the new one's (K4)", async () => {
    const cluster = await new Cluster().running();
    const before = await cluster.succeed();
    await cluster.pass(limits.adoptionMs + 3 * beatMs);
    assert.ok(cluster.ports.lines.some(({ message }) => message === "another coordinator leads now"));
    for (const region of [READ, ALONE]) {
      const terms = (await cluster.log(region)).map(({ term }) => term);
      assert.deepEqual(terms, [...terms].sort(), `${region}: ${terms}`);
    }
    for (const worker of cluster.workers) worker.terms.clear();
    await cluster.pass(3 * beatMs);
    for (const worker of cluster.workers) assert.deepEqual([...worker.terms], [2n]);
    await before.close();
    assert.equal((await cluster.describe()).state, "RUNNING");
  });
});

/** What clients of the service are told of its instances from now on. */
async function told(cluster: Cluster): Promise<LoadReport[]> {
  const reports: LoadReport[] = [];
  const subject = jobSubjects(namespace, job as JobId).load("model" as ServiceId);
  await cluster.bus.subscribe(subject, ({ payload }) => void reports.push(loadReportFrame.decode(payload).header));
  return reports;
}

describe("coordinator: who is there", () => {
  it("a worker that is silent is lost: what it held begins the next attempt elsewhere, and the job goes on (K1)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    await cluster.pass(limits.heartbeatTimeoutMs, [one]);
    assert.deepEqual([one.told("stop-region"), two.told("stop-region")], [0, 0], "lost too early");
    await cluster.pass(4 * beatMs, [one]);
    assert.equal((await cluster.describe()).state, "RUNNING");
    assert.deepEqual(attemptsOf(one, READ).at(-1), 2);
    const [, { host }] = [0, { host: one.host }];
    assert.deepEqual([...one.hosts.get(host)!.regions.get(READ)!.actors.keys()].sort(), ["read-0", "read-1"]);
    assert.ok(cluster.ports.lines.some(({ message, fields }) => message === "worker lost" && fields?.worker === "w2"));
  });

  it("a region that keeps failing without a checkpoint between fails the job with MILL_WORKER_LOST naming the worker (K1)", async () => {
    const cluster = await new Cluster().running();
    for (const worker of cluster.workers) worker.withholds.add(ALONE);
    for (let i = 0; i <= limits.regionFailuresMax; i++) {
      const holder = cluster.holderOf(ALONE);
      const { host } = holder;
      holder.hosts.get(host)!.state = "EXITED";
      holder.hosts.get(host)!.regions.clear();
      await holder.report();
      await cluster.pass(2 * beatMs);
    }
    const report = await cluster.describe();
    assert.deepEqual([report.state, report.code], ["FAILED", "MILL_WORKER_LOST"]);
    assert.match(report.message, /on worker w\d ended.*6 times in a row without a checkpoint/);
  });

  it("tells the clients of a lost worker's instances, again on heartbeats for as long as silence counts", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    const [lost] = [...two.instances.keys()];
    await two.load(lost!, "READY");
    const reports = await told(cluster);
    await two.report({ stopped: true });
    await cluster.pass(3 * limits.heartbeatTimeoutMs, [one]);
    const gone = reports.filter((load) => load.state === "FAILED");
    assert.equal(gone.length, 1 + limits.heartbeatTimeoutMs / beatMs);
    assert.ok(gone.every((load) => load.instance === lost && load.code === "MILL_WORKER_LOST"));
  });

  it("an instance that hangs while it loads is given up and stopped, and another takes its place (J5)", async () => {
    const cluster = await new Cluster().running();
    const [one] = cluster.workers as [FakeWorker];
    const [hung] = [...one.instances.keys()];
    await one.load(hung!, "LOADING");
    await cluster.pass(limits.serviceLoadTimeoutMs);
    assert.equal(one.told("stop-instance"), 0, "given up too early");
    await cluster.pass(3 * beatMs);
    assert.equal(one.told("stop-instance"), 1);
    const report = await cluster.describe();
    assert.equal(report.instances.length, 3);
    const given = report.instances.find((instance) => instance.instance === hung);
    assert.deepEqual([given?.state, given?.message], ["FAILED", `${hung} was still LOADING after 120 s`]);
  });

  it("a host that is silent is lost, whatever its worker says: it is stopped and its actors begin anew (K1, J1)", async () => {
    const cluster = await new Cluster().running();
    const [, two] = cluster.workers as [FakeWorker, FakeWorker];
    const silent = two.host;
    two.silent.add(silent);
    await cluster.pass(limits.heartbeatTimeoutMs + 3 * beatMs);
    assert.equal(two.commands.filter((command) => command === `stop-host ${silent}`).length, 1);
    assert.notEqual(two.host, silent);
    await cluster.pass(3 * beatMs);
    assert.equal((await cluster.describe()).state, "RUNNING");
    assert.equal(attemptsOf(two, READ).at(-1), 2);
  });

  it("a worker that says goodbye while it still holds a host has nothing any more; its actors begin elsewhere (K1)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    two.obeys = false;
    await two.report({ stopped: true });
    await cluster.pass(2 * beatMs, [one]);
    assert.equal(attemptsOf(one, READ).at(-1), 2);
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("a worker that was started anew under its name has nothing any more of what it held (K1)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    const [lost] = [...two.instances.keys()];
    await two.load(lost!, "READY");
    const reports = await told(cluster);
    two.obeys = false;
    await new FakeWorker(cluster.bus, namespace, "w2").report();
    await cluster.pass(2 * beatMs, [one]);
    const gone = reports.filter((load) => load.state === "FAILED").map((load) => load.instance);
    assert.deepEqual([...new Set(gone)], [lost]);
    assert.ok((await cluster.logOf(READ)).includes("FENCE 1/2"));
  });

  it("time in which it stood still itself is not silence of others (K3)", async () => {
    const cluster = await new Cluster().running();
    await cluster.clock.freeze(3 * limits.heartbeatTimeoutMs);
    await cluster.pass(2 * beatMs);
    assert.equal((await cluster.describe()).state, "RUNNING");
    for (const worker of cluster.workers) assert.deepEqual([...new Set(attemptsOf(worker, READ))], [1]);
  });

  it("a late report changes nothing: of a worker, or a host, that has said more since (K1)", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    await cluster.pass(beatMs);
    for (const [id] of one.hosts.get(one.host)!.regions.get(READ)!.actors) {
      one.hosts.get(one.host)!.regions.get(READ)!.actors.set(id, "FAILED");
    }
    await one.reportHost(one.host, 1n); // was overtaken
    for (const [id] of one.hosts.get(one.host)!.regions.get(READ)!.actors) {
      one.hosts.get(one.host)!.regions.get(READ)!.actors.set(id, "RUNNING");
    }
    two.sequence = 1n;
    await two.report({ hosts: [{ host: two.host, job, state: "EXITED", code: "", message: "" }] });
    await cluster.clock.settle();
    two.sequence = 1_000n;
    await cluster.pass(beatMs);
    assert.equal((await cluster.describe()).state, "RUNNING");
    assert.equal(one.told("stop-region") + two.told("stop-region") + two.told("stop-host"), 0);
  });

  it("a command that is not answered is not sent again before its time is up, and then it is (K2, J6)", async () => {
    const cluster = await new Cluster().open("w1");
    const [worker] = cluster.workers as [FakeWorker];
    worker.obeys = false;
    await cluster.submit();
    await cluster.pass(limits.deployTimeoutMs - beatMs);
    assert.equal(worker.told("start-host"), 1);
    assert.equal(worker.told("start-instance"), 2);
    await cluster.pass(3 * beatMs);
    assert.equal(worker.told("start-host"), 2);
    worker.obeys = true;
    await cluster.pass(limits.deployTimeoutMs + 3 * beatMs);
    assert.equal((await cluster.describe()).state, "RUNNING");
    assert.equal(worker.hosts.size, 1);
  });

  it("a worker that comes back is told to stop what its jobs have given up, once", async () => {
    const cluster = await new Cluster().running();
    const [one, two] = cluster.workers as [FakeWorker, FakeWorker];
    const given = [two.host, [...two.instances.keys()][0]!];
    await cluster.pass(limits.heartbeatTimeoutMs + 3 * beatMs, [one]);
    assert.equal(two.told("stop-host") + two.told("stop-instance"), 0);
    await cluster.pass(3 * beatMs);
    const stops = two.commands.filter((command) => /^stop-(host|instance)/.test(command));
    assert.deepEqual(stops.sort(), [`stop-host ${given[0]}`, `stop-instance ${given[1]}`]);
  });

  it("shows instances with their load, and counts rows of every actor", async () => {
    const cluster = await new Cluster().running();
    const [one] = cluster.workers as [FakeWorker];
    const [name] = [...one.instances.keys()];
    await one.load(name!, "READY");
    await cluster.clock.settle();
    const report = await cluster.describe();
    const shown = report.instances.find((instance) => instance.instance === name);
    assert.deepEqual([shown?.worker, shown?.state, shown?.queuedRows, shown?.rowMs], ["w1", "READY", 4, 5]);
    assert.deepEqual([report.rowsTotal, report.rowsRead], [14n, 6n]);
  });

  it("closed, it sends, decides and writes nothing more, and leaves no timer", async () => {
    const cluster = await new Cluster().running();
    await cluster.pass(beatMs);
    const before = cluster.workers.flatMap((worker) => worker.commands).length;
    const records = await cluster.logOf(READ);
    await cluster.coordinator.close();
    for (const worker of cluster.workers) await worker.finish();
    await cluster.clock.advance(limits.heartbeatIntervalMs);
    assert.equal(cluster.workers.flatMap((worker) => worker.commands).length, before);
    assert.deepEqual(await cluster.logOf(READ), records);
    assert.equal(cluster.clock.waiting, 0);
  });
});
