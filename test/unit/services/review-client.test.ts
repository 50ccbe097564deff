import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { AnswerStore } from "../../../src/services/answer-store.js";
import { idBytes, idsOf } from "../../../src/services/row-ids.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { arrowSchema } from "../../../src/types/columns.js";
import { encodeBatch } from "../../../src/wire/arrow.js";
import { frameKind, releaseFrame } from "../../../src/wire/frames.js";
import { isOpen, within } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { batch, doubled, type FakeInstance, job, owner, setUp, subjects } from "./fake-instance.js";
import { doubles, numbers, output } from "./instance-bench.js";

const asIs = undefined;
const [a, b] = ["a", "b"].map((letter) => letter.repeat(16)) as [string, string];

function keptIn(store: MemoryStore): AnswerStore {
  const about = { job, service: "double", schema: arrowSchema(output), log: fakePorts().log };
  return new AnswerStore({ ...about, store: () => store });
}
const outcome = (...values: number[]) => ({ records: doubles(numbers(...values)), rejected: new Map() });
const valuesAt = ({ requests }: FakeInstance) => requests.map(({ values }) => values);

describe("services/client: where a request that failed goes", () => {
  it("back to where it failed, while the only other instance is not READY; nobody waits behind it (S9)", async () => {
    const { client, clock, instance } = await setUp(asIs, { retry: { attemptsMax: 3, pauseMs: 1_000 } });
    const [one, loading] = [await instance("one"), await instance("loading")];
    await one.says("READY");
    await loading.says("LOADING");
    const first = client.call(batch(1), owner);
    await clock.settle();
    await one.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
    await clock.advance(1_200);
    const second = client.call(batch(2), owner);
    await clock.settle();
    assert.deepEqual(valuesAt(one), [[1], [2]]);
    await one.answers();
    await one.answers();
    assert.deepEqual(doubled(await within("the first", first)), [2]);
    assert.deepEqual(doubled(await within("the second", second)), [4]);
    client.close();
  });
});

describe("services/client: answers of a handler that does not keep to the contract", () => {
  it("with other rows than were sent end the call, and are nobody else's (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const one = await instance("one");
    await one.says("READY");
    const answer = client.call(batch(1, 2), owner);
    answer.catch(() => {}); // met below
    await clock.settle();
    await one.answers("OK", { payload: Buffer.concat(encodeBatch(doubles(numbers(1)))) });
    await assert.rejects(within("the answer", answer), { code: "MILL_SERVICE_FAILED", message: /2 rows.* 1/ });
    client.close();
  });

  it("that refuse rows which they were not sent end the call (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const one = await instance("one");
    await one.says("READY");
    for (const row of [2, -1]) {
      const answer = client.call(batch(1, 2), owner);
      answer.catch(() => {}); // met below
      await clock.settle();
      await one.answers("OK", { rejected: [row] });
      await assert.rejects(within("the answer", answer), { code: "MILL_SERVICE_FAILED", message: /row -?\d/ });
    }
    client.close();
  });
});

describe("services/client: answers that are kept as objects, of calls of several rows (S11)", () => {
  it("are looked for when their instance is lost and its calls took long, however short a row takes", async () => {
    const store = new MemoryStore();
    await keptIn(store).save([a], outcome(1));
    const spec = { batch: { rowsMax: 10 }, persistAfterMs: 1_000 };
    const { client, clock, instance } = await setUp(asIs, spec, { saved: keptIn(store) });
    const [one, two] = [await instance("one"), await instance("two")];
    await one.says("READY", { rowMs: 200 });
    const answer = client.call(batch(1), owner, { rowIds: [a] });
    await clock.settle();
    await two.says("READY");
    await one.says("STOPPED", { rowMs: 200 });
    assert.deepEqual(doubled(await within("the answer", answer)), [2]);
    assert.equal(two.requests.length, 0);
    client.close();
  });

  it("are looked for row by row when an instance crashed: only the others are sent", async () => {
    const store = new MemoryStore();
    await keptIn(store).save([a], outcome(1));
    const { client, clock, instance } = await setUp(asIs, {}, { saved: keptIn(store) });
    const [one, two] = [await instance("one"), await instance("two")];
    await one.says("READY", { rowMs: 60_000 });
    const answer = client.call(batch(1, 2), owner, { rowIds: [a, b] });
    await clock.settle();
    await two.says("READY");
    await one.crashes();
    await clock.settle();
    assert.deepEqual(valuesAt(two), [[2]]);
    await two.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [2, 4]);
    client.close();
  });

  it("are deleted with their rows, when they were found there", async () => {
    const store = new MemoryStore();
    await keptIn(store).save([a], outcome(1));
    const { client, clock } = await setUp(asIs, {}, { saved: keptIn(store) });
    const answer = client.call(batch(1), owner, { rowIds: [a], ask: true });
    await clock.advance(600);
    assert.deepEqual(doubled(await within("the answer", answer)), [2]);
    client.release([{ ids: [a], by: undefined }]);
    await clock.settle();
    assert.equal((await keptIn(store).find([a])).size, 0);
    client.close();
  });
});

describe("services/client: many rows released at once", () => {
  it("are told in frames that can be sent", async () => {
    const { client, clock, bus } = await setUp();
    let told = 0;
    await bus.subscribe(subjects.ask(client.service.id), ({ payload }) => {
      if (frameKind(payload) === "release") told += idsOf(releaseFrame.decode(payload).header.rowIds).length;
    });
    const ids = Array<string>(limits.frameHeaderBytesMax / idBytes([a]).length + 1).fill(a);
    client.release([{ ids, by: undefined }]);
    await clock.settle();
    assert.equal(told, ids.length);
    client.close();
  });
});

describe("services/client: a request that a crash has split", () => {
  it("ends when its owner gives up, whatever its parts are waiting for (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const one = await instance("one");
    await one.says("READY", { rowMs: 60_000 });
    const answer = client.call(batch(1, 2), owner);
    answer.catch(() => {});
    await clock.settle();
    await one.crashes();
    assert.ok(await isOpen(answer));
    client.giveUp(owner, new Error("stopped") as never);
    await assert.rejects(within("the answer", answer), /stopped/);
    assert.equal(client.queuedRows, 0);
  });
});

describe("services/client: one instance put aside, and its peers gone", () => {
  it("is asked all the same: nobody else is there (E1)", async () => {
    const { client, clock, instance } = await setUp(asIs, { retry: { attemptsMax: 1 } });
    const [bad, good] = [await instance("bad"), await instance("good")];
    await good.says("READY");
    for (let i = 0; i < 6; i++) {
      const answer = client.call(batch(i), owner);
      await clock.settle();
      await good.answers();
      await within("an answer", answer);
    }
    await good.says("READY", { queuedRows: 1_000_000 });
    await bad.says("READY");
    for (let i = 0; i < 6; i++) {
      const answer = client.call(batch(i), owner);
      answer.catch(() => {});
      await clock.settle();
      if (bad.requests.length === 0) {
        await good.answers();
        continue;
      }
      await bad.answers("FAILED", { code: "MILL_SERVICE_FAILED" });
      await good.says("READY", { queuedRows: 1_000_000 });
    }
    await good.crashes("STOPPED");
    const answer = client.call(batch(9), owner);
    await clock.settle();
    assert.equal(bad.requests.length, 1);
    await bad.answers();
    assert.deepEqual(doubled(await within("the answer", answer)), [18]);
    client.close();
  });
});
