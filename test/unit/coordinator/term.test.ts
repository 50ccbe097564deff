import assert from "node:assert/strict";
import type { Namespace } from "../../../src/base/ids.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { claimTerm, LeaseBucket } from "../../../src/coordinator/term.js";

const here = "test" as Namespace;

describe("coordinator/term: who leads", () => {
  it("terms grow by one, and namespaces have their own (rule 9)", async () => {
    const bus = new MemoryBus(realPorts());
    assert.deepEqual([await claimTerm(bus, here), await claimTerm(bus, here)], [1n, 2n]);
    assert.equal(await claimTerm(bus, "other" as Namespace), 1n);
  });

  it("coordinators that claim at the same moment get different terms (rule 9)", async () => {
    const bus = new MemoryBus(realPorts());
    const terms = await Promise.all(Array.from({ length: 8 }, () => claimTerm(bus.connect(), here)));
    assert.deepEqual([...terms].sort(), [1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n]);
  });

  it("a term that was noted before there were leases, in digits, is held by nobody and counts (rule 9)", async () => {
    const bus = new MemoryBus(realPorts());
    await (await bus.bucket(`millrace-${here}`)).update("term", new TextEncoder().encode("41"), 0n);
    const found = await new LeaseBucket(bus, here).read();
    assert.deepEqual([found?.lease.term, found?.lease.holder], [41n, ""]);
    assert.equal(await claimTerm(bus, here), 42n);
  });

  it("a lease is replaced only by who has seen it (E1)", async () => {
    const bus = new MemoryBus(realPorts());
    const lease = new LeaseBucket(bus, here);
    assert.equal(await lease.read(), undefined);
    const revision = await lease.write({ term: 1n, holder: "a", http: "", counter: 0n }, 0n);
    await assert.rejects(lease.write({ term: 2n, holder: "b", http: "", counter: 0n }, 0n), {
      code: "MILL_BUS_CONFLICT",
    });
    assert.deepEqual(await lease.read(), { lease: { term: 1n, holder: "a", http: "", counter: 0n }, revision });
  });
});
