import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { jobSpecFrame } from "../../../src/wire/control.js";
import { beatMs, Cluster, keys } from "./coordinator-cluster.js";
import type { FakeWorker } from "./fake-worker.js";
import { gpu, granted, needs, serviceSpec, spec } from "./job-facts.js";

/** A job whose two instances need that much of a device each; its workers have one each. */
async function clusterOf(each: Parameters<typeof needs>[0], ...workers: string[]): Promise<Cluster> {
  const cluster = await new Cluster().open();
  const services = [serviceSpec({ instances: 2, resources: needs(each) })];
  await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, services }));
  for (const name of workers) await joinWith(cluster, name);
  await cluster.submit();
  await cluster.clock.settle();
  return cluster;
}

async function joinWith(cluster: Cluster, name: string): Promise<FakeWorker> {
  const worker = await cluster.join(name);
  worker.gpus = [gpu(`GPU-${name}`)];
  await worker.report();
  await cluster.clock.settle();
  return worker;
}

const instances = async (cluster: Cluster) =>
  (await cluster.describe()).instances.map(({ instance, worker, state }) => `${instance} ${worker} ${state}`);
const waiting = async (cluster: Cluster) =>
  (await cluster.describe()).instances.filter(({ worker }) => worker === "").map(({ message }) => message);
const shares = (worker: FakeWorker) =>
  [...worker.granted].map(([name, { gpus }]) => `${name} ${gpus.map((one) => `${one.uuid} ${one.thousandths}`)}`);

describe("coordinator: devices", () => {
  it("an instance without a free device is REQUESTED with the reason, the rest runs, and it is placed when one comes (J9)", async () => {
    const cluster = await clusterOf({ gpu: 1 }, "w1");
    assert.deepEqual(await instances(cluster), ["model-1-0 w1 PROVISIONING", "model-1-1  REQUESTED"]);
    assert.deepEqual(await waiting(cluster), ["needs 1 gpu; worker w1 has 1, taken"]);
    assert.equal((await cluster.describe()).state, "RUNNING", "regions do not wait for it");
    await joinWith(cluster, "w2");
    assert.deepEqual(await instances(cluster), ["model-1-0 w1 PROVISIONING", "model-1-1 w2 PROVISIONING"]);
    assert.deepEqual(await waiting(cluster), []);
    assert.deepEqual(shares(cluster.workers[1]!), ["model-1-1 GPU-w2 1000"]);
  });

  it("a job of which no instance has a place waits and does not fail (J9)", async () => {
    const cluster = await clusterOf({ gpu: 1, kind: "b300" }, "w1");
    await cluster.pass(20 * beatMs);
    assert.deepEqual(
      await waiting(cluster),
      Array(2).fill("needs 1 gpu of kind b300; worker w1 has 1 of kind NVIDIA H200"),
    );
    assert.equal((await cluster.describe()).state, "RUNNING");
  });

  it("what was asked for and no report shows yet is promised (X5)", async () => {
    const cluster = await clusterOf({ gpu: 1 });
    const w1 = await cluster.join("w1");
    Object.assign(w1, { gpus: [gpu("GPU-w1")], prompt: false });
    await w1.report();
    await cluster.clock.settle();
    await cluster.join("w2"); // something to decide anew for
    await cluster.pass(2 * beatMs, [cluster.workers[1]!]);
    assert.deepEqual(shares(w1), ["model-1-0 GPU-w1 1000"]);
    assert.deepEqual(await waiting(cluster), ["needs 1 gpu; worker w1 has 1, taken; worker w2 has no gpu"]);
  });

  it("what a worker holds of a job that nobody knows any more is promised until it is gone (X5)", async () => {
    const cluster = await new Cluster().open();
    const w1 = await cluster.join("w1");
    const share = { uuid: "GPU-w1", thousandths: 1_000, memoryBytes: 0n };
    const left = {
      job: "job-0",
      service: "old",
      instance: "old-0",
      code: "",
      message: "",
      granted: granted(share),
      startedMs: 1n,
      endedMs: 0n,
      launched: true,
    };
    w1.gpus = [gpu("GPU-w1")];
    w1.obeys = false; // it is told to stop it
    await w1.report({ instances: [{ ...left, state: "PROVISIONING" }] });
    const services = [serviceSpec({ instances: 1, resources: needs({ gpu: 1 }) })];
    await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, services }));
    await cluster.submit();
    assert.deepEqual(await waiting(cluster), ["needs 1 gpu; worker w1 has 1, taken"]);
    w1.obeys = true;
    await w1.report({ instances: [{ ...left, state: "STOPPED" }] });
    await cluster.clock.settle();
    assert.deepEqual(await waiting(cluster), []);
  });

  it("a new leader promises nothing until every worker has had time to say what it holds (K6)", async () => {
    const cluster = await new Cluster().open();
    await (await cluster.succeed()).close();
    const services = [serviceSpec({ instances: 1, resources: needs({ gpu: 1 }) })];
    await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, services }));
    const two = await cluster.join("w2");
    two.gpus = [gpu("GPU-1")];
    await two.report();
    await cluster.submit();
    await cluster.pass(beatMs);
    assert.equal(two.told("start-instance"), 0);
    // Another worker of the same machine, whose first report was lost.
    const one = await cluster.join("w1");
    one.obeys = false;
    const share = { uuid: "GPU-1", thousandths: 1_000, memoryBytes: 0n };
    const left = {
      job: "job-0",
      service: "old",
      instance: "old-0",
      code: "",
      message: "",
      granted: granted(share),
      startedMs: 1n,
      endedMs: 0n,
      launched: true,
    };
    const holding = { gpus: [gpu("GPU-1")], instances: [{ ...left, state: "PROVISIONING" }] };
    for (let beat = 0; beat < 4; beat++) {
      await cluster.pass(beatMs, [two]);
      await one.report(holding);
    }
    await cluster.clock.settle();
    assert.equal(two.told("start-instance"), 0);
    assert.deepEqual(await waiting(cluster), ["needs 1 gpu; worker w1 has 1, taken; worker w2 has 1, taken"]);
  });

  it("a device is free when the worker says that the process has ended, and not before (X5)", async () => {
    const cluster = await clusterOf({ gpu: 1 }, "w1");
    const [w1] = cluster.workers as [FakeWorker];
    await w1.load("model-1-0", "READY");
    w1.prompt = false;
    w1.obeys = false;
    // It says itself that it has failed; its process is still there.
    await w1.load("model-1-0", "FAILED", { code: "MILL_SERVICE_FAILED", reason: "broken" });
    await cluster.clock.settle();
    w1.instances.set("model-1-0", "PROVISIONING");
    await cluster.pass(3 * beatMs);
    assert.equal((await waiting(cluster)).length, 2, "both wait for the device");
    w1.obeys = true;
    w1.prompt = true;
    w1.instances.set("model-1-0", "FAILED");
    await cluster.pass(3 * beatMs);
    assert.equal((await waiting(cluster)).length, 1);
    assert.deepEqual(shares(w1), ["model-1-0 GPU-w1 1000", "model-1-1 GPU-w1 1000"]);
  });

  it("a new leader knows from reports what is promised (K5, X5)", async () => {
    const cluster = await clusterOf({ gpu: 0.5 }, "w1");
    const [w1] = cluster.workers as [FakeWorker];
    assert.deepEqual(shares(w1), ["model-1-0 GPU-w1 500", "model-1-1 GPU-w1 500"]);
    for (const name of w1.instances.keys()) await w1.load(name, "READY");
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + 2 * beatMs);
    assert.equal(w1.told("start-instance"), 2, "nothing is started anew");
    await w1.load("model-1-0", "FAILED", { code: "MILL_SERVICE_LOST" });
    await w1.report();
    await cluster.pass(2 * beatMs);
    assert.deepEqual(shares(w1).slice(2), ["model-2-2 GPU-w1 500"], "the other half is still promised");
  });

  it("an instance that waited while a leader left is not taken for lost: the next one places it (K5, J9)", async () => {
    const cluster = await clusterOf({ gpu: 1 }, "w1");
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + 2 * beatMs);
    assert.deepEqual(await instances(cluster), ["model-1-0 w1 PROVISIONING", "model-2-1  REQUESTED"]);
  });

  it("a cancelled job does not wait for instances that were never placed (J4)", async () => {
    const cluster = await clusterOf({ gpu: 1 }, "w1");
    await cluster.cancel();
    await cluster.pass(3 * beatMs);
    assert.equal((await cluster.describe()).state, "CANCELLED");
  });
});

describe("coordinator: memory", () => {
  it("actors that fit nowhere wait with the reason, and begin when there is room (X5, X6)", async () => {
    const cluster = await new Cluster().open();
    const actors = spec.actors.map((one) => ({ ...one, resources: needs({ cpu: 1, memory: 65 }) }));
    await cluster.store.put(keys.spec, jobSpecFrame.encode({ ...spec, actors }));
    await cluster.join("w1");
    await cluster.submit();
    await cluster.pass(2 * beatMs);
    const { state, message } = await cluster.describe();
    assert.deepEqual(
      [state, message],
      ["DEPLOYING", "needs 65 GiB of memory; worker w1 has 64 GiB of its memory left to promise"],
    );
    for (const name of ["w2", "w3", "w4"]) {
      const large = await cluster.join(name);
      large.memoryBytes = 2n ** 37n;
      await large.report();
    }
    await cluster.pass(2 * beatMs);
    const then = await cluster.describe();
    assert.deepEqual([then.state, then.message], ["RUNNING", ""]);
  });
});
