import assert from "node:assert/strict";
import type { JobId, ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import {
  cancelJobFrame,
  describeJobFrame,
  jobSpecFrame,
  startFrame,
  submitJobFrame,
} from "../../../src/wire/control.js";
import { ALONE, attemptsOf, beatMs, Cluster, job, keys, namespace, READ, told } from "./coordinator-cluster.js";
import { FakeWorker } from "./fake-worker.js";
import { serviceSpec, spec } from "./job-facts.js";

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
      for (let beats = 0; beats * beatMs < limits.regionBackoffMsMax; beats++) await cluster.pass(beatMs);
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
    await cluster.pass(Number(serviceSpec().loadTimeoutMs) + limits.heartbeatTimeoutMs);
    assert.equal(one.told("stop-instance"), 0, "given up too early");
    await cluster.pass(3 * beatMs);
    assert.equal(one.told("stop-instance"), 1);
    const report = await cluster.describe();
    assert.equal(report.instances.length, 3);
    const given = report.instances.find((instance) => instance.instance === hung);
    assert.equal(given?.state, "FAILED");
    assert.match(given!.message, /was still LOADING long after its load\.timeoutMs of 60000 ms was over/);
  });

  it("an instance that serves and falls silent is given up: its clients are told that nobody knows, it is stopped, another takes its place (V1, V3)", async () => {
    const cluster = await new Cluster().open("w1", "w2");
    const contract = JSON.stringify({ timeoutMs: 600_000, program: true });
    await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, services: [serviceSpec({ contract })] }));
    await cluster.submit();
    const [one] = cluster.workers as [FakeWorker];
    const [hung] = [...one.instances.keys()];
    await one.load(hung!, "READY");
    await cluster.pass(2 * limits.heartbeatTimeoutMs);
    assert.equal(one.told("stop-instance"), 0, "it has reported");
    const reports = await told(cluster);
    one.silent.add(hung!);
    await cluster.pass(limits.heartbeatTimeoutMs);
    assert.equal(one.told("stop-instance"), 0, "given up too early");
    await cluster.pass(3 * beatMs);
    assert.equal(one.told("stop-instance"), 1);
    const gone = reports.filter((load) => load.state === "FAILED");
    assert.ok(gone.length > 1, "told again");
    assert.ok(gone.every((load) => load.instance === hung && load.code === "MILL_WORKER_LOST"));
    const report = await cluster.describe();
    assert.equal(report.instances.length, 3);
    assert.equal(report.state, "RUNNING");
    const given = report.instances.find(({ instance }) => instance === hung);
    assert.match(given!.message, /on worker w1 was READY and has not reported for 10000 ms/);
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
    await two.report({ hosts: [{ host: two.host, job, state: "EXITED", code: "", message: "", group: "", gpus: [] }] });
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
