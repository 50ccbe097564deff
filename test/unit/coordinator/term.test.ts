import assert from "node:assert/strict";
import type { Namespace } from "../../../src/base/ids.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { claimTerm } from "../../../src/coordinator/term.js";

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
});
