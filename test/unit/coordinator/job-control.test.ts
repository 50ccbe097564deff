import assert from "node:assert/strict";
import type { JobId, ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { type ServiceOrders, serviceOrdersFrame } from "../../../src/wire/control.js";
import { beatMs, Cluster, job, namespace } from "./coordinator-cluster.js";

const deploys = (cluster: Cluster) =>
  cluster.workers.flatMap(({ commands }) => commands.filter((one) => one.startsWith("deploy ")));
const instancesOf = (cluster: Cluster) => cluster.workers.flatMap(({ instances }) => [...instances.keys()]);
const living = (cluster: Cluster) =>
  cluster.workers.flatMap(({ instances }) =>
    [...instances].filter(([, state]) => state !== "STOPPED").map(([name]) => name),
  );

describe("coordinator/job-control: pause, resume, stop", () => {
  it("a paused job rests behind a checkpoint and goes on from it, with its hosts and instances kept", async () => {
    const cluster = await new Cluster().running();
    const before = await cluster.describe();
    const paused = await cluster.coordinator.control.pause(job);
    assert.equal(paused.paused, true);
    await cluster.pass(5 * beatMs);
    const rests = await cluster.describe();
    assert.deepEqual([...new Set(rests.regions.map(({ phase }) => phase))], ["PLACING"]);
    for (const [i, region] of rests.regions.entries()) {
      assert.ok(region.committed > before.regions[i]!.committed, "behind a checkpoint of its own");
      assert.equal(region.attempt, before.regions[i]!.attempt + 1);
    }
    const told = deploys(cluster).length;
    await cluster.pass(20 * beatMs);
    assert.equal(deploys(cluster).length, told, "nothing is placed meanwhile");
    await cluster.coordinator.control.resume(job);
    await cluster.pass(5 * beatMs);
    const goesOn = await cluster.describe();
    assert.deepEqual([...new Set(goesOn.regions.map(({ phase }) => phase))], ["RUNNING"]);
    assert.equal(goesOn.state, "RUNNING");
    assert.deepEqual(new Set(instancesOf(cluster)), new Set(living(cluster)), "no instance was stopped");
    await cluster.coordinator.close();
  });

  it("the next leader keeps it paused, and lets it go on (K5)", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.control.pause(job);
    await cluster.pass(5 * beatMs);
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + 10 * beatMs);
    assert.equal(cluster.coordinator.control.wishes(job).paused, true);
    assert.deepEqual([...new Set((await cluster.describe()).regions.map(({ phase }) => phase))], ["PLACING"]);
    await cluster.coordinator.control.resume(job);
    await cluster.pass(10 * beatMs);
    assert.deepEqual([...new Set((await cluster.describe()).regions.map(({ phase }) => phase))], ["RUNNING"]);
    await cluster.coordinator.close();
  });

  it("a stopped job ends behind its last checkpoints, does not go on any more, and says so", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.control.stop(job);
    await assert.rejects(async () => cluster.coordinator.control.resume(job), { code: "MILL_REQUEST_CONFLICT" });
    await cluster.pass(10 * beatMs);
    const { state, message, regions } = await cluster.describe();
    assert.deepEqual({ state, message }, { state: "CANCELLED", message: "stopped behind its last checkpoints" });
    assert.ok(regions.every(({ committed }) => committed > 0n));
    await assert.rejects(async () => cluster.coordinator.control.pause(job), { code: "MILL_REQUEST_CONFLICT" });
    await cluster.coordinator.close();
  });

  it("takes no savepoint of a paused job", async () => {
    const cluster = await new Cluster().running();
    await cluster.coordinator.control.pause(job);
    await assert.rejects(cluster.coordinator.savepoint({ job, name: "x", stop: false }), {
      code: "MILL_REQUEST_CONFLICT",
    });
    await cluster.coordinator.close();
  });

  it("who acts on what was changed meanwhile is refused", async () => {
    const cluster = await new Cluster().running();
    const { revision } = await cluster.coordinator.control.pause(job);
    await assert.rejects(cluster.coordinator.control.resume(job, revision - 1n), { code: "MILL_REQUEST_STALE" });
    assert.equal((await cluster.coordinator.control.resume(job, revision)).paused, false);
    await cluster.coordinator.close();
  });
});

describe("coordinator/job-control: instances", () => {
  it("a service grows and shrinks, through a takeover", async () => {
    const cluster = await new Cluster().running();
    const count = living(cluster).length;
    await cluster.coordinator.control.scale(job, "model", count + 2);
    await cluster.pass(3 * beatMs);
    assert.equal(living(cluster).length, count + 2);
    await (await cluster.succeed()).close();
    await cluster.pass(limits.adoptionMs + 5 * beatMs);
    assert.equal(living(cluster).length, count + 2, "the next leader wants as many");
    await cluster.coordinator.control.scale(job, "model", 1);
    await cluster.pass(5 * beatMs);
    assert.equal(living(cluster).length, 1);
    await assert.rejects(async () => cluster.coordinator.control.scale(job, "mdoel", 1), {
      code: "MILL_REQUEST_NOT_FOUND",
      message: /Its services: model/,
    });
    await cluster.coordinator.close();
  });

  it("one that drains ends, and another takes its place", async () => {
    const cluster = await new Cluster().running();
    const [one] = living(cluster);
    const count = living(cluster).length;
    await cluster.coordinator.control.drain(job, "model", one!);
    await cluster.pass(5 * beatMs);
    assert.ok(!living(cluster).includes(one!));
    assert.equal(living(cluster).length, count);
    assert.deepEqual(cluster.coordinator.control.wishes(job).retired, [], "it is forgotten when it has gone");
    await assert.rejects(async () => cluster.coordinator.control.drain(job, "model", one!), {
      code: "MILL_REQUEST_NOT_FOUND",
    });
    await cluster.coordinator.close();
  });

  it("clients are told who is in quarantine, again on each heartbeat, and when nobody is any more", async () => {
    const cluster = await new Cluster().running();
    const orders: ServiceOrders[] = [];
    const subject = jobSubjects(namespace, job as JobId).orders("model" as ServiceId);
    await cluster.bus.subscribe(subject, ({ payload }) => void orders.push(serviceOrdersFrame.decode(payload).header));
    const [one] = living(cluster);
    await cluster.coordinator.control.quarantine(job, "model", one!, true);
    await cluster.pass(3 * beatMs);
    assert.ok(orders.length >= 3);
    assert.ok(orders.every(({ quarantined }) => quarantined.join() === one));
    assert.ok(living(cluster).includes(one!), "it is kept");
    await cluster.coordinator.control.quarantine(job, "model", one!, false);
    await cluster.clock.settle();
    assert.deepEqual(orders.at(-1)!.quarantined, []);
    assert.ok(orders.every(({ sequence }, i) => i === 0 || sequence > orders[i - 1]!.sequence));
    await cluster.coordinator.close();
  });
});
