import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId, Namespace, ServiceId, WorkerId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects, jobSubjects } from "../../../src/bus/subjects.js";
import {
  acknowledgementFrame,
  type Gpu,
  type Granted,
  type HostGpu,
  startFrame,
  startHostFrame,
  startInstanceFrame,
  stopHostFrame,
  stopInstanceFrame,
  type WorkerReport,
  workerReportFrame,
} from "../../../src/wire/control.js";
import { type LoadReport, loadReportFrame } from "../../../src/wire/frames.js";
import {
  type Child,
  type ChildUsage,
  type Exit,
  type Launcher,
  type Used,
  Worker,
} from "../../../src/worker/worker.js";
import { gate, isOpen, within } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const namespace = "test" as Namespace;
const job = "job-1";
const subjects = clusterSubjects(namespace);
const NONE: Granted = { cpu: 0, memoryBytes: 0n, gpus: [] };
const CLEAN: Exit = { code: "", message: "" };

/** A process that does what the test says. */
class FakeChild implements Child {
  stops = 0;
  end: (exit: Exit) => void = () => {};
  readonly exited = new Promise<Exit>((resolve) => {
    this.end = resolve;
  });
  stop(): void {
    this.stops++;
  }
  usage(): ChildUsage | undefined {
    return this.uses;
  }
  /** undefined: it cannot be measured. */
  uses: ChildUsage | undefined;
}

class Bench {
  readonly ports = fakePorts();
  readonly clock = this.ports.clock;
  readonly bus = new MemoryBus(this.ports);
  readonly reports: WorkerReport[] = [];
  readonly loads: LoadReport[] = [];
  readonly launches: string[] = [];
  readonly devices = new Map<string, readonly string[] | undefined>();
  readonly children = new Map<string, FakeChild>();
  /** What starting a process waits for. */
  launching: Promise<void> = Promise.resolve();
  /** Of its machine; undefined: it cannot be measured. */
  used: Used | undefined;
  readonly worker: Worker;

  constructor(gpus: readonly Gpu[] = []) {
    const launch = async (what: string, devices: readonly string[] | undefined) => {
      this.launches.push(what);
      this.devices.set(what, devices);
      await this.launching;
      const child = new FakeChild();
      this.children.set(what, child);
      return child;
    };
    const launcher: Launcher = {
      startHost: (_, host, devices) => launch(host, devices),
      startInstance: (_, __, instance, devices) => launch(instance, devices),
    };
    const about = { worker: "w1" as WorkerId, cpus: 4, memoryBytes: 1024, gpus, launcher };
    this.worker = new Worker({ bus: this.bus, ports: this.ports, namespace, ...about, used: () => this.used });
  }

  async open(): Promise<this> {
    await this.bus.subscribe(subjects.coordinatorReport, ({ payload }) => {
      this.reports.push(workerReportFrame.decode(payload).header);
    });
    await this.bus.subscribe(jobSubjects(namespace, job as JobId).load("model" as ServiceId), ({ payload }) => {
      this.loads.push(loadReportFrame.decode(payload).header);
    });
    await this.worker.open();
    await this.clock.settle();
    return this;
  }

  async tell(frame: Uint8Array): Promise<{ code: string; message: string }> {
    const answer = this.bus.request(subjects.workerCommand("w1" as WorkerId), frame);
    await this.clock.settle();
    return acknowledgementFrame.decode((await within("an acknowledgement", answer)).payload).header;
  }
  startHost(host = "h1", term = 1n, gpus: readonly HostGpu[] = []) {
    return this.tell(startHostFrame.encode({ term, job, host, group: gpus.length > 0 ? "g" : "", gpus }));
  }
  stopHost(host = "h1", term = 1n) {
    return this.tell(stopHostFrame.encode({ term, job, host }));
  }
  startInstance(instance = "model-0", term = 1n, granted = NONE) {
    return this.tell(startInstanceFrame.encode({ term, job, service: "model", instance, granted }));
  }
  stopInstance(instance = "model-0", term = 1n) {
    return this.tell(stopInstanceFrame.encode({ term, job, service: "model", instance }));
  }

  async ends(what: string, exit: Exit = CLEAN): Promise<void> {
    this.children.get(what)!.end(exit);
    await this.clock.settle();
  }

  get last(): WorkerReport {
    return this.reports.at(-1)!;
  }
  host(name = "h1") {
    return this.last.hosts.find((host) => host.host === name);
  }
  instance(name = "model-0") {
    return this.last.instances.find((instance) => instance.instance === name);
  }
}

describe("worker: starting and stopping", () => {
  it("starts what it is told to once, however often it is told", async () => {
    const bench = await new Bench().open();
    for (let i = 0; i < 3; i++) {
      assert.equal((await bench.startHost()).code, "");
      assert.equal((await bench.startInstance()).code, "");
    }
    assert.deepEqual(bench.launches, ["h1", "model-0"]);
    assert.equal(bench.host()?.state, "RUNNING");
    assert.equal(bench.instance()?.state, "PROVISIONING");
  });

  it("what has ended is not started again by a command that comes late (W1)", async () => {
    const bench = await new Bench().open();
    await bench.startHost();
    await bench.stopHost();
    await bench.ends("h1");
    assert.equal((await bench.startHost()).code, "");
    assert.deepEqual(bench.launches, ["h1"]);
    assert.equal(bench.host()?.state, "EXITED");
  });

  it("what it was told to stop first is never started, and reported as ended (W1)", async () => {
    const bench = await new Bench().open();
    assert.equal((await bench.stopHost()).code, "");
    assert.equal((await bench.stopInstance()).code, "");
    await bench.startHost();
    await bench.startInstance();
    assert.deepEqual(bench.launches, []);
    assert.deepEqual([bench.host()?.state, bench.instance()?.state], ["EXITED", "STOPPED"]);
  });

  it("stops one that was still being started as soon as it is there (W1)", async () => {
    const bench = new Bench();
    const launch = gate();
    bench.launching = launch.promise;
    await bench.open();
    await bench.startInstance();
    await bench.stopInstance();
    launch.open();
    await bench.clock.settle();
    assert.equal(bench.children.get("model-0")!.stops, 1);
    await bench.ends("model-0");
    assert.deepEqual([bench.instance()?.state, bench.instance()?.code], ["STOPPED", ""]);
  });

  it("one that is never there counts as ended in the end, and is stopped if it comes after all (W1)", async () => {
    const bench = new Bench();
    const launch = gate();
    bench.launching = launch.promise;
    await bench.open();
    await bench.startInstance();
    await bench.startHost();
    const closed = bench.worker.close();
    await bench.clock.advance(limits.drainTimeoutMs - 1);
    assert.equal(await isOpen(closed), true);
    await bench.clock.advance(1);
    await within("the worker to leave", closed);
    assert.deepEqual([bench.instance()?.state, bench.host()?.state], ["STOPPED", "EXITED"]);
    assert.match(bench.host()!.message, /still being started long after it was told to stop/);
    const before = bench.reports.length;
    launch.open();
    await bench.clock.settle();
    assert.deepEqual(
      [...bench.children.values()].map(({ stops }) => stops),
      [1, 1],
    );
    await bench.ends("model-0");
    assert.deepEqual([bench.reports.length, bench.clock.waiting], [before, 0]);
  });

  it("tells a process to stop once, and what it asked for is no failure, however it ends (W4)", async () => {
    const bench = await new Bench().open();
    await bench.startInstance();
    await bench.stopInstance();
    await bench.stopInstance();
    assert.equal(bench.children.get("model-0")!.stops, 1);
    await bench.ends("model-0", { code: "MILL_SERVICE_LOST", message: "it was ended by SIGKILL" });
    assert.deepEqual([bench.instance()?.state, bench.instance()?.code], ["STOPPED", ""]);
  });

  it("refuses what is no command of a worker and what is no frame, and goes on", async () => {
    const bench = await new Bench().open();
    const foreign = await bench.tell(startFrame.encode({ term: 1n, job, attempt: 1, region: "region-read-0" }));
    assert.equal(foreign.code, "MILL_COMMAND_REFUSED");
    assert.match((await bench.tell(new Uint8Array([7]))).code, /^MILL_FRAME_/);
    assert.equal((await bench.startHost()).code, "");
  });
});

describe("worker: reports", () => {
  it("reports on every change and on a heartbeat, each time all there is (W2)", async () => {
    const bench = await new Bench().open();
    assert.equal(bench.reports.length, 1, "it says hello");
    await bench.startHost();
    await bench.startInstance();
    const before = bench.reports.length;
    assert.ok(before > 1);
    await bench.ends("h1", { code: "MILL_BUNDLE_HASH", message: "not what was submitted" });
    assert.equal(bench.reports.length, before + 1);
    await bench.clock.advance(2 * limits.heartbeatIntervalMs);
    assert.equal(bench.reports.length, before + 3);
    const { hosts, instances, cpus, memoryBytes } = bench.last;
    const ended = { code: "MILL_BUNDLE_HASH", message: "not what was submitted" };
    assert.deepEqual(hosts, [{ host: "h1", job, state: "EXITED", group: "", gpus: [], ...ended }]);
    const lives = {
      code: "",
      message: "",
      granted: NONE,
      startedMs: instances[0]!.startedMs,
      endedMs: 0n,
      launched: true,
    };
    assert.deepEqual(instances, [{ job, service: "model", instance: "model-0", state: "PROVISIONING", ...lives }]);
    assert.ok(lives.startedMs > 0n, "and since when");
    assert.deepEqual([cpus, memoryBytes], [4, 1024n]);
    assert.ok(bench.reports.every((one, i) => i === 0 || one.sequence > bench.reports[i - 1]!.sequence));
  });

  it("changes of many that come at once are reported together, soon, and the last report has all (W2)", async () => {
    const bench = await new Bench().open();
    const count = 10 * limits.workerReportAtOnceMax;
    await Promise.all(Array.from({ length: count }, (_, i) => bench.startInstance(`model-${i}`)));
    await bench.clock.advance(limits.workerReportPauseMs);
    assert.equal(bench.last.instances.length, count);
    assert.ok(bench.reports.length < 2 * limits.workerReportAtOnceMax, `${bench.reports.length} reports`);
    const before = bench.reports.length;
    await bench.clock.advance(limits.workerReportPauseMs);
    for (const name of ["model-1", "model-2", "model-3"])
      await bench.ends(name, { code: "MILL_SERVICE_LOST", message: "" });
    assert.equal(bench.reports.length, before + 1, "the first at once");
    await bench.clock.advance(limits.workerReportPauseMs);
    assert.equal(bench.reports.length, before + 2, "the others together");
    assert.equal(bench.last.instances.filter(({ state }) => state === "FAILED").length, 3);
  });

  it("a process that cannot be started is reported with the reason", async () => {
    const bench = new Bench();
    bench.launching = Promise.reject(new MillraceError("MILL_BUNDLE_PACKAGE", "package sharp is missing"));
    bench.launching.catch(() => {});
    await bench.open();
    assert.equal((await bench.startInstance()).code, "", "the command itself was taken");
    const told = bench.instance();
    assert.deepEqual(
      [told?.state, told?.code, told?.message],
      ["FAILED", "MILL_BUNDLE_PACKAGE", "package sharp is missing"],
    );
  });

  it("forgets the oldest of what has ended, and never what runs", async () => {
    const bench = await new Bench().open();
    await bench.startHost("kept");
    for (let i = 0; i < limits.workerEndedMax + 3; i++) await bench.stopHost(`h${i}`);
    await bench.clock.advance(limits.workerReportPauseMs);
    const names = bench.last.hosts.map((host) => host.host);
    assert.equal(names.length, limits.workerEndedMax + 1);
    assert.ok(names.includes("kept") && names.includes(`h${limits.workerEndedMax + 2}`));
    assert.ok(!names.includes("h2"));
  });
});

describe("worker: an instance that ends", () => {
  for (const [how, exit, code, words] of [
    ["with an error", { code: "MILL_MODEL_CORRUPT", message: "no model" }, "MILL_MODEL_CORRUPT", /no model/],
    ["by a signal", { code: "MILL_SERVICE_LOST", message: "ended by SIGKILL" }, "MILL_SERVICE_LOST", /SIGKILL/],
    ["without a word", CLEAN, "MILL_SERVICE_LOST", /ended by itself/],
  ] as const) {
    it(`${how}, not told to, is FAILED, and its clients are told (W4)`, async () => {
      const bench = await new Bench().open();
      await bench.startInstance();
      await bench.ends("model-0", exit);
      assert.deepEqual([bench.instance()?.state, bench.instance()?.code], ["FAILED", code]);
      const [load] = bench.loads;
      assert.deepEqual([bench.loads.length, load?.state, load?.code], [1, "FAILED", code]);
      assert.match(load!.reason, words);
      assert.ok(load!.sequence > 2n ** 60n, "above whatever it said itself");
    });
  }

  it("clients are told again on heartbeats, for as long as silence counts, and then no more (W4)", async () => {
    const bench = await new Bench().open();
    await bench.startInstance();
    await bench.stopInstance();
    await bench.ends("model-0");
    await bench.clock.advance(limits.heartbeatTimeoutMs);
    const beats = limits.heartbeatTimeoutMs / limits.heartbeatIntervalMs;
    assert.equal(bench.loads.length, 1 + beats);
    assert.ok(bench.loads.every((load) => load.state === "STOPPED" && load.code === ""));
    await bench.clock.advance(limits.heartbeatTimeoutMs);
    assert.equal(bench.loads.length, 1 + beats);
  });

  it("a host that ends by itself is EXITED without a code: whether it was missed is the job's to say", async () => {
    const bench = await new Bench().open();
    await bench.startHost();
    await bench.ends("h1");
    const told = bench.host();
    assert.deepEqual([told?.state, told?.code, told?.message], ["EXITED", "", "its process ended by itself"]);
    assert.deepEqual(bench.loads, []);
  });
});

describe("worker: leaving", () => {
  it("draining, it takes nothing new and leaves when what it holds has ended by itself (W3)", async () => {
    const bench = await new Bench().open();
    await bench.startHost();
    await bench.startInstance();
    const drained = bench.worker.drain();
    await bench.clock.settle();
    assert.equal(bench.last.draining, true);
    const refused = await bench.startInstance("model-1");
    assert.equal(refused.code, "MILL_COMMAND_REFUSED");
    assert.match(refused.message, /worker w1 is draining/);
    assert.equal((await bench.startHost()).code, "", "what it has it may be asked for again");
    await bench.ends("h1");
    assert.ok(await isOpen(drained), "left while it held an instance");
    assert.equal(bench.children.get("model-0")!.stops, 0, "a drain stops nothing");
    await bench.stopInstance();
    await bench.ends("model-0");
    await within("the end of the drain", drained);
    await bench.clock.settle();
    assert.equal(bench.last.stopped, true);
    assert.deepEqual(bench.launches, ["h1", "model-0"]);
    assert.equal(bench.clock.waiting, 0);
  });

  it("drains at once when it holds nothing", async () => {
    const bench = await new Bench().open();
    await within("the end of the drain", bench.worker.drain());
    await bench.clock.settle();
    assert.equal(bench.last.stopped, true);
  });

  it("closed, it stops all it holds, what is still being started too, and then leaves (W1)", async () => {
    const bench = await new Bench().open();
    await bench.startHost();
    const launch = gate();
    bench.launching = launch.promise;
    await bench.startInstance();
    const closed = bench.worker.close();
    assert.equal(bench.children.get("h1")!.stops, 1);
    await bench.ends("h1");
    assert.ok(await isOpen(closed), "left while it started an instance");
    launch.open();
    await bench.clock.settle();
    assert.equal(bench.children.get("model-0")!.stops, 1);
    await bench.ends("model-0");
    await within("the close", closed);
    assert.equal(bench.worker.holds, 0);
  });

  it("a drain that lasts too long can be cut short by a close; both end, one goodbye is said", async () => {
    const bench = await new Bench().open();
    await bench.startHost();
    const both = Promise.all([bench.worker.drain(), bench.worker.close()]);
    await bench.clock.settle();
    await bench.ends("h1");
    await within("drain and close", both);
    await bench.clock.settle();
    assert.equal(bench.reports.filter((report) => report.stopped).length, 1);
  });
});

describe("worker: terms", () => {
  it("refuses every command of an older term, and it changes nothing (W5)", async () => {
    const bench = await new Bench().open();
    await bench.startHost("h1", 2n);
    for (const late of [
      await bench.startHost("h2", 1n),
      await bench.startInstance("model-0", 1n),
      await bench.stopHost("h1", 1n),
      await bench.stopInstance("model-0", 1n),
    ]) {
      assert.equal(late.code, "MILL_TERM_OVER");
      assert.match(late.message, /term 1 is over; the coordinator of term 2 leads/);
    }
    assert.deepEqual(bench.launches, ["h1"]);
    assert.equal(bench.children.get("h1")!.stops, 0);
    assert.equal((await bench.startInstance("model-0", 2n)).code, "", "it was not kept as never to be started");
    assert.equal((await bench.stopHost("h1", 3n)).code, "");
    assert.equal(bench.children.get("h1")!.stops, 1);
  });
});

describe("worker: devices", () => {
  const gpus = [
    { uuid: "GPU-1", kind: "NVIDIA H200", memoryBytes: 1n },
    { uuid: "GPU-2", kind: "NVIDIA H200", memoryBytes: 1n },
  ];
  const of = (...shares: (readonly [string, number])[]): Granted => ({
    ...NONE,
    gpus: shares.map(([uuid, thousandths]) => ({ uuid, thousandths, memoryBytes: 0n })),
  });

  it("an instance sees those that were promised to it, everything else none; reports repeat both (W6)", async () => {
    const bench = await new Bench(gpus).open();
    const promised = of(["GPU-2", 1_000], ["GPU-1", 1_000]);
    await bench.startInstance("large-0", 1n, promised);
    await bench.startInstance("model-0");
    await bench.startHost();
    assert.deepEqual(Object.fromEntries(bench.devices), { "large-0": ["GPU-2", "GPU-1"], "model-0": [], h1: [] });
    assert.deepEqual(bench.last.gpus, gpus);
    assert.deepEqual(bench.instance("large-0")?.granted, promised);
  });

  it("a host sees those of its operators, each once, and is refused what is not free (W6)", async () => {
    const bench = await new Bench(gpus).open();
    const part = (operator: string, uuid: string, thousandths: number) => {
      return { operator, uuid, thousandths, memoryBytes: 0n };
    };
    const own = [part("a", "GPU-1", 500), part("b", "GPU-1", 300), part("c", "GPU-2", 1_000)];
    assert.equal((await bench.startHost("h2", 1n, own)).code, "");
    assert.deepEqual(bench.devices.get("h2"), ["GPU-1", "GPU-2"]);
    const told = bench.last.hosts.find(({ host }) => host === "h2");
    assert.deepEqual([told?.group, told?.gpus], ["g", own]);
    const twice = await bench.startHost("h3", 1n, [part("a", "GPU-1", 150), part("b", "GPU-1", 150)]);
    assert.equal(twice.code, "MILL_COMMAND_REFUSED");
    await bench.ends("h2");
    assert.equal((await bench.startHost("h3", 1n, [part("a", "GPU-1", 150), part("b", "GPU-1", 150)])).code, "");
  });

  it("a worker that offers none says nothing about them (W6)", async () => {
    const bench = await new Bench().open();
    await bench.startInstance();
    await bench.startHost();
    assert.deepEqual([...bench.devices.values()], [undefined, undefined]);
  });

  it("refuses what is not free, whoever promised it, until the process that holds it has ended (W6)", async () => {
    const bench = await new Bench(gpus).open();
    assert.equal((await bench.startInstance("a", 1n, of(["GPU-1", 600]))).code, "");
    assert.equal((await bench.startInstance("b", 2n, of(["GPU-1", 400]))).code, "");
    const third = await bench.startInstance("c", 3n, of(["GPU-2", 1_000], ["GPU-1", 1]));
    assert.equal(third.code, "MILL_COMMAND_REFUSED");
    assert.match(third.message, /worker w1 has 0 of gpu GPU-1 free, and c was promised 0\.001 of it/);
    assert.equal((await bench.startInstance("a", 3n, of(["GPU-1", 600]))).code, "", "it is there already");
    await bench.stopInstance("a", 3n);
    assert.equal(
      (await bench.startInstance("c", 3n, of(["GPU-1", 500]))).code,
      "MILL_COMMAND_REFUSED",
      "it still ends",
    );
    await bench.ends("a");
    assert.equal((await bench.startInstance("c", 3n, of(["GPU-1", 500]))).code, "");
    const unknown = await bench.startInstance("d", 3n, of(["GPU-9", 1]));
    assert.match(unknown.message, /worker w1 has no gpu GPU-9 free/);
    assert.deepEqual(bench.launches, ["a", "b", "c"]);
  });
});

describe("worker: what is used of its machine", () => {
  it("nothing is said where it cannot be measured", async () => {
    const bench = await new Bench().open();
    await bench.clock.advance(2 * limits.heartbeatIntervalMs);
    assert.ok(bench.reports.every(({ usage }) => usage === null));
    await bench.worker.close();
  });

  it("memory, processors that worked since the heartbeat before, and its processes as far as they can be measured", async () => {
    const bench = await new Bench().open();
    await bench.startHost("h1");
    await bench.startInstance("model-0");
    bench.children.get("model-0")!.uses = { rssBytes: 300, cpuMs: 20.4 };
    bench.used = { memoryBytes: 5_000, cpuMs: 100_000, rssBytes: 70 };
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.equal(bench.last.usage!.cpus, 0, "there is nothing to compare with");
    bench.used = { ...bench.used, cpuMs: 100_000 + 1.5 * limits.heartbeatIntervalMs };
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.deepEqual(bench.last.usage, {
      ...{ memoryBytes: 5_000n, cpus: 1.5, rssBytes: 70n },
      processes: [{ job, name: "model-0", rssBytes: 300n, cpuMs: 20n }],
    });
    await bench.ends("model-0");
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.deepEqual(bench.last.usage!.processes, []);
    for (const child of bench.children.values()) child.end(CLEAN);
    await bench.worker.close();
  });
});
