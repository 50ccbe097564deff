import assert from "node:assert/strict";
import { type GivenSplits, SplitsAhead, type SplitWish } from "../../../src/actors/splits-ahead.js";
import { MillraceError } from "../../../src/base/errors.js";
import { limits } from "../../../src/base/limits.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { gate, isOpen, turns } from "./support.js";

interface Asked {
  readonly number: bigint;
  readonly ahead: number;
}

const split = (number: bigint) => ({ id: `s${number}`, payload: new Uint8Array(), rows: 1 });

/** An enumerator that answers as the test says; by default with the split of that number, `most` of them. */
function setUp({ most = 1_000n, answer = async (_: Asked): Promise<GivenSplits | undefined> => undefined } = {}) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const wished: SplitWish[] = [];
  const splits = new SplitsAhead(async (number, wish) => {
    wished.push(wish());
    const question = { number, ahead: wished.at(-1)!.ahead };
    asked.push(`${number}/${question.ahead}`);
    const given = await answer(question);
    return given ?? (number > most ? "none" : [split(number)]);
  }, clock);
  const take = async (number: bigint) => (await splits.take(number))?.id;
  /** Reads splits of that length, from that number on. */
  const read = async (from: bigint, count: number, lastsMs: number) => {
    for (let i = 0; i < count; i++) {
      await take(from + BigInt(i));
      await clock.advance(lastsMs);
    }
  };
  return { clock, asked, wished, take, read };
}

describe("actors/splits-ahead: what waits to be begun", () => {
  it("asks for the next while it reads; a missing enumerator does not stop it then (P3)", async () => {
    const away = gate();
    let gone = false;
    const { asked, take } = setUp({ answer: async () => (gone ? away.promise.then(() => undefined) : undefined) });
    assert.equal(await take(1n), "s1");
    await turns();
    assert.deepEqual(asked, ["1/0", "2/1"]);
    gone = true;
    assert.equal(await take(2n), "s2");
    const third = take(3n);
    assert.ok(await isOpen(third));
    away.open();
    assert.equal(await third, "s3");
  });

  it("numbers are asked for one at a time and handed out in order, from any number on, to the end (P1)", async () => {
    const { asked, take } = setUp({ most: 9n });
    const got: (string | undefined)[] = [];
    for (let number = 5n; number <= 10n; number++) got.push(await take(number));
    assert.deepEqual(got, ["s5", "s6", "s7", "s8", "s9", undefined]);
    assert.deepEqual(
      asked.map((one) => one.split("/")[0]),
      ["5", "6", "7", "8", "9", "10"],
    );
  });

  it("what one answer gives is handed out in order, and the next question is for what follows it (P1)", async () => {
    const { asked, wished, take } = setUp({
      answer: async ({ number }) => {
        const more = wished.at(-1)!.more;
        return Array.from({ length: 1 + Math.min(more, 3) }, (_, i) => split(number + BigInt(i)));
      },
    });
    const got: (string | undefined)[] = [];
    for (let number = 1n; number <= 20n; number++) got.push(await take(number));
    assert.deepEqual(
      got,
      Array.from({ length: 20 }, (_, i) => `s${i + 1}`),
    );
    const numbers = asked.map((one) => Number(one.split("/")[0]));
    assert.deepEqual(numbers.slice(0, 5), [1, 2, 3, 7, 11]);
  });

  for (const { lastsMs, wait } of [
    { lastsMs: 1, wait: limits.splitsReadyMax },
    { lastsMs: limits.splitsReadyMs / 4, wait: 4 },
    { lastsMs: limits.splitsReadyMs, wait: 1 },
    { lastsMs: 3_600_000, wait: 1 },
  ]) {
    it(`splits that last ${lastsMs} ms: ${wait} wait, most of them always, and are asked for together (P3)`, async () => {
      const { asked, wished, read } = setUp();
      const count = 8 + 2 * wait;
      await read(1n, count, lastsMs);
      await turns();
      assert.ok(
        asked.length <= count + wait && asked.length >= count + Math.ceil(wait / 2),
        `${asked.length} were asked for`,
      );
      const settled = wished.slice(wait + 1);
      assert.equal(Math.max(...settled.map(({ ahead }) => ahead)), wait);
      assert.ok(settled.every(({ ahead, more }) => ahead > wait / 2 && ahead + more === wait));
    });
  }

  it("what is begun while it asks is asked for with the next quarter, and not in a question of its own (P3)", async () => {
    const [asksMs, lastsMs, count] = [10, 2, 320];
    const { clock, asked, wished, take } = setUp({
      answer: async ({ number }) => {
        const { more } = wished.at(-1)!;
        await clock.sleep(asksMs);
        return Array.from({ length: 1 + more }, (_, i) => split(number + BigInt(i)));
      },
    });
    for (let number = 1n; number <= count; number++) {
      let isTaken = false;
      void take(number).then(() => {
        isTaken = true;
      });
      do await clock.advance(lastsMs);
      while (!isTaken);
    }
    const quarters = count / (limits.splitsReadyMax / 4);
    assert.ok(asked.length < quarters * 1.5, `${asked.length} questions for ${count} splits`);
  });

  it("refused ahead of time, it asks once for each split that it begins, and again when it needs the next (P3, D6 of the enumerator)", async () => {
    const { asked, read } = setUp({ answer: async ({ ahead }) => (ahead > 0 ? "later" : undefined) });
    await read(1n, 3, 10);
    assert.deepEqual(asked, ["1/0", "2/1", "2/0", "3/1", "3/0", "4/1"]);
  });

  it("what was asked ahead of time and is refused after it was needed is asked again, as needed (P3)", async () => {
    const slow = gate();
    const { asked, take } = setUp({
      answer: async ({ ahead }) => (ahead > 0 ? slow.promise.then(() => "later" as const) : undefined),
    });
    await take(1n);
    const second = take(2n);
    assert.ok(await isOpen(second));
    slow.open();
    assert.equal(await second, "s2");
    assert.deepEqual(asked.slice(0, 3), ["1/0", "2/1", "2/0"]);
  });

  it("what fails ahead of time fails nobody; what fails when it is needed does (P4)", async () => {
    let fails = true;
    const { take } = setUp({
      answer: async ({ number }) => {
        if (number > 1n && fails) throw new MillraceError("MILL_SOURCE_EMPTY", "not listed");
        return undefined;
      },
    });
    await take(1n);
    await turns();
    await assert.rejects(take(2n), { code: "MILL_SOURCE_EMPTY" });
    fails = false;
    assert.equal(await take(2n), "s2");
  });
});
