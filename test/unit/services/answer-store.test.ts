import assert from "node:assert/strict";
import type { InstanceId, JobId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { AnswerStore } from "../../../src/services/answer-store.js";
import { idBytes } from "../../../src/services/row-ids.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import { rowsOf } from "../../../src/types/batches.js";
import { arrowSchema } from "../../../src/types/columns.js";
import { holdingFrame } from "../../../src/wire/frames.js";
import { isOpen, within } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";
import { batch, doubled, job, owner, setUp, subjects } from "./fake-instance.js";
import { Bench, doubles, numbers, output } from "./instance-bench.js";

const [a, b, c] = ["a", "b", "c"].map((letter) => letter.repeat(16)) as [string, string, string];

function keptIn(store: MemoryStore, ports = fakePorts()): AnswerStore {
  const about = { job: job as JobId, service: "double", schema: arrowSchema(output), log: ports.log };
  return new AnswerStore({ ...about, store: () => store });
}
const outcome = (...values: number[]) => ({ records: doubles(numbers(...values)), rejected: new Map() });

describe("services/answer-store: answers as objects", () => {
  it("are found by row, refusals too, until they are deleted", async () => {
    const kept = keptIn(new MemoryStore());
    const refused = { row: 1, code: "MILL_RECORD_INVALID", message: "no" };
    await kept.save([a, b, ""], { ...outcome(1, 2, 3), rejected: new Map([[1, refused]]) });
    const found = await kept.find([a, b, c]);
    assert.deepEqual([...found.keys()].sort(), [a, b]);
    assert.deepEqual(rowsOf(output, found.get(a)!.records as never), [{ doubled: 2 }]);
    assert.deepEqual(found.get(b)!.rejected, { ...refused, row: 0 });
    await kept.delete([a]);
    assert.deepEqual([...(await kept.find([a, b])).keys()], [b]);
  });

  it("are not found where the store is away; nobody fails for it", async () => {
    const store = new MemoryStore();
    const fails = (member: "put" | "head") => {
      store[member] = (() => Promise.reject(new Error("away"))) as never;
    };
    const kept = keptIn(store);
    await kept.save([a], outcome(1));
    for (const member of ["head", "put"] as const) {
      fails(member);
      assert.equal((await kept.find([a])).size, 0, member);
      await kept.save([b], outcome(1));
    }
  });

  /** What the store is asked, by name of the member; and how many questions at a time. */
  function counted(store: MemoryStore) {
    const asked: string[] = [];
    const open = { now: 0, most: 0 };
    const counting = new Proxy(store, {
      get(target, name) {
        const member = Reflect.get(target, name) as unknown;
        if (typeof member !== "function") return member;
        return (...args: unknown[]): unknown => {
          asked.push(String(name));
          const answer = (member as (...a: unknown[]) => unknown).apply(target, args);
          if (!(answer instanceof Promise)) return answer;
          open.most = Math.max(open.most, ++open.now);
          return answer.finally(() => {
            open.now -= 1;
          });
        };
      },
    });
    return { kept: keptIn(counting), asked, open };
  }

  it("where none is kept, the store is asked once for rows that are looked for together, and not for each", async () => {
    const { kept, asked } = counted(new MemoryStore());
    await Promise.all([kept.find([a, b]), kept.find([c]), kept.find([""])]);
    assert.deepEqual(asked, ["head"]);
    await kept.save([b], outcome(2));
    assert.deepEqual([...(await kept.find([a, b, c])).keys()], [b], "what is kept later is found");
  });

  it("one that was kept while somebody looked is found by who looks after that", async () => {
    const store = new MemoryStore();
    const kept = keptIn(store);
    const first = kept.find([a]);
    await Promise.resolve();
    await Promise.resolve(); // the look has begun
    await kept.save([a], outcome(1));
    assert.equal((await kept.find([a])).size, 1);
    await first;
  });

  it("the mark that there are some is there before the first, and is tried again", async () => {
    const { kept, asked } = counted(new MemoryStore());
    await Promise.all([kept.save([a], outcome(1)), kept.save([b], outcome(2))]);
    await kept.save([c], outcome(3));
    assert.deepEqual(asked, ["put", "put", "put", "put"], "once for each of those that save");
    const store = new MemoryStore();
    const put = store.put.bind(store);
    const keys: string[] = [];
    store.put = (key, ...rest) => {
      keys.push(key.split("/").at(-1)!);
      return keys.length === 1 ? Promise.reject(new Error("away")) : put(key, ...rest);
    };
    const again = keptIn(store);
    await again.save([a], outcome(1));
    assert.equal((await again.find([a])).size, 0, "nothing is kept that nobody would find");
    await again.save([b], outcome(2));
    assert.deepEqual(keys.slice(0, 2), ["any", "any"]);
    assert.equal((await again.find([b])).size, 1);
  });

  it("many are asked for and deleted some at a time", async () => {
    const { kept, open } = counted(new MemoryStore());
    await kept.save([a], outcome(1));
    const ids = Array.from({ length: 100 }, (_, i) => String(i).padStart(16, "0"));
    assert.equal((await kept.find([...ids, a])).size, 1);
    assert.equal(open.most, limits.answerObjectsAtOnce);
    await kept.delete([...ids, a]);
    assert.equal(open.most, limits.answerObjectsAtOnce);
    assert.equal((await kept.find([a])).size, 0);
  });
});

describe("services/desk: answers that took long", () => {
  it("are kept as objects, too; those of short calls are not", async () => {
    const store = new MemoryStore();
    let ms = 400;
    const bench: Bench = await new Bench({
      store,
      spec: { persistAfterMs: 500 },
      infer: async (rows) => {
        await bench.clock.sleep(ms);
        return doubles(rows);
      },
    }).ready();
    bench.send([1], { rowIds: "a" });
    await bench.clock.advance(ms);
    ms = 600;
    bench.send([2], { rowIds: "b" });
    await bench.clock.advance(ms);
    assert.deepEqual([...(await keptIn(store).find([a, b])).keys()], [b]);
  });
});

describe("services/client: answers that are kept as objects (S11, guarantee 3)", () => {
  it("are taken where no instance holds the rows; only the others are sent", async () => {
    const store = new MemoryStore();
    await keptIn(store).save([a, c], outcome(1, 3));
    const { client, clock, instance } = await setUp(undefined, {}, { saved: keptIn(store) });
    const one = await instance("one");
    await one.says("READY");
    const answers = [
      client.call(batch(1), owner, { rowIds: [a], ask: true }),
      client.call(batch(2, 3), owner, { rowIds: [b, c], ask: true }),
    ];
    await clock.advance(600);
    assert.deepEqual(doubled(await within("the whole", answers[0]!)), [2]);
    assert.deepEqual(
      one.requests.map(({ values }) => values),
      [[2]],
    );
    await one.answers();
    assert.deepEqual(doubled(await within("the rest", answers[1]!)), [4, 6]);
    client.close();
  });

  it("are looked for when a slow instance is lost, before its rows are sent again", async () => {
    const store = new MemoryStore();
    await keptIn(store).save([a], outcome(1));
    const { client, clock, instance } = await setUp(undefined, {}, { saved: keptIn(store) });
    const [one, two] = [await instance("one"), await instance("two")];
    await one.says("READY", { rowMs: 60_000 });
    const answer = client.call(batch(1), owner, { rowIds: [a] });
    await clock.settle();
    await two.says("READY");
    await one.crashes();
    await clock.settle();
    assert.deepEqual(doubled(await within("the answer", answer)), [2]);
    assert.equal(two.requests.length, 0);
    client.close();
  });

  it("are deleted when their rows are released", async () => {
    const store = new MemoryStore();
    const { client, clock, instance } = await setUp(undefined, { persistAfterMs: 500 }, { saved: keptIn(store) });
    const one = await instance("one");
    await one.says("READY");
    const answers = [client.call(batch(1), owner, { rowIds: [a] }), client.call(batch(2), owner, { rowIds: [b] })];
    await clock.settle();
    await one.answers();
    await clock.advance(600);
    await keptIn(store).save([a, b], outcome(1, 2)); // of `a` nobody can know
    await one.answers();
    await Promise.all(answers);
    client.release([{ ids: [a, b], by: undefined }]);
    await clock.settle();
    assert.deepEqual([...(await keptIn(store).find([a, b])).keys()], [a]);
    client.close();
  });

  it("rows of an instance that drains are looked for as if it did not hold them: it takes none (S10, S11)", async () => {
    const store = new MemoryStore();
    const { client, clock, bus, instance } = await setUp(undefined, {}, { saved: keptIn(store) });
    const [leaving, other] = [await instance("a"), await instance("b")];
    await other.says("READY");
    await keptIn(store).save([a, b], outcome(1, 2));
    const holding = (from: string, rowId: string) =>
      bus.publish(
        subjects.answer("client-1"),
        holdingFrame.encode({ service: "double", instance: from as InstanceId, rowIds: idBytes([rowId]), round: 0 }),
      );
    await leaving.says("DRAINING");
    const first = client.call(batch(1), owner, { rowIds: [a], ask: true });
    await clock.settle();
    await holding("a", a);
    await clock.advance(600);
    assert.deepEqual(doubled(await within("the first", first)), [2]);
    // One that is full, and drains before it has room.
    const full = await instance("c");
    await full.says("READY");
    const second = client.call(batch(2), owner, { rowIds: [b], ask: true });
    await clock.settle();
    await holding("c", b);
    await clock.settle();
    await full.answers("REJECTED");
    await full.says("DRAINING");
    await clock.advance(600);
    assert.deepEqual(doubled(await within("the second", second)), [4]);
    assert.equal(other.requests.length, 0);
    client.close();
  });

  it("whoever gives up meanwhile is not answered", async () => {
    const store = new MemoryStore();
    const { client, clock, bus } = await setUp(undefined, {}, { saved: keptIn(store) });
    const answer = client.call(batch(1), owner, { rowIds: [a], ask: true });
    answer.catch(() => {});
    await clock.advance(499);
    const holding = { service: "double", instance: "x" as InstanceId, rowIds: idBytes([]), round: 1 };
    await bus.publish(subjects.answer("client-1"), holdingFrame.encode(holding));
    await clock.advance(1);
    client.giveUp(owner, new Error("stopped") as never);
    await assert.rejects(within("the answer", answer), /stopped/);
    assert.ok(!(await isOpen(answer)));
    await clock.settle();
    assert.equal(client.queuedRows, 0);
  });
});
