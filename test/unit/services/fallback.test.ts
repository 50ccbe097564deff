import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { ServiceClient } from "../../../src/services/client.js";
import { idBytes } from "../../../src/services/row-ids.js";
import { holdingFrame } from "../../../src/wire/frames.js";
import { within } from "../actors/support.js";
import { batch, declare, doubled, FakeInstance, job, namespace, owner, setUp, subjects } from "./fake-instance.js";

const IDS = ["a", "b"].map((letter) => letter.repeat(16));
const asIs = undefined;

/** A service with one instance, its fallback with two, and a client that was restored. */
async function restored() {
  const first = await setUp(asIs, { persistAfterMs: 0 });
  const { bus, clock, ports } = first;
  const spareService = declare("spare", { batch: { rowsMax: 1 }, persistAfterMs: 0 });
  const parts = { bus, ports, namespace, job, attempt: 1 };
  const spare = new ServiceClient({ ...parts, client: "client-2", service: spareService });
  const client = new ServiceClient({ ...parts, client: "client-3", service: first.client.service, fallback: spare });
  await spare.open();
  await client.open();
  const main = await first.instance("a");
  const [one, two] = [
    await new FakeInstance(bus, clock, "one", spareService.id).open(),
    await new FakeInstance(bus, clock, "two", spareService.id).open(),
  ];
  await main.says("READY");
  await one.says("READY", { queuedRows: 9, rowMs: 10 });
  await two.says("READY");
  const holding = async (to: string, service: ServiceId, instance: string, ...ids: string[]) => {
    await bus.publish(subjects.answer(to), holdingFrame.encode({ service, instance, rowIds: idBytes(ids), round: 0 }));
    await clock.settle();
  };
  const call = () => client.call(batch(1, 2), owner, { rowIds: IDS, ask: true });
  const close = () => {
    for (const each of [client, spare, first.client]) each.close();
    assert.equal(clock.waiting, 0, "no timer is left");
  };
  return { client, spare, clock, main, one, two, spareService, holding, call, close };
}

describe("services/fallback: after a restore (S12)", () => {
  it("rows that an instance of the fallback holds go there, and the service is not asked to fail again", async () => {
    const { client, clock, main, one, two, spareService, holding, call, close } = await restored();
    const answer = call();
    await clock.settle();
    await holding("client-3", client.service.id, "a");
    await clock.settle();
    await holding("client-2", spareService.id, "one", IDS[1]!);
    // The rows are asked about one by one now, as the fallback wants them.
    await clock.settle();
    await holding("client-2", spareService.id, "two");
    await holding("client-2", spareService.id, "one", IDS[1]!);
    await clock.advance(limits.askWaitMs);
    assert.equal(main.requests.length, 0);
    assert.deepEqual(
      one.requests.map(({ values }) => values),
      [[2]],
      "the one that holds the row is not the one with the shortest queue",
    );
    await one.answers();
    await two.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2, 4]);
    assert.equal(client.counts.fallbackRows, 2);
    close();
  });

  it("rows that nobody holds go to the service", async () => {
    const { clock, main, one, two, call, close } = await restored();
    const answer = call();
    await clock.advance(2 * limits.askWaitMs);
    assert.deepEqual([main.requests.length, one.requests.length, two.requests.length], [1, 0, 0]);
    await main.answers();
    await within("the answer", answer);
    close();
  });

  it("who gives up while the fallback is asked waits no longer, and nothing is sent", async () => {
    const { client, clock, main, one, two, holding, call, close } = await restored();
    const answer = call();
    await clock.settle();
    await holding("client-3", client.service.id, "a");
    client.giveUp(owner, new MillraceError("MILL_JOB_FAILED", "stopped"));
    await assert.rejects(within("the end", answer), { code: "MILL_JOB_FAILED" });
    await clock.advance(2 * limits.askWaitMs);
    assert.deepEqual([main.requests.length, one.requests.length, two.requests.length], [0, 0, 0]);
    close();
  });
});
