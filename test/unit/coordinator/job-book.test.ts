import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import type { ActorState, HostReport, WorkerReport } from "../../../src/wire/control.js";
import type { LoadReport } from "../../../src/wire/frames.js";
import { fakePorts } from "./fake-ports.js";
import { actor, granted, serviceSpec, spec } from "./job-facts.js";

const HOST = "job-1-w1-1";

function setUp() {
  const { clock } = fakePorts();
  const book = new JobBook(spec, clock);
  book.regions.get("region-read-0")!.attempt = 1;
  book.expectHost(HOST, "w1");
  book.expectInstance({ instance: "model-0" as InstanceId, service: "model", worker: "w1", granted: granted() });
  const [hostFacts, instanceFacts] = [
    () => book.facts([], 1n, () => []).hosts[0]!,
    () => book.facts([], 1n, () => []).instances[0]!,
  ];
  return { clock, book, host: hostFacts, instance: instanceFacts };
}

function stateOf(book: JobBook): ActorState | undefined {
  return [...book.regions.get("region-read-0")!.told()].find(({ actor }) => actor === "read-0")?.state;
}

function hostReport(sequence: bigint, state: ActorState, about: { host?: string; read?: bigint } = {}): HostReport {
  const actors = [actor("read-0", state, { rowsRead: about.read ?? 0n, deadLetters: 1n })];
  return { host: about.host ?? HOST, job: spec.job, sequence, actors, rowsTotal: 9n, services: [], standings: [] };
}

function workerReport(
  worker: string,
  about: { host?: string; instance?: string; code?: string; job?: string; launched?: boolean },
): WorkerReport {
  const { code = "", job = spec.job } = about;
  const told = { job, code, message: code };
  const times = { startedMs: 2_000n, endedMs: 0n, launched: about.launched ?? true };
  return {
    worker,
    sequence: 1n,
    cpus: 2,
    memoryBytes: 0n,
    gpus: [],
    draining: false,
    stopped: false,
    usage: null,
    hosts: about.host === undefined ? [] : [{ host: HOST, state: about.host, group: "", gpus: [], ...told }],
    instances:
      about.instance === undefined
        ? []
        : [{ service: "model", instance: "model-0", state: about.instance, granted: granted(), ...told, ...times }],
  };
}

function load(state: LoadReport["state"], about: Partial<LoadReport> = {}): LoadReport {
  const counts = { sequence: 1n, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs: 0n };
  return { service: "model", instance: "model-0", state, reason: "", code: "", ...counts, ...about };
}

describe("coordinator/job-book: what is being written", () => {
  it("is a region's record, what is deleted of its old ones, or a savepoint (J4)", () => {
    const { book } = setUp();
    const writing = () => book.facts([], 1n, () => []).writing;
    const region = book.regions.get("region-read-0")!;
    assert.equal(writing(), false);
    region.writing = true;
    assert.equal(writing(), true);
    region.writing = false;
    region.cleaning = true;
    assert.equal(writing(), true);
    region.cleaning = false;
    book.recording = true;
    assert.equal(writing(), true);
  });
});

describe("coordinator/job-book: hosts", () => {
  it("a host is up when it has reported, and that is a change; the same again is none", () => {
    const { book, host } = setUp();
    assert.equal(host().state, "asked");
    assert.equal(book.onHost(hostReport(1n, "DEPLOYED")), true);
    assert.equal(host().state, "up");
    assert.equal(book.onHost(hostReport(2n, "DEPLOYED", { read: 5n })), false);
    assert.equal(book.onHost(hostReport(3n, "RUNNING")), true);
  });

  it("a report that was overtaken, or of a host that nobody asked for, changes nothing (K1)", () => {
    const { book } = setUp();
    book.onHost(hostReport(5n, "FINISHED"));
    assert.equal(book.onHost(hostReport(4n, "RUNNING")), false);
    assert.equal(book.onHost(hostReport(5n, "FAILED")), false);
    assert.equal(book.onHost(hostReport(6n, "FAILED", { host: "job-1-other" })), false);
    assert.equal(stateOf(book), "FINISHED");
  });

  it("one that is gone stays gone, whatever of it still arrives", () => {
    const { book, host } = setUp();
    book.onHost(hostReport(1n, "RUNNING"));
    book.onWorkerGone("w1", "its worker fell silent");
    assert.equal(book.onHost(hostReport(2n, "FINISHED")), false);
    assert.equal(host().state, "gone");
    assert.match(host().failure!.message, /job-1-w1-1 on worker w1 ended: its worker fell silent/);
    assert.equal(stateOf(book), "RUNNING");
  });

  it("its own worker says that it has ended, and with which code; another cannot", () => {
    const { book, host } = setUp();
    book.onWorker(workerReport("w2", { host: "EXITED" }));
    book.onWorker(workerReport("w1", { host: "RUNNING" }));
    assert.equal(host().state, "asked");
    book.onWorker(workerReport("w1", { host: "EXITED", code: "MILL_BUNDLE_HASH" }));
    assert.deepEqual([host().state, host().failure?.code], ["gone", "MILL_BUNDLE_HASH"]);
  });

  it("silence is counted from its last report, without the time in which nothing could be heard (K3)", async () => {
    const { clock, book, host } = setUp();
    book.onHost(hostReport(1n, "RUNNING"));
    await clock.freeze(1_000);
    book.expire(1_000, 0);
    assert.equal(host().state, "up");
    await clock.freeze(5_000);
    book.expire(1_000, 5_000);
    assert.equal(host().state, "up");
    await clock.freeze(1);
    book.expire(1_000, 0);
    assert.equal(host().state, "gone");
    assert.match(host().failure!.message, /it fell silent/);
  });

  it("asked for again, it keeps what is known of it", () => {
    const { book, host } = setUp();
    book.onHost(hostReport(1n, "DEPLOYED"));
    book.expectHost(HOST, "w2");
    assert.deepEqual([host().state, host().worker], ["up", "w1"]);
  });
});

describe("coordinator/job-book: a host that never reports (J11 of coordinator/job)", () => {
  const limitMs = limits.processStartTimeoutMs;

  it("is gone when that has taken too long, counted from when its worker first told of it, and is stopped", async () => {
    const { clock, book, host } = setUp();
    book.enter("DEPLOYING");
    await clock.freeze(2 * limitMs);
    book.expire(1_000, 0);
    assert.equal(host().state, "asked", "its worker has not begun");
    book.onWorker(workerReport("w1", { host: "STARTING" }));
    await clock.freeze(limitMs);
    book.onWorker(workerReport("w1", { host: "RUNNING" }));
    book.expire(1_000, 0);
    assert.deepEqual([host().state, book.describe().message], ["asked", ""]);
    await clock.freeze(5_000);
    book.expire(1_000, 5_000);
    assert.equal(host().state, "asked", "nothing could be heard (K3)");
    await clock.freeze(1);
    book.expire(1_000, 0);
    assert.deepEqual([host().state, host().wasUp, host().neverReported], ["gone", false, true]);
    assert.match(host().failure!.message, /job-1-w1-1 on worker w1 .*not reported within 600000 ms.*worker's log/);
    assert.equal(host().failure!.passing, true, "another is tried");
    assert.equal(book.describe().message, host().failure!.message, "the job says what it waits for");
    assert.equal(book.gaveUp("host", HOST), true);
    assert.equal(book.onHost(hostReport(1n, "DEPLOYED")), false);
  });

  it("one that has reported may take as long as it likes, as far as this goes", async () => {
    const { clock, book, host } = setUp();
    book.onWorker(workerReport("w1", { host: "RUNNING" }));
    await clock.freeze(limitMs + 1);
    book.onHost(hostReport(1n, "DEPLOYED"));
    book.expire(1_000, 0);
    assert.equal(host().state, "up");
  });
});

describe("coordinator/job-book: a worker that takes nothing", () => {
  function placed() {
    const { book } = setUp();
    const region = book.regions.get("region-read-0")!;
    region.place(new Map(region.actors.map((one) => [one, "w1"])));
    return { book, region };
  }

  it("a host that it refuses is gone, and what waits for it is placed anew (J1)", () => {
    const { book, region } = placed();
    book.onHostRefused(HOST, "draining");
    assert.deepEqual([book.host(HOST)?.state, region.phase], ["gone", "PLACING"]);
    assert.equal(book.host(HOST)?.failure?.passing, true);
  });

  it("one that is up was not refused: the answer is of an earlier question", () => {
    const { book, region } = placed();
    book.onHost(hostReport(1n, "DEPLOYED"));
    book.onHostRefused(HOST, "draining");
    assert.deepEqual([book.host(HOST)?.state, region.phase], ["up", "DEPLOYING"]);
  });

  it("one that drains, without a host of the job, is not waited for; with one it is (J1)", () => {
    const { book, region } = placed();
    const drains = { ...workerReport("w1", {}), draining: true };
    book.onWorker(drains);
    assert.equal(region.phase, "DEPLOYING", "its host is asked for");
    book.onHostRefused(HOST, "draining");
    region.place(new Map(region.actors.map((one) => [one, "w1"])));
    book.onWorker({ ...drains, draining: false });
    assert.equal(region.phase, "DEPLOYING");
    book.onWorker(drains);
    assert.equal(region.phase, "PLACING");
  });
});

describe("coordinator/job-book: enumerators", () => {
  it("an older attempt neither takes one over nor counts as deployed (J7)", () => {
    const { book } = setUp();
    book.expectEnumerator("read", HOST, 2);
    book.expectEnumerator("read", "job-1-w2-1", 1);
    book.onEnumerator("read", 1);
    assert.deepEqual(book.facts([], 1n, () => []).enumerators, [
      { source: "read", host: HOST, attempt: 2, deployed: false },
    ]);
    book.onEnumerator("read", 2);
    assert.equal(book.facts([], 1n, () => []).enumerators[0]!.deployed, true);
  });
});

describe("coordinator/job-book: instances", () => {
  it("follows what one says itself, and remembers that it has served", () => {
    const { book, instance } = setUp();
    book.onWorker(workerReport("w1", { instance: "PROVISIONING" }));
    assert.deepEqual([instance().state, instance().served], ["PROVISIONING", false]);
    assert.equal(book.onLoad(load("LOADING")), true);
    book.onWorker(workerReport("w1", { instance: "PROVISIONING" }));
    assert.equal(instance().state, "LOADING", "its worker does not know better");
    assert.equal(book.onLoad(load("READY")), true);
    assert.equal(book.onLoad(load("READY", { queuedRows: 2 })), false, "its load is no change of state");
    book.onLoad(load("DRAINING"));
    assert.deepEqual([instance().state, instance().served], ["DRAINING", true]);
  });

  it("one that is gone stays gone, with the first reason", () => {
    const { book, instance } = setUp();
    book.onLoad(load("FAILED", { code: "MILL_MODEL_CORRUPT", reason: "half a model" }));
    book.onWorker(workerReport("w1", { instance: "FAILED", code: "MILL_SERVICE_LOST" }));
    assert.equal(book.onLoad(load("READY")), false);
    assert.deepEqual(book.onWorkerGone("w1", "silent"), []);
    assert.deepEqual([instance().state, instance().code], ["FAILED", "MILL_MODEL_CORRUPT"]);
  });

  it("the same name in another job, or on another worker, is another instance", () => {
    const { book, instance } = setUp();
    book.onWorker(workerReport("w2", { instance: "FAILED", code: "MILL_SERVICE_LOST" }));
    book.onWorker(workerReport("w1", { instance: "FAILED", code: "MILL_SERVICE_LOST", job: "job-2" }));
    assert.equal(instance().state, "REQUESTED");
  });

  it("those of a lost worker are named, once, so that somebody tells their clients", () => {
    const { book, instance } = setUp();
    assert.deepEqual(book.onWorkerGone("w2", "silent"), []);
    const gone = { service: "model", instance: "model-0", state: "FAILED", code: "MILL_WORKER_LOST", reason: "silent" };
    assert.deepEqual(book.onWorkerGone("w1", "silent"), [gone]);
    assert.deepEqual(book.onWorkerGone("w1", "silent"), []);
    assert.equal(instance().state, "FAILED");
  });

  for (const [state, declaredMs] of [
    ["LOADING", Number(serviceSpec().loadTimeoutMs)],
    ["WARMING", Number(serviceSpec().warmTimeoutMs)],
  ] as const) {
    it(`one that is ${state} longer than its service declares, and does not say so, is FAILED; what it did before, and deafness, do not count`, async () => {
      const { clock, book, instance } = setUp();
      const silenceMs = limits.heartbeatTimeoutMs;
      const tooLong = declaredMs + silenceMs + 1;
      book.onLoad(load("PROVISIONING"));
      await clock.freeze(tooLong); // fetching a model takes as long as it takes
      book.expire(silenceMs, 0);
      book.onLoad(load(state));
      await clock.freeze(tooLong - 1);
      book.expire(silenceMs, 0);
      assert.equal(instance().state, state);
      book.onLoad(load(state)); // saying it again does not begin it anew
      await clock.freeze(1_000);
      book.expire(silenceMs, 1_000);
      assert.equal(instance().state, state);
      await clock.freeze(1);
      book.expire(silenceMs, 0);
      assert.deepEqual([instance().state, instance().code], ["FAILED", "MILL_SERVICE_TIMEOUT"]);
      assert.match(
        instance().message,
        new RegExp(`model-0 was still ${state} long after its load\\..* of ${declaredMs} ms was over`),
      );
    });
  }

  it("its report names all that live, and of those that have ended the newest (J8 of coordinator/job)", () => {
    const { book } = setUp();
    const name = (i: number) => `model-${i}` as InstanceId;
    for (let i = 0; i < 2 * limits.instancesEndedMax; i++) {
      book.expectInstance({ service: "model", instance: name(i), worker: "w1", granted: granted() });
      if (i > 0) book.onInstanceRefused(name(i), "MILL_STORE_UNREACHABLE", "away");
    }
    const told = book.describe().instances;
    assert.equal(told.length, 1 + limits.instancesEndedMax);
    assert.deepEqual(
      [told[0]!.instance, told.at(-1)!.instance],
      ["model-0", `model-${2 * limits.instancesEndedMax - 1}`],
    );
    assert.equal(
      book.facts([], 1n, () => []).instances.length,
      2 * limits.instancesEndedMax,
      "names are not used twice",
    );
  });

  it("since when hosts and instances are in their state, and how long hosts have been silent, are facts (J7, J8)", async () => {
    const { clock, book } = setUp();
    const factsNow = () => {
      const { hosts, instances } = book.facts([], 1n, () => []);
      return [hosts[0]!.wasUp, hosts[0]!.forMs, hosts[0]!.silentMs, instances[0]!.forMs];
    };
    book.onHost(hostReport(1n, "RUNNING"));
    await clock.freeze(300);
    assert.deepEqual(factsNow(), [true, 300, 300, 300]);
    book.onHost(hostReport(2n, "RUNNING"));
    book.onWorker(workerReport("w1", { instance: "FAILED" }));
    await clock.freeze(10);
    assert.deepEqual(factsNow(), [true, 310, 10, 10]);
    book.onWorker(workerReport("w1", { host: "EXITED" }));
    await clock.freeze(5);
    assert.deepEqual(factsNow().slice(0, 2), [true, 5]);
  });

  it("one that serves may do so for as long as it likes", async () => {
    const { clock, book, instance } = setUp();
    book.onLoad(load("READY"));
    await clock.freeze(10 * limits.serviceLoadTimeoutMs);
    book.expire(1, 0);
    assert.equal(instance().state, "READY");
  });

  it("a refusal counts only while it has not shown", () => {
    const { book, instance } = setUp();
    book.onLoad(load("READY"));
    book.onInstanceRefused("model-0", "MILL_COMMAND_REFUSED", "draining");
    assert.equal(instance().state, "READY");
  });
});

describe("coordinator/job-book: the job itself", () => {
  it("keeps the first error (J3)", () => {
    const { book } = setUp();
    book.enter("FAILING", { code: "MILL_IMAGE_INVALID", message: "first" });
    book.enter("FAILING", { code: "MILL_INTERNAL", message: "second" });
    book.onRefused("MILL_COMMAND_REFUSED", "third");
    book.cancel();
    const { state, code, message } = book.describe();
    assert.deepEqual([state, code, message], ["FAILING", "MILL_IMAGE_INVALID", "first"]);
  });

  for (const state of ["COMMITTING", "FINISHED"] as const) {
    it(`cannot be cancelled, nor failed by a refusal, when it is ${state}: its rows are there`, () => {
      const { book } = setUp();
      book.enter(state);
      book.cancel();
      book.onRefused("MILL_COMMAND_REFUSED", "late");
      assert.equal(book.describe().state, state);
    });
  }

  it("ends its subscriptions when it ends, and not before", () => {
    const { book } = setUp();
    let open = 1;
    book.keep({ subject: "x", unsubscribe: () => open-- });
    book.enter("RUNNING");
    book.enter("COMMITTING");
    assert.equal(open, 1);
    book.enter("FINISHED");
    assert.equal(open, 0);
  });

  it("what was given up may be stopped wherever it shows; after the end that is everything", () => {
    const { book } = setUp();
    assert.deepEqual([book.gaveUp("host", HOST), book.gaveUp("instance", "model-0")], [false, false]);
    book.onWorkerGone("w1", "silent");
    assert.deepEqual([book.gaveUp("host", HOST), book.gaveUp("instance", "model-0")], [true, true]);
    book.enter("FAILED");
    assert.equal(book.gaveUp("host", HOST), true);
  });

  it("what nobody here has asked for is of an earlier leader: given up, unless it is being taken up (K5)", async () => {
    const { clock, book } = setUp();
    book.takeUp();
    assert.deepEqual([book.gaveUp("host", "job-1-old"), book.gaveUp("instance", "model-old")], [false, false]);
    await clock.freeze(limits.adoptionMs);
    assert.deepEqual([book.gaveUp("host", "job-1-old"), book.gaveUp("instance", "model-old")], [true, true]);
  });

  it("describes itself: times, what it waits for, sums over its actors", async () => {
    const { clock, book } = setUp();
    book.waitFor("no worker takes work");
    assert.equal(book.describe().message, "no worker takes work");
    book.enter("RUNNING");
    await clock.freeze(1_500);
    book.onHost(hostReport(1n, "RUNNING", { read: 5n }));
    book.enter("COMMITTING");
    book.enter("FINISHED");
    const report = book.describe();
    assert.deepEqual([report.rowsTotal, report.rowsRead, report.deadLetters, report.message], [9n, 5n, 1n, ""]);
    assert.equal(report.finishedMs - report.startedMs, 1_500n);
  });
});

describe("coordinator/job-book: what is promised (X5)", () => {
  const promised = (book: JobBook) => book.promised().map(({ instance, worker }) => `${instance} on ${worker}`);

  it("from when it is asked for until its worker says that the process has ended, whatever else is said", () => {
    const { book } = setUp();
    assert.deepEqual(promised(book), ["model-0 on w1"]);
    book.onWorker(workerReport("w1", {}));
    assert.deepEqual(promised(book), ["model-0 on w1"], "the report was on its way when it was asked for");
    book.onLoad(load("FAILED", { code: "MILL_SERVICE_FAILED" }));
    book.onWorker(workerReport("w1", { instance: "PROVISIONING" }));
    assert.deepEqual(promised(book), ["model-0 on w1"], "its process is still there");
    book.onWorker(workerReport("w2", { instance: "STOPPED" }));
    assert.deepEqual(promised(book), ["model-0 on w1"], "that is not its worker");
    book.onWorker(workerReport("w1", { instance: "FAILED" }));
    assert.deepEqual(promised(book), []);
  });

  it("no longer once its worker is gone, has refused it, or tells of it no more", () => {
    const gone = setUp().book;
    gone.onWorkerGone("w1", "it fell silent");
    const refused = setUp().book;
    refused.onInstanceRefused("model-0", "MILL_WORKER_LOST", "draining");
    const forgotten = setUp().book;
    forgotten.onWorker(workerReport("w1", { instance: "PROVISIONING" }));
    forgotten.onWorker(workerReport("w1", {}));
    for (const book of [gone, refused, forgotten]) assert.deepEqual(promised(book), []);
  });
});
