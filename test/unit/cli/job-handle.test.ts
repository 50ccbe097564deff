import assert from "node:assert/strict";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { clusterSubjects } from "../../../src/bus/subjects.js";
import { JobHandle } from "../../../src/cli/job-handle.js";
import { acknowledgementFrame } from "../../../src/wire/control.js";
import { within } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const namespace = "test" as Namespace;

describe("cli/job-handle: a coordinator that is away", () => {
  it("is told to cancel once another is there: the user has asked only once", async () => {
    const ports = fakePorts();
    const bus = new MemoryBus(ports);
    const job = "job-1" as JobId;
    const handle = new JobHandle({ bus, ports, namespace, job, unit: "rows", close: async () => {} });
    const cancelled = handle.cancel();
    await ports.clock.settle();
    let asked = 0;
    await bus.subscribe(clusterSubjects(namespace).coordinatorCommand, async ({ replyTo }) => {
      asked++;
      await bus.publish(replyTo!, acknowledgementFrame.encode({ code: "", message: "" }));
    });
    await ports.clock.advance(1_000);
    await within("the job's end", cancelled);
    assert.equal(asked, 1);
  });
});
