/** Services that share the answers of equal rows: `cache: "content"`. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../../src/base/errors.js";
import { ServiceClient } from "../../../src/services/client.js";
import { contentIdsOf, idsOf } from "../../../src/services/row-ids.js";
import { runsOf } from "../../../src/services/runs.js";
import { service } from "../../../src/topology/service.js";
import { t } from "../../../src/types/columns.js";
import { frameKind } from "../../../src/wire/frames.js";
import { gate, within } from "../actors/support.js";
import { batch, declare, doubled, FakeInstance, owner, setUp } from "./fake-instance.js";
import { Bench, doubles, job, namespace, numbers, type Parts, subjects, valuesOf } from "./instance-bench.js";

const asIs = undefined;
const SHARES = { cache: "content" } as const;
const idOf = (letter: string) => letter.repeat(16);

/** An instance that shares answers, or does not, and clients of it. */
async function withClients(parts: Parts = {}) {
  const bench = await new Bench({ ...parts, spec: { ...SHARES, ...parts.spec } }).ready();
  const { bus, ports, clock, service } = bench;
  const open = async (client: string) => {
    const made = new ServiceClient({ bus, ports, namespace, job, attempt: 1, client, service });
    await made.open();
    await clock.settle();
    return made;
  };
  return { bench, clock, one: await open("client-1"), two: await open("client-2") };
}

const call = (client: ServiceClient, values: readonly number[], letters: string) =>
  client.call(numbers(...values), owner, { rowIds: [...letters].map(idOf) });

describe("services/cache: equal rows", () => {
  it("are worked on once, whoever asks and wherever they come from; each has its answer in its place (S13, N7)", async () => {
    const { bench, clock, one, two } = await withClients({ batch: { rowsMax: 4 } });
    const first = call(one, [1, 2, 1, 3], "abcd");
    await clock.settle();
    assert.deepEqual(doubled(await within("the first", first)), [2, 4, 2, 6]);
    assert.deepEqual(doubled(await within("the second", call(two, [3, 4, 1, 4], "efgh"))), [6, 8, 2, 8]);
    assert.deepEqual(bench.calls, [[1, 2, 3], [4]]);
    assert.deepEqual([one.counts.repeatedRows, two.counts.repeatedRows], [1, 3]);
  });

  it("wait for the call that an equal one is in (N7)", async () => {
    const door = gate();
    const infer = async (records: RecordBatch) => {
      await door.promise;
      return doubles(records);
    };
    const { bench, clock, one, two } = await withClients({ infer });
    const answers = [call(one, [7], "a"), call(one, [7], "b"), call(two, [7], "c")];
    await clock.settle();
    door.open();
    for (const answer of await within("the answers", Promise.all(answers))) assert.deepEqual(doubled(answer), [14]);
    assert.deepEqual(bench.calls, [[7]]);
  });

  it("share a refusal, too", async () => {
    const infer: Parts["infer"] = async (records, { reject }) => {
      for (const [row, n] of valuesOf(records).entries()) {
        if (n === 13) reject(row, new MillraceError("MILL_RECORD_INVALID", "unlucky"));
      }
      return doubles(records);
    };
    const { bench, clock, one } = await withClients({ infer, batch: { rowsMax: 4 } });
    const answer = call(one, [13, 1, 13], "abc");
    await clock.settle();
    const { rejected } = await within("the answer", answer);
    assert.deepEqual(
      rejected.map(({ row, code }) => [row, code]),
      [
        [0, "MILL_RECORD_INVALID"],
        [2, "MILL_RECORD_INVALID"],
      ],
    );
    assert.deepEqual(bench.calls, [[13, 1]]);
  });

  it("are still remembered when one of them is released: others may need the answer (S13)", async () => {
    const { bench, clock, one, two } = await withClients();
    const said: string[] = [];
    await bench.bus.subscribe(subjects.ask(bench.service.id), ({ payload }) => void said.push(frameKind(payload)));
    await within("the first", call(one, [1], "a"));
    one.release([{ ids: [idOf("a")], by: undefined }]);
    await clock.settle();
    assert.deepEqual(said, []);
    await within("the second", call(two, [1], "b"));
    assert.deepEqual(bench.calls, [[1]]);
  });

  it("have an answer each where the service does not say so: a model may be meant to vary", async () => {
    const { bench, one } = await withClients({ spec: { cache: "none" }, batch: { rowsMax: 4 } });
    assert.equal(declare("plain").cache, "none", "by default");
    assert.throws(() => declare("odd", { cache: "yes" as "none" }), {
      code: "MILL_CONFIG",
      message: 'service "odd": cache is yes; give "none" or "content".',
    });
    await within("the first", call(one, [1, 1], "ab"));
    await within("the second", call(one, [1], "c"));
    assert.deepEqual(bench.calls, [[1, 1], [1]]);
  });

  it("never share content: what it refers to may be gone when the answer is given again", () => {
    const output = { pages: t.list(t.struct({ page: t.image })) };
    const spec = { input: { n: t.int32 }, output, handler: { kind: "none", assets: {}, load: () => assert.fail() } };
    assert.throws(() => service("pictures", { ...spec, cache: "content" }), {
      code: "MILL_CONFIG",
      message:
        'service "pictures": cache is "content", but content that its column "pages" refers to may be gone when the answer is given again. Answer with t.binary, or leave cache out.',
    });
    assert.doesNotThrow(() => service("pictures", spec));
  });

  it("are found by a client that was restored, under whatever id they had", async () => {
    const { bench, clock, one, two } = await withClients();
    await within("the first", call(one, [5], "a"));
    const again = two.call(numbers(5), owner, { rowIds: [idOf("z")], ask: true });
    await clock.settle();
    assert.deepEqual(doubled(await within("the second", again)), [10]);
    assert.deepEqual(bench.calls, [[5]]);
  });
});

describe("services/cache: where equal rows go", () => {
  it("to one instance, though another has waited longer; rows that differ are spread", async () => {
    const { client, clock, instance } = await setUp(asIs, { ...SHARES, instances: 2, batch: { rowsMax: 1 } });
    const all = [await instance("a"), await instance("b")];
    for (const one of all) await one.says("READY", { rowMs: 1 });
    const places = new Map<number, Set<string>>();
    for (let i = 0; i < 40; i++) {
      const value = i % 8;
      const answer = client.callInRuns(batch(value), owner);
      await clock.settle();
      const [busy] = all.filter(({ requests }) => requests.length > 0);
      places.set(value, (places.get(value) ?? new Set()).add(busy!.name));
      await busy!.answers();
      await within("the answer", answer);
    }
    assert.ok([...places.values()].every(({ size }) => size === 1));
    assert.equal(new Set([...places.values()].flatMap((names) => [...names])).size, 2);
  });

  it("rows are cut where what is in them differs, unless there is one instance, or a key of the user's own", () => {
    const rows = batch(1, 1, 2, 2);
    const runs = (spec: Parameters<typeof declare>[1]) => {
      const service = declare("double", { ...SHARES, batch: { rowsMax: 8 }, ...spec });
      return runsOf(service, rows, contentIdsOf(service.id, rows)).map((run) => run.rows);
    };
    assert.deepEqual(runs({ instances: 2 }), [2, 2]);
    assert.deepEqual(runs({ instances: 1 }), [4]);
    assert.deepEqual(runs({ instances: 2, affinityBy: ["n"] }), [2, 2]);
  });

  it("the fallback knows the rows by who they are, unless it shares answers itself", async () => {
    const { bus, ports, clock, instance } = await setUp();
    for (const [cache, same] of [
      ["none", false],
      ["content", true],
    ] as const) {
      const spareService = declare(`spare-${cache}`, { cache });
      const parts = { bus, ports, namespace, job, attempt: 1 };
      const spare = new ServiceClient({ ...parts, client: `spare-${cache}`, service: spareService });
      const service = declare("double", { ...SHARES, retry: { attemptsMax: 1 } });
      const client = new ServiceClient({ ...parts, client: `main-${cache}`, service, fallback: spare });
      await spare.open();
      await client.open();
      const main = await instance("a");
      const own = await new FakeInstance(bus, clock, "b", spareService.id).open();
      await main.says("READY");
      await own.says("READY");
      const answer = client.call(batch(1, 1), owner, { rowIds: [idOf("x"), idOf("y")] });
      await clock.settle();
      await main.answers("FAILED", { code: "MILL_ENDPOINT_BUSY" });
      const ids = idsOf(own.requests[0]!.header.rowIds);
      if (same) assert.deepEqual(ids, contentIdsOf(spareService.id, batch(1, 1)));
      else assert.deepEqual(ids, [idOf("x"), idOf("y")]);
      await own.answers();
      await within("the answer", answer);
      client.close();
      spare.close();
    }
  });
});
