import assert from "node:assert/strict";
import { type EnumeratorRank, SplitEnumerator } from "../../../src/actors/split-enumerator.js";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import type { Clock } from "../../../src/base/ports.js";
import { realPorts, silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { MemoryStore } from "../../../src/storage/memory-store.js";
import type { ObjectStore } from "../../../src/storage/object-store.js";
import type { Source, Split } from "../../../src/topology/endpoints.js";
import { type SplitAssignment, splitAssignmentFrame, splitRequestFrame } from "../../../src/wire/control.js";
import { splitRecordFrame } from "../../../src/wire/stored.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { randomOf } from "./checkpoint-world.js";
import { gate, isOpen, noContent, numbered, turns } from "./support.js";

const SUBJECT = "mr.test.splits";
const split = (id: string): Split => ({ id, payload: new Uint8Array(), rows: 10 });
const logKey = (number: bigint) => `log/${number.toString().padStart(12, "0")}`;
const pageKey = (size: number, number: bigint) => `pages/${size}/${number.toString().padStart(12, "0")}`;

/** @param before awaited before the split of that place is listed; its failure is the listing's */
function listing(count: number, before: (place: number) => Promise<void> | void = () => {}): Source {
  return {
    kind: "listing",
    columns: numbered,
    describe: "listing",
    async *splits() {
      for (let i = 0; i < count; i++) {
        await before(i);
        yield split(`s${i}`);
      }
      await before(count);
    },
    async *read() {},
  } as unknown as Source;
}

function setUp(store: ObjectStore = new MemoryStore()) {
  const bus = new MemoryBus(realPorts());
  const enumerator = (
    source: Source,
    signal = new AbortController().signal,
    own: ObjectStore = store,
    rank: EnumeratorRank = { term: 1n, attempt: 1 },
    clock: Clock = realPorts().clock,
  ) =>
    new SplitEnumerator({
      source,
      operator: "in",
      subject: SUBJECT,
      readers: 2,
      rank,
      bus,
      store: own,
      logKey,
      pageKey,
      clock,
      context: { content: noContent, log: silentLog, signal },
    });
  const ask = async (
    reader: string,
    number: bigint,
    timeoutMs = 5_000,
    ahead = 0,
    more = 0,
  ): Promise<SplitAssignment> => {
    const question = splitRequestFrame.encode({ operator: "in", reader, number, ahead, more });
    return splitAssignmentFrame.decode((await bus.request(SUBJECT, question, { timeoutMs })).payload).header;
  };
  const said = async (reader: string, number: bigint, ahead = 0, more = 0) => {
    const { split: given, done, code } = await ask(reader, number, 5_000, ahead, more);
    return given?.id ?? (done ? "done" : code);
  };
  return { bus, store, enumerator, ask, said };
}

/** A store whose calls fail, before or after they are done, as the test says. */
function failing(store: ObjectStore, fails: (call: number) => "before" | "after" | undefined): ObjectStore {
  let calls = 0;
  const guard = async <T>(act: () => Promise<T>): Promise<T> => {
    const how = fails(calls++);
    const error = new MillraceError("MILL_STORE_UNREACHABLE", `call ${calls} failed ${how} it was done`);
    if (how === "before") throw error;
    const result = await act();
    if (how === "after") throw error;
    return result;
  };
  return new Proxy(store, {
    get(target, name) {
      const member = Reflect.get(target, name) as unknown;
      if (typeof member !== "function") return member;
      if (name !== "create" && name !== "get" && name !== "head") return member.bind(target) as unknown;
      return (...args: unknown[]) => guard(() => (member as (...a: unknown[]) => Promise<unknown>).apply(target, args));
    },
  });
}

async function recorded(store: ObjectStore) {
  const records = [];
  for await (const { key } of store.list("log/")) records.push(splitRecordFrame.decode(await store.get(key)).header);
  return records;
}

/** Every split once; each reader's are what the log says. */
async function checkLog(store: ObjectStore, answers: ReadonlyMap<string, string>, splits: number): Promise<void> {
  const given = new Map<string, string>();
  for (const { assignments } of await recorded(store)) {
    for (const one of assignments) {
      assert.ok(![...given.values()].includes(one.split.id), `${one.split.id} is given once (D2)`);
      given.set(`${one.reader} ${one.number}`, one.split.id);
    }
  }
  assert.equal(given.size, splits, "none is left out (D2)");
  for (const [question, answer] of answers) {
    if (answer !== "done") assert.equal(answer, given.get(question), `${question} is in the log (D1)`);
  }
}

describe("actors/split-enumerator: questions and the log", () => {
  it("an assignment is in the log before its reader is told; the same question has the same answer (D1, rule 6)", async () => {
    const { store, enumerator, said } = setUp();
    await enumerator(listing(2)).open();
    assert.equal(await said("a", 1n), "s0");
    assert.deepEqual(
      (await recorded(store)).flatMap(({ assignments }) => assignments.map((one) => `${one.reader} ${one.split.id}`)),
      ["a s0"],
    );
    assert.equal(await said("b", 1n), "s1");
    assert.equal(await said("a", 1n), "s0");
    assert.equal(await said("a", 2n), "done");
    assert.equal(await said("a", 1n), "s0");
    assert.equal((await recorded(store)).at(-1)!.listed, true);
  });

  it("questions that come together are answered by one record (D4)", async () => {
    const { store, enumerator, said } = setUp();
    await enumerator(listing(4)).open();
    await turns();
    const answers = await Promise.all(["a", "b", "c"].map((reader) => said(reader, 1n)));
    assert.deepEqual(answers.sort(), ["s0", "s1", "s2"]);
    assert.ok((await recorded(store)).length <= 2);
  });

  it("whoever has a split does not wait for the listing of the next (D4)", async () => {
    const slow = gate();
    const { enumerator, said } = setUp();
    await enumerator(listing(2, (place) => (place === 1 ? slow.promise : undefined))).open();
    const second = [said("a", 1n), said("b", 1n)];
    assert.equal(await Promise.race(second), "s0");
    slow.open();
    assert.deepEqual((await Promise.all(second)).sort(), ["s0", "s1"]);
  });

  it("a listing that fails is told, and tried again for the next question when it may pass (D5)", async () => {
    let down = true;
    const { store, enumerator, said } = setUp();
    await enumerator(
      listing(3, (place) => {
        if (place === 2 && down) throw new MillraceError("MILL_STORE_UNREACHABLE", "away");
      }),
    ).open();
    await turns();
    const answers = new Map<string, string>();
    assert.equal(await said("a", 1n), "MILL_STORE_UNREACHABLE");
    down = false;
    await turns();
    for (const n of [1n, 2n, 3n, 4n]) answers.set(`a ${n}`, await said("a", n));
    await checkLog(store, answers, 3);
  });
});

describe("actors/split-enumerator: ahead of time, and again", () => {
  it("gives a split ahead of time only while as many are left for every reader, and then at once says no (D6)", async () => {
    const { store, enumerator, said } = setUp(); // of 2 readers
    await enumerator(listing(6)).open();
    await turns();
    assert.equal(await said("a", 1n), "s0");
    assert.equal(await said("a", 2n, 1), "s1"); // 5 were left
    assert.equal(await said("a", 3n, 2), "s2"); // 4
    assert.equal(await said("a", 4n, 3), ""); // 3
    assert.equal(await said("a", 4n, 1), "s3"); // 3
    assert.equal(await said("a", 5n, 1), "s4"); // 2
    assert.equal(await said("a", 6n, 1), "", "the last one is for whoever has nothing to do");
    assert.equal(await said("b", 1n), "s5");
    assert.equal(await said("a", 6n), "done");
    assert.equal(await said("a", 6n, 1), "done");
    await checkLog(store, new Map(), 6);
  });

  it("what a reader is about to ask for goes into the same record, as long as others could be given as many (D1, D6)", async () => {
    const { store, enumerator, said } = setUp(); // of 2 readers
    await enumerator(listing(9)).open();
    await turns();
    assert.equal(await said("a", 1n, 0, 5), "s0"); // 8 are left, then 7, then 6
    const [record] = await recorded(store);
    assert.deepEqual(
      record!.assignments.map(({ reader, number, split: { id } }) => `${reader} ${number} ${id}`),
      ["a 1 s0", "a 2 s1", "a 3 s2", "a 4 s3"],
    );
    assert.equal(await said("a", 2n, 1, 4), "s1");
    assert.equal(await said("a", 5n, 4), "");
    assert.equal((await recorded(store)).length, 1);
    const answers = new Map<string, string>();
    for (const [reader, number] of [..."bbbbbb"].map((name, i) => [name, BigInt(i + 1)] as const)) {
      answers.set(`${reader} ${number}`, await said(reader, number));
    }
    assert.equal(answers.get("b 6"), "done");
    await checkLog(store, answers, 9);
  });

  it("one answer has what follows, as much as is asked for and recorded, and the same for ever (D1)", async () => {
    const { enumerator, ask } = setUp();
    await enumerator(listing(40)).open();
    await turns();
    const ids = async (number: bigint, more: number) => {
      const { split: given, more: following } = await ask("a", number, 5_000, 0, more);
      return [given, ...following].map((one) => one?.id);
    };
    assert.deepEqual(await ids(1n, 3), ["s0", "s1", "s2", "s3"]);
    assert.deepEqual(await ids(5n, 0), ["s4"]);
    assert.deepEqual(await ids(3n, 9), ["s2", "s3", "s4"]);
    assert.deepEqual(await ids(1n, 0), ["s0"]);
  });

  it("as many splits as readers go one to each, whoever asks first and ahead (D6)", async () => {
    const { enumerator, said } = setUp();
    await enumerator(listing(2)).open();
    await turns();
    assert.equal(await said("a", 1n), "s0");
    assert.equal(await said("a", 2n, 1), "");
    assert.equal(await said("b", 1n), "s1");
  });

  it("does not wait for the listing with what is asked ahead of time, and a failing listing is not its business (D6)", async () => {
    const never = gate();
    const { enumerator, said } = setUp();
    await enumerator(listing(9, () => never.promise)).open();
    const waits = said("b", 1n);
    assert.equal(await Promise.race([waits, said("a", 1n, 1).then(() => "a is told")]).catch(String), "a is told");
    never.open();
    assert.equal(await waits, "s0");
  });

  it("of a question that is asked again and again while it waits, one message is answered: the newest (D8)", async () => {
    const slow = gate();
    const { bus, enumerator } = setUp();
    await enumerator(listing(1, (place) => (place === 0 ? slow.promise : undefined))).open();
    const heard: string[] = [];
    const inbox = await bus.subscribe("inbox.*", ({ subject }) => void heard.push(subject));
    const question = splitRequestFrame.encode({ operator: "in", reader: "a", number: 1n, ahead: 0, more: 0 });
    for (let i = 0; i < 50; i++) {
      bus.publish(SUBJECT, question, { replyTo: `inbox.${i}` });
      await turns(1);
    }
    slow.open();
    await turns(20);
    assert.deepEqual(heard, ["inbox.0", "inbox.49"], "the first was being worked on");
    inbox.unsubscribe();
  });
});

describe("actors/split-enumerator: ended while it lists", () => {
  for (const how of ["closed", "aborted"] as const) {
    it(`${how} while a reader waits, it records no end of the listing: nothing is lost (D5, rule 6)`, async () => {
      const never = gate();
      const stop = new AbortController();
      const { store, enumerator, ask, said } = setUp();
      const first = enumerator(
        listing(3, (place) => (place === 1 ? never.promise : undefined)),
        stop.signal,
      );
      await first.open();
      assert.equal(await said("a", 1n), "s0");
      const waiting = ask("b", 1n, 300).catch(() => undefined);
      await turns();
      if (how === "aborted") stop.abort(new MillraceError("MILL_JOB_FAILED", "stopped"));
      first.close();
      never.open();
      await waiting;
      assert.deepEqual(
        (await recorded(store)).filter(({ listed }) => listed),
        [],
      );
      await enumerator(listing(3)).open();
      assert.equal(await said("b", 1n), "s1");
      assert.equal(await said("a", 2n), "s2");
      assert.equal(await said("a", 3n), "done");
    });
  }
});

describe("actors/split-enumerator: restarts and rivals", () => {
  it("lists fast until there is enough for every reader, then with pauses; what the log names counts for nothing (D9)", async () => {
    const { enumerator, said, store } = setUp();
    const enough = 2 * limits.splitsInHand;
    const first = enumerator(listing(5_000));
    await first.open();
    await turns();
    await said("a", 1n, 0, 200);
    first.close();
    const given = (await recorded(store)).flatMap(({ assignments }) => assignments).length;
    assert.ok(given >= limits.splitsListedInTurn / 4, `${given} were given`);

    const clock = new FakeClock();
    let listed = 0;
    const counted = listing(5_000, (place) => {
      listed = place;
    });
    await enumerator(counted, undefined, store, { term: 1n, attempt: 2 }, clock).open();
    while (listed < given + enough) {
      const before = listed;
      await turns();
      await clock.advance(0);
      assert.notEqual(listed, before, "it goes on at once");
    }
    for (let pauses = 1; pauses <= 3; pauses++) {
      await turns();
      const before = listed;
      await clock.advance(limits.splitsListedPauseMs - 1);
      assert.equal(listed, before, "it makes a pause");
      await clock.advance(1);
      await turns();
      assert.equal(listed, before + limits.splitsListedInTurn);
    }
  });

  it("a restarted one leaves out what the log names, and knows when all is done (D2)", async () => {
    const { store, enumerator, said } = setUp();
    const answers = new Map<string, string>();
    for (let i = 0; i < 5; i++) {
      const one = enumerator(listing(4));
      await one.open();
      answers.set(`a ${i + 1}`, await said("a", BigInt(i + 1)));
      one.close();
    }
    const last = enumerator(listing(4, () => assert.fail("it need not list again")));
    await last.open();
    assert.equal(await said("b", 1n), "done");
    assert.equal(last.rowsTotal, 40);
    await checkLog(store, answers, 4);
  });

  it("fails at every call of the store in turn, before or after it is done: every split is given once (D1, D2)", async () => {
    for (const how of ["before", "after"] as const) {
      for (let failAt = 0; failAt < 24; failAt++) {
        const store = new MemoryStore();
        const { enumerator, ask } = setUp(store);
        const answers = new Map<string, string>();
        let calls = 0;
        const bad = failing(store, () => (calls++ === failAt ? how : undefined));
        let one = enumerator(listing(5), undefined, bad);
        const begin = () => one.open().catch(() => undefined);
        await begin();
        const next = new Map([
          ["a", 1n],
          ["b", 1n],
        ]);
        for (let tries = 0; next.size > 0; tries++) {
          assert.ok(tries < 60, `${how} call ${failAt}: it gets on; ${JSON.stringify([...answers])}`);
          await Promise.all(
            [...next].map(async ([reader, number]) => {
              const answer = await ask(reader, number, 30).catch(() => undefined);
              if (answer === undefined || answer.code !== "") return;
              const id = answer.split?.id ?? "done";
              answers.set(`${reader} ${number}`, id);
              if (id === "done") next.delete(reader);
              else next.set(reader, number + 1n);
            }),
          );
          if (tries % 5 === 4) {
            one.close();
            one = enumerator(listing(5), undefined, bad);
            await begin();
          }
        }
        one.close();
        await checkLog(store, answers, 5);
      }
    }
  });

  it("two at once, each with its own store calls in between: one log, each split once (D3, guarantee 8)", async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const random = randomOf(seed);
      const store = new MemoryStore();
      const { bus, enumerator } = setUp(store);
      const slow = new Proxy(store, {
        get(target, name) {
          const member = Reflect.get(target, name) as unknown;
          if (typeof member !== "function") return member;
          if (name !== "create") return member.bind(target) as unknown;
          return async (...args: unknown[]) => {
            await turns(random(4));
            return (member as (...a: unknown[]) => Promise<unknown>).apply(target, args);
          };
        },
      });
      const list = () => listing(9, async () => (random(2) === 0 ? turns(1) : undefined));
      const both = [enumerator(list(), undefined, slow), enumerator(list(), undefined, slow)];
      await Promise.all(both.map((one) => one.open()));
      // Both hear every question, and both answer: what they say must be one thing.
      const heard = new Map<string, Set<string>>();
      const inbox = await bus.subscribe("inbox.>", (message) => {
        const { split: given, done } = splitAssignmentFrame.decode(message.payload).header;
        const question = message.subject.split(".").slice(1).join(" ");
        heard.set(question, (heard.get(question) ?? new Set()).add(given?.id ?? (done ? "done" : "error")));
      });
      const reader = async (name: string) => {
        for (let number = 1n; ; number++) {
          const question = splitRequestFrame.encode({ operator: "in", reader: name, number, ahead: 0, more: 0 });
          bus.publish(SUBJECT, question, { replyTo: `inbox.${name}.${number}` });
          for (let i = 0; (heard.get(`${name} ${number}`)?.size ?? 0) === 0; i++) {
            assert.ok(i < 2_000, `seed ${seed}: ${name} ${number} is answered`);
            await turns(1);
          }
          if (heard.get(`${name} ${number}`)!.has("done")) return;
        }
      };
      await Promise.all(["a", "b", "c"].map(reader));
      await turns(20);
      for (const [question, answers] of heard)
        assert.equal(answers.size, 1, `seed ${seed}: ${question}: ${[...answers]}`);
      const answers = new Map([...heard].map(([question, [answer]]) => [question, answer!]));
      await checkLog(store, answers, 9);
      inbox.unsubscribe();
      for (const one of both) one.close();
    }
  });

  it("one that meets the record of a later one stops; one that meets an older one goes on (D7, J7 of coordinator/job)", async () => {
    const { store, enumerator, said } = setUp();
    const of = (term: bigint, attempt: number) => enumerator(listing(9), undefined, store, { term, attempt });
    const [older, later] = [of(1n, 7), of(2n, 1)];
    await older.open();
    assert.equal(await said("a", 1n), "s0");
    await later.open();
    await turns();
    assert.equal(await said("a", 2n), "s1");
    await turns();
    assert.deepEqual([older.closed, later.closed], [true, false]);
    assert.equal((await recorded(store)).at(-1)!.term, 2n);
    assert.equal(await said("b", 1n), "s2");
    const again = of(1n, 8);
    await again.open();
    assert.equal(again.closed, true, "what the log says keeps it from listening at all");
    later.close();
  });

  it("one that is closed while it reads its log or subscribes does not listen (guarantee 8)", async () => {
    for (const step of ["get", "subscribe"] as const) {
      const held = gate();
      const { bus, store, enumerator } = setUp();
      const slowly = <T extends object>(target: T): T =>
        new Proxy(target, {
          get(from, name) {
            const member = Reflect.get(from, name) as (...args: unknown[]) => unknown;
            if (name !== step) return typeof member === "function" ? member.bind(from) : member;
            return async (...args: unknown[]) => {
              await held.promise;
              return member.apply(from, args);
            };
          },
        });
      const subscribe = bus.subscribe.bind(bus);
      if (step === "subscribe") bus.subscribe = slowly({ subscribe }).subscribe;
      const one = enumerator(listing(1), undefined, slowly(store));
      const opened = one.open();
      await turns();
      one.close();
      held.open();
      await opened;
      await assert.rejects(bus.request(SUBJECT, new Uint8Array(1), { timeoutMs: 50 }), {
        code: "MILL_BUS_NO_RESPONDER",
      });
    }
  });

  it("a question that waits for a listing keeps nobody's end up", async () => {
    const never = gate();
    const { enumerator, ask } = setUp();
    const one = enumerator(listing(1, () => never.promise));
    await one.open();
    const asked = ask("a", 1n, 200).catch(() => "no answer");
    assert.ok(await isOpen(asked));
    one.close();
    assert.equal(await asked, "no answer");
  });
});
