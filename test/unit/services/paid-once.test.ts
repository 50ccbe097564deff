/** What would be worked on twice, seen where it is decided: whom a client sends rows to, and what an instance begins (guarantee 3). */
import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { idBytes } from "../../../src/services/row-ids.js";
import { holdingFrame, loadReportFrame } from "../../../src/wire/frames.js";
import { gate, within } from "../actors/support.js";
import { batch, doubled, type FakeInstance, owner, setUp, subjects } from "./fake-instance.js";
import { Bench, subjects as deskSubjects, doubles } from "./instance-bench.js";

const [a, b, c] = ["a".repeat(16), "b".repeat(16), "c".repeat(16)] as const;
const rows = (instance: FakeInstance) => instance.requests.map(({ values }) => values);

/** A client, and two instances that say what they hold. */
async function asked(about: Parameters<typeof setUp>[2] = {}) {
  const { client, clock, instance, bus } = await setUp(undefined, {}, about);
  const [one, two] = [await instance("one"), await instance("two")];
  await one.says("READY");
  await two.says("READY");
  const holdingOf = async (round: number, { name }: FakeInstance, ...rowIds: string[]) => {
    const header = { service: "double", instance: name as InstanceId, rowIds: idBytes(rowIds), round };
    await bus.publish(subjects.answer("client-1"), holdingFrame.encode(header));
    await clock.settle();
  };
  const holding = (instance: FakeInstance, ...rowIds: string[]) => holdingOf(1, instance, ...rowIds);
  return { client, clock, one, two, holding, holdingOf };
}

describe("services/holders: a request whose rows are held in several places", () => {
  it("goes on in parts, each to who holds it, and is answered as one (S10)", async () => {
    const { client, clock, one, two, holding } = await asked();
    const answer = client.call(batch(1, 2), owner, { rowIds: [a, b], ask: true });
    await clock.settle();
    await holding(two, b);
    assert.deepEqual([rows(one), rows(two)], [[], []], "another may hold the other row");
    await holding(one, a);
    assert.deepEqual([rows(one), rows(two)], [[[1]], [[2]]]);
    await two.answers();
    await one.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2, 4]);
    client.close();
  });

  it("goes on when one holds all of it, whoever has not been heard (S10)", async () => {
    const { client, clock, one, two, holding } = await asked();
    client.call(batch(1, 2), owner, { rowIds: [a, b], ask: true }).catch(() => {});
    await clock.settle();
    await holding(two, a, b);
    assert.deepEqual([rows(one), rows(two)], [[], [[1, 2]]]);
    client.close();
  });

  it("waits for an instance whose word about an earlier question comes twice (S10)", async () => {
    const { client, clock, one, two, holding, holdingOf } = await asked();
    client.call(batch(1), owner, { rowIds: [a], ask: true }).catch(() => {});
    await clock.settle();
    await holding(one, a);
    await holding(two);
    client.call(batch(2), owner, { rowIds: [b], ask: true }).catch(() => {});
    await clock.settle();
    for (const again of [one, two]) await holding(again);
    assert.deepEqual([rows(one), rows(two)], [[[1]], []], "the second is not sent before both were heard about it");
    await holdingOf(2, one);
    await holdingOf(2, two, b);
    assert.deepEqual(rows(two), [[2]]);
    client.close();
  });

  it("what nobody holds of it is looked for among the answers that were kept (S10, S11)", async () => {
    const looked: string[] = [];
    const find = async (ids: readonly string[]) => {
      looked.push(...ids);
      return new Map();
    };
    const { client, clock, one, two, holding } = await asked({ saved: { find, delete: async () => {} } as never });
    const answer = client.call(batch(1, 2), owner, { rowIds: [a, c], ask: true });
    await clock.settle();
    await holding(two, a);
    await holding(one);
    assert.deepEqual(looked, [c]);
    assert.deepEqual(rows(two), [[1]]);
    assert.deepEqual(rows(one), [[2]]);
    await one.answers();
    await two.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2, 4]);
    client.close();
  });

  it("is found by a late word, too, as long as its answer is looked for (S10, S11)", async () => {
    const saved = { find: () => new Promise(() => {}), delete: async () => {} } as never;
    const { client, clock, one, two, holding } = await asked({ saved });
    client.call(batch(1), owner, { rowIds: [a], ask: true }).catch(() => {});
    await clock.settle();
    await holding(two); // to what was asked before
    await holding(one);
    await holding(two, a);
    assert.deepEqual([rows(one), rows(two)], [[], [[1]]]);
    client.close();
  });

  it("waits no longer than for one whose rows nobody holds (S10)", async () => {
    const { client, clock, one, two, holding } = await asked();
    client.call(batch(1, 2), owner, { rowIds: [a, b], ask: true }).catch(() => {});
    await clock.settle();
    await holding(one, a);
    await clock.advance(limits.askWaitMs);
    assert.deepEqual([...rows(one), ...rows(two)].flat().sort(), [1, 2]);
    assert.ok(rows(one).flat().includes(1));
    client.close();
  });
});

describe("services/client: an instance that gives back one request, because others are less busy", () => {
  it("goes on holding what it holds: what waits for it waits on (S10)", async () => {
    const { client, clock, one, two, holding } = await asked();
    for (const [n, id] of [
      [1, a],
      [2, b],
    ] as const) {
      client.call(batch(n), owner, { rowIds: [id], ask: true }).catch(() => {});
    }
    await clock.settle();
    await holding(one, a, b);
    await one.answers("REJECTED"); // the row 1 waits until there is room
    await one.answers("RETURNED");
    await one.says("READY", { queuedRows: 50, rowMs: 10 });
    await two.says("READY", { rowMs: 10 });
    await clock.advance(2 * limits.callSweepMs);
    assert.ok(rows(one).flat().includes(1));
    assert.ok(!rows(two).flat().includes(1), "a row that the other holds was sent elsewhere");
    client.close();
  });
});

describe("services/client: the name of a request", () => {
  for (const status of ["REJECTED", "RETURNED", "FAILED"] as const) {
    it(`is another after it was ${status}: a late copy of it is not the one that is sent again (S14)`, async () => {
      const { client, clock, instance } = await setUp();
      const one = await instance("one");
      await one.says("READY");
      const answer = client.call(batch(1), owner);
      await clock.settle();
      const { id } = one.requests[0]!.header;
      await one.answers(status, { code: status === "FAILED" ? "MILL_ENDPOINT_BUSY" : "" });
      await clock.advance(1_000);
      await one.says("READY");
      assert.notEqual(one.requests[0]!.header.id, id);
      await one.answers();
      assert.deepEqual(doubled(await within("the answer", answer)), [2]);
      client.close();
    });
  }
});

describe("services/desk: a request that comes once more, long after", () => {
  it("is not begun where it was refused: its client has sent it elsewhere (N2)", async () => {
    const door = gate();
    const infer = async (records: Parameters<typeof doubles>[0]) => {
      await door.promise;
      return doubles(records);
    };
    const bench = await new Bench({ infer, spec: { queue: { rowsMax: 1 } } }).ready();
    for (const n of [1, 2]) {
      bench.send([n]);
      await bench.clock.settle();
    }
    const refused = bench.send([3], { rowIds: "c" });
    await bench.clock.settle();
    door.open();
    await bench.clock.settle();
    bench.send([3], { id: refused, rowIds: "c" });
    await bench.clock.settle();
    const told = bench.answers.filter(({ header }) => header.id === refused).map(({ header }) => header.status);
    assert.deepEqual(told, ["REJECTED", "REJECTED"]);
    assert.deepEqual(bench.calls, [[1], [2]]);
    const renamed = bench.send([3], { rowIds: "c" });
    await bench.clock.settle();
    assert.deepEqual(bench.answer(renamed).doubled, [6]);
  });

  it("is not begun where it has failed (N2)", async () => {
    let calls = 0;
    const bench = await new Bench({
      infer: async (records) => {
        if (++calls === 1) throw new Error("not now");
        return doubles(records);
      },
    }).ready();
    const failed = bench.send([1], { rowIds: "a" });
    await bench.clock.settle();
    bench.send([1], { id: failed, rowIds: "a" });
    await bench.clock.settle();
    assert.equal(bench.calls.length, 1);
  });
});

describe("services/desk: what waits here and is partly answered", () => {
  it("is not given back: elsewhere all of it would be worked on (N10)", async () => {
    const door = gate();
    let calls = 0;
    const bench = await new Bench({
      batch: { rowsMax: 2 },
      infer: async (records) => {
        if (calls++ > 0) await door.promise;
        return doubles(records);
      },
    }).ready();
    bench.send([1], { rowIds: "a" });
    await bench.clock.settle();
    for (let n = 2; n < 10; n++) bench.send([n], { bucket: String(n) });
    await bench.clock.settle();
    const mixed = bench.send([1, 11], { rowIds: "ak", bucket: "mixed" });
    await bench.clock.settle();
    const load = {
      sequence: 1n,
      subject: "",
      queuedRows: 0,
      runningRows: 0,
      rowMs: 0,
      enteredMs: 0n,
      reason: "",
      code: "",
    };
    const other = { service: "double", instance: "double-1", state: "READY" as const, ...load };
    void bench.bus.publish(deskSubjects.load(bench.service.id), loadReportFrame.encode(other));
    await bench.clock.settle();
    const returned = bench.answers.filter(({ header }) => header.status === "RETURNED").map(({ header }) => header.id);
    assert.ok(returned.length > 0);
    assert.ok(!returned.includes(mixed));
  });
});

describe("services/instance: a drain, and requests that wait for rows under way", () => {
  const draining = async (fails = false) => {
    const door = gate();
    const bench = await new Bench({
      infer: async (records) => {
        await door.promise;
        if (fails) throw new Error("it broke");
        return doubles(records);
      },
    }).ready();
    bench.send([1], { rowIds: "a" });
    await bench.clock.settle();
    const joined = bench.send([1], { rowIds: "a", client: "client-2" });
    await bench.clock.settle();
    const drained = bench.instance.drain();
    await bench.clock.settle();
    return { bench, door, joined, drained };
  };
  const statusesOf = (bench: Bench, id: string) =>
    bench.answers.filter(({ header }) => header.id === id).map(({ header }) => header.status);

  it("are answered when those end, with what runs: elsewhere they would be worked on again (N5, N7)", async () => {
    const { bench, door, joined, drained } = await draining();
    assert.deepEqual(statusesOf(bench, joined), []);
    door.open();
    await within("the end of the drain", drained);
    assert.deepEqual(bench.answer(joined).doubled, [2]);
    assert.deepEqual(bench.calls, [[1]]);
  });

  it("are given back when those fail, or when the time to drain is up (N5)", async () => {
    const failing = await draining(true);
    failing.door.open();
    await within("the end of the drain", failing.drained);
    assert.deepEqual(statusesOf(failing.bench, failing.joined), ["RETURNED"]);
    assert.equal(failing.bench.calls.length, 1);
    const late = await draining();
    await late.bench.clock.advance(limits.drainCallsMs);
    await within("the end of the drain", late.drained);
    assert.deepEqual(statusesOf(late.bench, late.joined), ["RETURNED"]);
  });
});
