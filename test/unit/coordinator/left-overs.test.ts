/** What a leader does about processes and questions of jobs that it does not know. */
import assert from "node:assert/strict";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects } from "../../../src/bus/subjects.js";
import { Coordinator } from "../../../src/coordinator/coordinator.js";
import { claimTerm } from "../../../src/coordinator/term.js";
import { jobKeys } from "../../../src/storage/keys.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { acknowledgementFrame, describeJobFrame } from "../../../src/wire/control.js";
import { within } from "../actors/support.js";
import { fakePorts } from "./fake-ports.js";
import { FakeWorker } from "./fake-worker.js";
import { spec } from "./job-facts.js";

const namespace = "test" as Namespace;

class World {
  readonly ports = fakePorts();
  readonly bus = new MemoryBus(this.ports);
  readonly store = new MemoryStore();
  readonly worker = new FakeWorker(this.bus, namespace, "w1");
  readonly coordinator = new Coordinator({ bus: this.bus, store: this.store, ports: this.ports, namespace });

  /** A worker comes back with a host and an instance of `spec.job`. */
  async open(): Promise<this> {
    await this.coordinator.open();
    await this.worker.open();
    this.worker.hosts.set("host-of-old", { regions: new Map(), state: "RUNNING" });
    this.worker.instances.set("model-1-0", "PROVISIONING");
    await this.pass();
    return this;
  }

  async pass(): Promise<void> {
    for (let beat = 0; beat < 3; beat++) {
      await this.worker.report();
      await this.ports.clock.advance(limits.heartbeatIntervalMs);
      await this.ports.clock.settle();
    }
  }
}

describe("coordinator: what belongs to no job of its", () => {
  it("processes of a job that ended under an earlier leader are stopped: their worker was out of reach then (J4, K5)", async () => {
    const { worker, coordinator } = await new World().open();
    assert.deepEqual(
      [worker.hosts.get("host-of-old")!.state, worker.instances.get("model-1-0")],
      ["EXITED", "STOPPED"],
      worker.commands.join(", "),
    );
    await coordinator.close();
  });

  it("processes of a job that is open and cannot be read are left as they are (K5)", async () => {
    const world = new World();
    await world.store.put(jobKeys(spec.job as JobId).open, new Uint8Array());
    await world.store.put(jobKeys(spec.job as JobId).spec, new TextEncoder().encode("no spec"));
    const { worker, coordinator } = await world.open();
    assert.deepEqual(worker.commands, []);
    await coordinator.close();
  });

  it("who asks of a job that only the next leader knows is not told that there is none (K4)", async () => {
    const { bus, ports, coordinator } = await new World().open();
    const ask = () =>
      bus.request(clusterSubjects(namespace).coordinatorCommand, describeJobFrame.encode({ job: spec.job }));
    const first = ask();
    await ports.clock.settle();
    const { code } = acknowledgementFrame.decode((await within("an answer", first)).payload).header;
    assert.equal(code, "MILL_JOB_UNKNOWN", "it leads, so it knows every job");
    await claimTerm(bus, namespace);
    const silent = assert.rejects(ask(), { code: "MILL_BUS_TIMEOUT" });
    await ports.clock.settle();
    await ports.clock.advance(limits.busRequestTimeoutMs);
    await within("no answer", silent);
    assert.ok(ports.lines.some(({ message }) => message === "another coordinator leads now"));
    await coordinator.close();
  });
});
