import assert from "node:assert/strict";
import type { ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { ServiceClient } from "../../../src/services/client.js";
import { idBytes, idsOf } from "../../../src/services/row-ids.js";
import { askFrame, frameKind, holdingFrame, releaseFrame } from "../../../src/wire/frames.js";
import { isOpen, within } from "../actors/support.js";
import { batch, declare, doubled, FakeInstance, job, namespace, owner, setUp, subjects } from "./fake-instance.js";

const asIs = undefined;
const DOUBLE = "double" as ServiceId;

describe("services/client: what fails is tried again", () => {
  it("after a pause, elsewhere if there is an elsewhere, as often as the service says (S9)", async () => {
    const { client, clock, instance } = await setUp(asIs, { retry: { attemptsMax: 3, pauseMs: 1_000 } });
    const [a, b] = [await instance("a"), await instance("b")];
    await a.says("READY");
    await b.says("READY", { queuedRows: 50 });
    const answer = client.call(batch(1), owner);
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await clock.advance(400);
    assert.deepEqual([a.requests.length, b.requests.length], [0, 0], "it pauses");
    await clock.advance(700);
    assert.deepEqual([a.requests.length, b.requests.length], [0, 1]);
    await b.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await clock.advance(2_200);
    assert.equal(a.requests.length, 1);
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await assert.rejects(within("the answer", answer), {
      code: "MILL_ENDPOINT_BUSY",
      message: /service "double": it broke/,
    });
  });

  it("not before the server said (T2)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a");
    await a.says("READY");
    void client.call(batch(1), owner);
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY", retryAfterMs: 7_000 });
    await clock.advance(6_900);
    assert.equal(a.requests.length, 0);
    await clock.advance(300);
    assert.equal(a.requests.length, 1);
    client.close();
  });

  it("others go on during the pause", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a");
    await a.says("READY");
    const [failed, next] = [client.call(batch(1), owner), client.call(batch(2), owner)];
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY", retryAfterMs: 60_000 });
    await a.answers();
    assert.deepEqual(doubled(await within("the next", next)), [4]);
    assert.ok(await isOpen(failed));
    client.close();
    await assert.rejects(failed, { code: "MILL_SERVICE_LOST" });
  });

  it("a handler's failure on several rows is narrowed down to the row that is to blame (T3)", async () => {
    const { client, clock, instance } = await setUp(asIs, { batch: { rowsMax: 8 }, retry: { attemptsMax: 1 } });
    const a = await instance("a");
    await a.says("READY");
    const answer = client.call(batch(1, 2, 13, 4), owner);
    for (let i = 0; i < 20 && (await isOpen(answer)); i++) {
      await clock.settle();
      while (a.requests.length > 0) {
        await a.answers(a.requests[0]!.values.includes(13) ? "FAILED" : "OK", { code: "MILL_SERVICE_FAILED" });
      }
    }
    const { records, rejected } = await within("the answer", answer);
    const kept = doubled({ records }).filter((_, row) => row !== 2);
    assert.deepEqual(kept, [2, 4, 8]);
    assert.deepEqual(
      rejected.map(({ row, code }) => [row, code]),
      [[2, "MILL_SERVICE_FAILED"]],
    );
  });

  it("rows that no try could answer go to the fallback, cut as that wants them (T4)", async () => {
    const first = await setUp(asIs, { retry: { attemptsMax: 1 } });
    const second = declare("spare", { batch: { rowsMax: 1 } });
    const { bus, clock, ports } = first;
    const spare = new ServiceClient({ bus, ports, namespace, job, attempt: 1, client: "client-2", service: second });
    await spare.open();
    const client = new ServiceClient({
      ...{ bus, ports, namespace, job, attempt: 1, client: "client-3", service: first.client.service },
      fallback: spare,
    });
    await client.open();
    const [a, b] = [await first.instance("a"), await new FakeInstance(bus, clock, "b", second.id).open()];
    await a.says("READY");
    await b.says("READY");
    const answer = client.call(batch(1, 2), owner);
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    assert.deepEqual(
      b.requests.map(({ values }) => values),
      [[1], [2]],
    );
    await b.answers();
    await b.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2, 4]);
    for (const one of [client, spare, first.client]) one.close();
    assert.equal(clock.waiting, 0, "no timer is left");
  });
});

describe("services/client: time", () => {
  it("nothing waits longer than its deadline: not for an instance, and not for an answer (T1, S9)", async () => {
    const { client, clock, instance } = await setUp(asIs, { deadlineMs: 3_000 });
    const unsent = client.call(batch(1), owner);
    await clock.advance(3_100);
    const late = { code: "MILL_SERVICE_TIMEOUT", message: /deadlineMs of 3000 ms/ };
    await assert.rejects(within("the unsent", unsent), late);
    const a = await instance("a");
    await a.says("READY");
    const sent = client.call(batch(1), owner);
    await clock.advance(1_000);
    await a.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await clock.advance(500);
    const left = a.requests[0]!.header.timeoutMs;
    assert.ok(left > 1_000 && left < 2_000, `${left} ms are left`);
    await clock.advance(1_600);
    await assert.rejects(within("the sent", sent), late);
    assert.deepEqual(a.cancelled, [a.requests[0]!.header.id]);
    assert.equal(clock.waiting, 0, "no timer is left");
  });

  it("without a deadline it waits for as long as it takes", async () => {
    const { client, clock, instance } = await setUp();
    const answer = client.call(batch(1), owner);
    const a = await instance("a");
    await a.says("READY");
    await clock.advance(2 * 3_600_000);
    assert.ok(await isOpen(answer));
    assert.equal(a.requests[0]!.header.timeoutMs, 0);
    await a.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2]);
  });

  it("what expired at its instance is late", async () => {
    const { client, clock, instance } = await setUp(asIs, { deadlineMs: 3_000, retry: { attemptsMax: 1 } });
    const a = await instance("a");
    await a.says("READY");
    const answer = client.call(batch(1), owner);
    await clock.settle();
    await a.answers("EXPIRED");
    await assert.rejects(within("the answer", answer), { code: "MILL_SERVICE_TIMEOUT" });
  });

  it("what was sent goes on where it runs when its owner gives up: who is restored asks for it again (guarantee 3)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a");
    await a.says("READY");
    const answer = client.call(batch(1), owner);
    answer.catch(() => {});
    await clock.settle();
    client.giveUp(owner, new Error("stopped") as never);
    await clock.settle();
    assert.deepEqual(a.cancelled, []);
  });
});

describe("services/client: an instance that fails more often than its peers (S8)", () => {
  /** Sends requests one at a time until `count` have ended; `bad` fails each that it gets. */
  async function run(count: number, bad: FakeInstance, good: FakeInstance, set: Awaited<ReturnType<typeof setUp>>) {
    let toBad = 0;
    for (let i = 0; i < count; i++) {
      const answer = set.client.call(batch(i), {});
      await set.clock.settle();
      if (bad.requests.length > 0) {
        toBad++;
        await bad.answers("FAILED", { code: "MILL_SERVICE_FAILED" });
        await set.clock.advance(300);
      }
      if (good.requests.length > 0) await good.answers();
      await answer.catch(() => {});
    }
    return toBad;
  }

  it("is put aside, tried again with one request, and put aside for longer when that fails, too (E1, E2)", async () => {
    const set = await setUp(asIs, { retry: { attemptsMax: 3, pauseMs: 1 } });
    const [bad, good] = [await set.instance("bad"), await set.instance("good")];
    await bad.says("READY", { rowMs: 0.1 });
    await good.says("READY", { rowMs: 50 });
    assert.ok((await run(30, bad, good, set)) < 15);
    assert.equal(await run(10, bad, good, set), 0, "it is aside");
    await set.clock.advance(limits.asideMs);
    assert.equal(await run(10, bad, good, set), 1, "one on probation");
    await set.clock.advance(limits.asideMs);
    assert.equal(await run(10, bad, good, set), 0, "aside for longer");
    await set.clock.advance(limits.asideMs);
    const trial = set.client.call(batch(1), {});
    await set.clock.settle();
    assert.equal(bad.requests.length, 1);
    await bad.answers();
    await within("the trial", trial);
    assert.ok((await run(3, bad, good, set)) > 0, "it is as good as any");
    set.client.close();
  });

  it("a service that fails everywhere keeps its instances (E1)", async () => {
    const set = await setUp(asIs, { retry: { attemptsMax: 1 } });
    const [a, b] = [await set.instance("a"), await set.instance("b")];
    await a.says("READY");
    await b.says("READY");
    for (let i = 0; i < 30; i++) {
      const answer = set.client.call(batch(i), {});
      await set.clock.settle();
      await (a.requests.length > 0 ? a : b).answers("FAILED", { code: "MILL_SERVICE_FAILED" });
      await assert.rejects(within("the answer", answer), { code: "MILL_SERVICE_FAILED" });
    }
  });
});

describe("services/client: rows that an instance may hold", () => {
  const ids = ["a".repeat(16), "b".repeat(16)];

  /** What the client tells all instances. */
  async function told(set: Awaited<ReturnType<typeof setUp>>) {
    const asked: string[][] = [];
    const released: string[] = [];
    await set.bus.subscribe(subjects.ask(DOUBLE), ({ payload }) => {
      if (frameKind(payload) === "ask") asked.push(idsOf(askFrame.decode(payload).header.rowIds));
      else released.push(...idsOf(releaseFrame.decode(payload).header.rowIds));
    });
    return { asked, released };
  }

  it("are asked about together, and sent to the instance that says it holds them (S10, guarantee 3)", async () => {
    const set = await setUp();
    const { client, clock, bus, instance } = set;
    const { asked } = await told(set);
    const [a, b] = [await instance("a"), await instance("b")];
    await a.says("READY");
    await b.says("READY", { queuedRows: 100 });
    void client.call(batch(1), owner, { rowIds: [ids[0]!], ask: true });
    void client.call(batch(2), owner, { rowIds: [ids[1]!], ask: true });
    await clock.advance(1);
    assert.deepEqual(asked, [ids]);
    assert.deepEqual([a.requests.length, b.requests.length], [0, 0]);
    const holding = holdingFrame.encode({ service: DOUBLE, instance: "b", rowIds: idBytes([ids[1]!]), round: 1 });
    await bus.publish(subjects.answer("client-1"), holding);
    await clock.settle();
    assert.deepEqual([a.requests.length, b.requests.map(({ values }) => values)], [0, [[2]]]);
    await clock.advance(limits.askWaitMs);
    assert.deepEqual(
      a.requests.map(({ values }) => values),
      [[1]],
      "nobody holds it",
    );
    client.close();
  });

  it("go elsewhere when the instance that held them is gone", async () => {
    const { client, clock, bus, instance } = await setUp();
    const [a, b] = [await instance("a"), await instance("b")];
    await a.says("READY");
    await b.says("READY", { queuedRows: 100 });
    void client.call(batch(1), owner, { rowIds: [ids[0]!], ask: true });
    await clock.advance(1);
    const holding = holdingFrame.encode({ service: DOUBLE, instance: "b", rowIds: idBytes([ids[0]!]), round: 1 });
    await bus.publish(subjects.answer("client-1"), holding);
    await clock.settle();
    await b.crashes();
    assert.deepEqual(
      a.requests.map(({ values }) => values),
      [[1]],
    );
    client.close();
  });

  it("are released when they are not needed any more", async () => {
    const set = await setUp();
    const { released } = await told(set);
    set.client.release([{ ids, by: undefined }]);
    set.client.release([]);
    await set.clock.settle();
    assert.deepEqual(released, ids);
  });

  it("are released where they were answered, by the name of their request (S15)", async () => {
    const set = await setUp();
    const { released } = await told(set);
    const [a, b] = [await set.instance("a"), await set.instance("b")];
    await a.says("READY");
    await b.says("READY", { queuedRows: 100 });
    const answer = set.client.call(batch(1), owner, { rowIds: [ids[0]!] });
    await set.clock.settle();
    const [request] = a.requests;
    await a.answers();
    const { by } = await within("the answer", answer);
    set.client.release([{ ids: [ids[0]!], by }]);
    await set.clock.settle();
    assert.deepEqual([a.released, b.released, released], [[[request!.header.id]], [], []]);
    set.client.close();
  });

  it("are released everywhere, when another instance may have answered them before, or none is known to (S15)", async () => {
    const set = await setUp();
    const { released } = await told(set);
    const [a, b] = [await set.instance("a"), await set.instance("b")];
    await a.says("READY");
    await b.says("READY", { queuedRows: 100 });
    const lost = set.client.call(batch(1), owner, { rowIds: [ids[0]!] });
    await set.clock.advance(limits.requestLostMs + 1);
    await a.holds();
    await a.answers();
    const asked = set.client.call(batch(2), owner, { rowIds: [ids[1]!], ask: true });
    await set.clock.advance(limits.askWaitMs + 1);
    for (const one of [a, b]) while (one.requests.length > 0) await one.answers();
    const answers = await within("the answers", Promise.all([lost, asked]));
    set.client.release(answers.map(({ by }, i) => ({ ids: [ids[i]!], by })));
    await set.clock.settle();
    assert.deepEqual([a.released, b.released, released], [[], [], ids]);
    set.client.close();
  });

  it("are released everywhere, when an instance has failed with them, and others answered their parts, or the fallback (S15)", async () => {
    const set = await setUp();
    const { bus, clock, ports } = set;
    const spareService = declare("spare");
    const parts = { bus, ports, namespace, job, attempt: 1 };
    const spare = new ServiceClient({ ...parts, client: "client-2", service: spareService });
    const client = new ServiceClient({ ...parts, client: "client-3", service: set.client.service, fallback: spare });
    await Promise.all([spare.open(), client.open()]);
    const { released } = await told(set);
    const a = await set.instance("a");
    const one = await new FakeInstance(bus, clock, "one", spareService.id).open();
    await a.says("READY");
    await one.says("READY");
    const answer = client.call(batch(1, 2), owner, { rowIds: ids });
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_REFUSED" });
    await a.answers();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_REFUSED" });
    await one.answers();
    const { by } = await within("the answer", answer);
    client.release([{ ids, by }]);
    await clock.settle();
    assert.deepEqual([a.released, released], [[], ids]);
    const last = client.call(batch(2), owner, { rowIds: [ids[1]!] });
    await clock.settle();
    await a.answers("FAILED", { code: "MILL_ENDPOINT_REFUSED" });
    await one.answers();
    client.release([{ ids: [ids[1]!], by: (await within("the answer", last)).by }]);
    await clock.settle();
    assert.deepEqual([a.released, released], [[], [...ids, ids[1]!]]);
    for (const each of [client, spare, set.client]) each.close();
  });

  it("are released in messages that can be sent, however many requests they were in (S15)", async () => {
    const set = await setUp();
    const a = await set.instance("a");
    await a.says("READY");
    const requests = Array.from({ length: 20_000 }, (_, i) => `${"client".repeat(6)}-${i}`);
    set.client.release(requests.map((request) => ({ ids: [ids[0]!], by: [{ instance: "a", request }] })));
    await set.clock.settle();
    assert.deepEqual(a.released.flat(), requests);
    set.client.close();
  });

  it("a client that comes up asks all instances for their load, so that it need not wait for a heartbeat", async () => {
    const set = await setUp();
    const { asked } = await told(set);
    const { bus, ports } = set;
    const other = { bus, ports, namespace, job, attempt: 1, client: "client-2", service: set.client.service };
    await new ServiceClient(other).open();
    await set.clock.settle();
    assert.deepEqual(asked, [[]]);
  });
});
