import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId, OperatorId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { LeaseBucket } from "../../../src/coordinator/term.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { cancelJobFrame, jobReportFrame, jobSpecFrame } from "../../../src/wire/control.js";
import { within } from "../actors/support.js";
import {
  ALONE,
  attemptsOf,
  beatMs,
  Cluster,
  job,
  keys,
  namespace,
  READ,
  subjects,
  told,
} from "./coordinator-cluster.js";
import type { FakeWorker } from "./fake-worker.js";
import { spec } from "./job-facts.js";

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

  it("is there, and the job can be deleted, while its logs cannot; the next leader deletes them (J4)", async () => {
    const exchanges = [{ operator: "between", partitions: 1, readers: ["x"], writers: [] }];
    const open = async () => {
      const cluster = await new Cluster().open("w1", "w2");
      await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, exchanges }));
      await cluster.submit();
      const { bus } = cluster;
      const log = await bus.log(jobSubjects(namespace, job as JobId).exchangeLog("between" as OperatorId, 0));
      await log.append(new Uint8Array(1));
      const deleteLog = bus.deleteLog.bind(bus);
      bus.deleteLog = () => Promise.reject(new MillraceError("MILL_BUS_REFUSED", "no right to"));
      await cluster.cancel();
      assert.ok(await cluster.store.head(keys.report));
      return { cluster, log, mend: () => Object.assign(bus, { deleteLog }) };
    };
    const first = await open();
    const { deletion } = first.cluster.coordinator.ended;
    await deletion.begin(job as JobId, { savepoints: false });
    await first.cluster.clock.settle();
    assert.equal((await deletion.standing(job as JobId)).state, "done");

    const { cluster, log, mend } = await open();
    const before = await cluster.succeed();
    assert.equal(await log.last(), 1n);
    mend();
    await before.close();
    await cluster.clock.advance(limits.storeBackoffMsMax);
    await assert.rejects(log.append(new Uint8Array(1)), { code: "MILL_BUS_LOG_GONE" });
    assert.equal(await cluster.store.head(keys.open), undefined);
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
    const term = async () => (await new LeaseBucket(cluster.bus, namespace).read())?.lease.term;
    assert.equal(await term(), 1n);
    for (const worker of cluster.workers) assert.deepEqual([...worker.terms], [1n]);
    await (await cluster.succeed()).close();
    assert.equal(await term(), 2n);
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
    await two.report(); // its process has ended
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
