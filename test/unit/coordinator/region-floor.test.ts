import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { JobId, Namespace } from "../../../src/base/ids.js";
import type { Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { RegionFloors } from "../../../src/coordinator/region-floor.js";
import { claimTerm } from "../../../src/coordinator/term.js";
import { fakePorts } from "./fake-ports.js";

const here = "test" as Namespace;
const [job, other] = ["job" as JobId, "job-2" as JobId];

describe("coordinator/region-floor: from where on logs are kept", () => {
  it("a floor only grows, whoever raises it, and however late (L3)", async () => {
    const bus = new MemoryBus(fakePorts());
    const [one, two] = [new RegionFloors(bus.connect(), here), new RegionFloors(bus.connect(), here)];
    assert.equal(await one.read(job, "r"), 0n);
    await one.raise(job, "r", 9n);
    await two.raise(job, "r", 7n);
    assert.equal(await two.read(job, "r"), 9n);
    assert.equal(await two.read(job, "s"), 0n);
    assert.equal(await two.read(other, "r"), 0n);
  });

  it("one that was looked at, and is raised by another before it is written, does not fall (L3)", async () => {
    const system = new MemoryBus(fakePorts());
    const floors = new RegionFloors(system.connect(), here);
    const asleep: Bus = system.connect();
    const bucket = await asleep.bucket(`millrace-${here}`);
    const [read] = [bucket.get.bind(bucket)];
    bucket.get = async (key) => {
      const entry = await read(key);
      bucket.get = read;
      await floors.raise(job, "r", 50n);
      return entry;
    };
    asleep.bucket = async () => bucket;
    await new RegionFloors(asleep, here).raise(job, "r", 20n);
    assert.equal(await floors.read(job, "r"), 50n);
  });

  it("an update that fails for good is told (L4)", async () => {
    const bus = new MemoryBus(fakePorts());
    const bucket = await bus.bucket(`millrace-${here}`);
    bucket.update = () => Promise.reject(new MillraceError("MILL_BUS_TIMEOUT", "no answer."));
    bus.bucket = async () => bucket;
    await assert.rejects(new RegionFloors(bus, here).raise(job, "r", 1n), { code: "MILL_BUS_TIMEOUT" });
  });

  it("those of a job that has ended are forgotten; other jobs and the term stay", async () => {
    const bus = new MemoryBus(fakePorts());
    const floors = new RegionFloors(bus, here);
    await claimTerm(bus, here);
    for (const region of ["r", "s"]) await floors.raise(job, region, 2n);
    await floors.raise(other, "r", 3n);
    await floors.forget(job);
    assert.deepEqual([await floors.read(job, "r"), await floors.read(other, "r")], [0n, 3n]);
    assert.equal(await claimTerm(bus, here), 2n);
  });
});
