import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { gate, within } from "../actors/support.js";
import { Bench, doubles } from "./instance-bench.js";

describe("services/instance: drain", () => {
  it("gives back what is queued, answers what runs, then unloads and stops (N5)", async () => {
    const door = gate();
    const bench = await new Bench({
      infer: async (batch) => {
        await door.promise;
        return doubles(batch);
      },
    }).ready();
    const running = bench.send([1]);
    await bench.clock.settle();
    const queued = bench.send([2]);
    await bench.clock.settle();
    const drained = bench.instance.drain();
    const late = bench.send([3]);
    await bench.clock.settle();
    assert.equal(bench.answer(queued).header.status, "RETURNED");
    assert.equal(bench.answer(late).header.status, "RETURNED");
    assert.ok(!bench.events.includes("unload"), "unloaded under a running call");
    door.open();
    await within("the end of the drain", drained);
    await bench.clock.settle();
    assert.deepEqual(bench.answer(running).doubled, [2]);
    assert.deepEqual(bench.calls, [[1]]);
    assert.deepEqual(bench.states, ["LOADING", "WARMING", "READY", "DRAINING", "STOPPED"]);
    assert.equal(bench.events.at(-1), "unload");
    assert.equal(bench.clock.waiting, 0, "no timer is left");
  });

  it("does not wait for more rows: what waited for company is returned at once (N5)", async () => {
    const bench = await new Bench({ batch: { rowsMax: 8, delayMsMax: 60_000 } }).ready();
    const id = bench.send([1]);
    await bench.clock.settle();
    await within("the end of the drain", bench.instance.drain());
    await bench.clock.settle();
    assert.equal(bench.answer(id).header.status, "RETURNED");
    assert.deepEqual(bench.calls, []);
  });

  for (const phase of ["load", "warm"] as const) {
    it(`while it is in ${phase}: stops, never becomes READY, and is not called failed`, async () => {
      const door = gate();
      const bench = await new Bench({ [phase]: () => door.promise }).listen();
      const started = bench.instance.start();
      await bench.clock.settle();
      const drained = bench.instance.drain();
      door.open();
      await within("the end of the drain", drained);
      await within("start to give up", started);
      await bench.clock.settle();
      const before = phase === "load" ? ["LOADING"] : ["LOADING", "WARMING"];
      assert.deepEqual(bench.states, [...before, "DRAINING", "STOPPED"]);
      assert.equal(bench.clock.waiting, 0, "no timer is left");
    });
  }

  it("asked twice, drains once; a failing unload does not keep it from stopping", async () => {
    const bench = await new Bench({ unload: () => Promise.reject(new Error("stuck")) }).ready();
    await within("both drains", Promise.all([bench.instance.drain(), bench.instance.drain()]));
    assert.equal(bench.events.filter((event) => event === "unload").length, 1);
    assert.equal(bench.instance.state, "STOPPED");
    await bench.instance.drain();
    assert.equal(bench.events.filter((event) => event === "unload").length, 1);
  });
});

describe("services/instance: what it holds", () => {
  /** One request runs until the door is opened, the next waits. */
  async function holding() {
    const door = gate();
    const bench = await new Bench({
      infer: async (batch) => {
        await door.promise;
        return doubles(batch);
      },
      batch: { rowsMax: 1 },
    }).ready();
    const ids = [bench.send([1]), bench.send([2])] as const;
    await bench.clock.settle();
    return { bench, door, ids };
  }

  it("a heartbeat names what runs and what is queued; what is answered it names no more (N6)", async () => {
    const { bench, door, ids } = await holding();
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.deepEqual(
      bench.held.map((one) => [...one].sort()),
      [[...ids]],
    );
    door.open();
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.deepEqual(bench.held.at(-1), []);
    await bench.instance.drain();
  });

  it("a heartbeat that a call kept back says nothing of it: what has come meanwhile was not looked at; the next does (N6)", async () => {
    const { bench, door, ids } = await holding();
    await bench.clock.freeze(limits.heartbeatIntervalMs + limits.heartbeatLateMs + 1);
    assert.deepEqual(bench.held, []);
    assert.equal(bench.reports.at(-1)!.runningRows, 1, "its load it tells all the same");
    await bench.clock.freeze(limits.heartbeatIntervalMs + limits.heartbeatLateMs);
    assert.deepEqual(
      bench.held.map((one) => [...one].sort()),
      [[...ids]],
    );
    door.open();
    await bench.instance.drain();
  });

  it("a request that comes again while it is held is dropped; one that was answered is worked on again (N6, N2)", async () => {
    const { bench, door, ids } = await holding();
    for (const [i, id] of ids.entries()) bench.send([i + 1], { id });
    await bench.clock.settle();
    assert.equal(bench.answers.length, 0);
    door.open();
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1], [2]]);
    assert.deepEqual(
      ids.map((id) => bench.answer(id).doubled),
      [[2], [4]],
    );
    bench.send([1], { id: ids[0] });
    await bench.clock.settle();
    assert.deepEqual(bench.calls.at(-1), [1]);
    assert.equal(bench.answers.filter(({ header }) => header.id === ids[0]).length, 2);
  });
});
