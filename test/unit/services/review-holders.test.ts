import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { idBytes } from "../../../src/services/row-ids.js";
import { holdingFrame } from "../../../src/wire/frames.js";
import { isOpen } from "../actors/support.js";
import { batch, owner, setUp, subjects } from "./fake-instance.js";

const a = "a".repeat(16);

describe("services/client: a request whose answer is looked for in a store that hangs", () => {
  it("is sent before its time is over (S9, S11)", async () => {
    const saved = { find: () => new Promise(() => {}), delete: async () => {} } as never;
    const { client, clock, instance } = await setUp(undefined, {}, { saved });
    const one = await instance("one");
    await one.says("READY");
    const answer = client.call(batch(1), owner, { rowIds: [a], ask: true });
    answer.catch(() => {});
    await clock.advance(limits.askWaitMs + limits.storeCheckTimeoutMs);
    assert.equal(one.requests.length, 1);
    client.close();
    assert.equal(clock.waiting, 0, "no timer is left");
  });
});

describe("services/client: an instance that holds a row and has no room for its request", () => {
  it("is asked again until the deadline, no longer (S9, S10)", async () => {
    const { client, clock, instance, bus } = await setUp(undefined, { deadlineMs: 5_000 });
    const one = await instance("one");
    await one.says("READY");
    const answer = client.call(batch(1), owner, { rowIds: [a], ask: true });
    answer.catch(() => {});
    await clock.settle();
    const holding = { service: "double", instance: "one" as InstanceId, rowIds: idBytes([a]), round: 1 };
    await bus.publish(subjects.answer("client-1"), holdingFrame.encode(holding));
    await clock.settle();
    for (let i = 0; i < 100 && (await isOpen(answer)); i++) {
      if (one.requests.length > 0) await one.answers("REJECTED");
      await clock.advance(100);
    }
    assert.ok(!(await isOpen(answer)));
    client.close();
  });
});
