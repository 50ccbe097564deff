import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { Coordinator } from "../../../src/coordinator/coordinator.js";
import { submitJobFrame } from "../../../src/wire/control.js";
import { within } from "../actors/support.js";
import { ALONE, beatMs, Cluster, job, keys, namespace, subjects } from "./coordinator-cluster.js";

/** Whether it holds is what the test says. */
function leasing(): { readonly cluster: Cluster; readonly lease: { readonly term: bigint; isHeld: boolean } } {
  const cluster = new Cluster();
  const lease = { term: 4n, isHeld: true, holds: () => lease.isHeld };
  const { bus, store, ports } = cluster;
  cluster.coordinator = new Coordinator({ bus, store, ports, namespace, lease });
  return { cluster, lease };
}

describe("coordinator: with a lease", () => {
  it("leads with the term of its lease, and claims none (K4)", async () => {
    const { cluster } = leasing();
    await cluster.running();
    for (const worker of cluster.workers) assert.deepEqual([...worker.terms], [4n]);
    assert.equal(await (await cluster.bus.bucket(`millrace-${namespace}`)).get("term"), undefined);
  });

  it("once it does not hold it, it commands, records and answers nothing, whatever it hears (K4, E5)", async () => {
    const { cluster, lease } = leasing();
    await cluster.running();
    await cluster.pass(2 * beatMs);
    lease.isHeld = false;
    const [noted, before] = [await cluster.store.get(keys.open), (await cluster.log(ALONE)).length];
    const commands = cluster.listen();
    const answer = cluster.bus.request(subjects.coordinatorCommand, submitJobFrame.encode({ job }));
    const refused = assert.rejects(answer, { code: "MILL_BUS_TIMEOUT" });
    const [one, two] = cluster.workers;
    await two!.load([...two!.instances.keys()][0]!, "FAILED");
    await cluster.pass(limits.heartbeatTimeoutMs + 3 * beatMs, [one!]);
    await within("the answer that does not come", refused);
    assert.deepEqual(commands, []);
    assert.equal((await cluster.log(ALONE)).length, before);
    assert.deepEqual(await cluster.store.get(keys.open), noted);
  });

  it("one that is closed while it opens leaves nothing behind: no subscription, no timer (E7)", async () => {
    const { cluster } = leasing();
    await cluster.open();
    await cluster.coordinator.close();
    const { bus, store, ports } = cluster;
    const waiting = cluster.clock.waiting;
    const late = new Coordinator({ bus, store, ports, namespace, lease: { term: 5n, holds: () => true } });
    const opened = late.open();
    await late.close();
    await within("its end", opened);
    await assert.rejects(cluster.bus.request(subjects.coordinatorCommand, submitJobFrame.encode({ job })), {
      code: "MILL_BUS_NO_RESPONDER",
    });
    await cluster.clock.settle();
    assert.equal(cluster.clock.waiting, waiting);
  });
});
