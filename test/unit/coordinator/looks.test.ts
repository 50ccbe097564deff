import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import type { JobBook } from "../../../src/coordinator/job-book.js";
import { Looks } from "../../../src/coordinator/looks.js";
import { fakePorts } from "./fake-ports.js";

/** Jobs that take a while to look at: so many pieces of `pieceMs`. */
function setUp(...names: string[]) {
  const { clock } = fakePorts();
  const jobs = new Map(
    names.map((name) => {
      const work = { left: 0, pieceMs: 1, dueMs: Number.POSITIVE_INFINITY, all: 0, unplaced: 0 };
      const turns = { isAsked: false, addAll: () => (work.all += 1), addUnplaced: () => (work.unplaced += 1) };
      return [name, { work, turns, book: { job: name, turns } as unknown as JobBook }];
    }),
  );
  const looked: string[] = [];
  const state = { leads: true };
  const looks = new Looks({
    clock,
    jobs: () => [...jobs.values()].map(({ book }) => book),
    leads: () => state.leads,
    lookAt: (book, untilMs) => {
      looked.push(book.job);
      const { work } = jobs.get(book.job)!;
      while (work.left > 0) {
        work.left -= 1;
        void clock.freeze(work.pieceMs);
        if (clock.monotonicMs() >= untilMs) return 0;
      }
      return work.dueMs;
    },
  });
  const taken = () => looked.splice(0);
  const of = (name: string) => jobs.get(name)!;
  return { clock, looks, taken, of, state };
}

describe("coordinator/looks: when jobs are looked at", () => {
  it("one of which something has changed soon, once for all that has; all of them on a heartbeat, at all of each (T1)", async () => {
    const { clock, looks, taken, of } = setUp("a", "b");
    looks.soon(of("a").book);
    looks.soon(of("a").book);
    assert.deepEqual(taken(), []);
    await clock.settle();
    assert.deepEqual(taken(), ["a"]);
    looks.allSoon();
    await clock.settle();
    assert.deepEqual(taken(), ["a", "b"]);
    assert.deepEqual([of("a").work.all, of("a").work.unplaced], [0, 1], "what has changed, and what may fit now");
    looks.beat();
    assert.deepEqual(taken(), ["a", "b"]);
    assert.deepEqual([of("a").work.all, of("b").work.all], [1, 1]);
  });

  it("one when its time has come (T1)", async () => {
    const { clock, looks, taken, of } = setUp("a", "b");
    of("a").work.dueMs = 70;
    of("b").work.dueMs = 40;
    looks.beat();
    taken();
    for (const name of ["a", "b"]) of(name).work.dueMs = Number.POSITIVE_INFINITY;
    await clock.advance(39);
    assert.deepEqual(taken(), []);
    await clock.advance(1);
    assert.deepEqual(taken(), ["b"]);
    await clock.advance(30);
    assert.deepEqual(taken(), ["a"]);
  });

  it("one when its time has come, where timers are a little early (T1)", async () => {
    const { clock, looks, taken, of } = setUp("a");
    const after = clock.after.bind(clock);
    clock.after = (delayMs, fn) => after(delayMs > 1 ? delayMs - 0.75 : delayMs, fn);
    of("a").work.dueMs = 40;
    looks.beat();
    taken();
    of("a").work.dueMs = Number.POSITIVE_INFINITY;
    await clock.advance(39.5);
    assert.deepEqual(taken(), []);
    await clock.advance(2);
    assert.deepEqual(taken(), ["a"]);
  });

  it("in turns, with as much time between them as they take: whatever else is due is not kept waiting (T2)", async () => {
    const { clock, looks, of } = setUp("a");
    Object.assign(of("a").work, { left: 1_000, pieceMs: 3 }); // three seconds
    let [lastMs, longestMs] = [0, 0];
    const renew = () => {
      longestMs = Math.max(longestMs, clock.monotonicMs() - lastMs);
      lastMs = clock.monotonicMs();
      if (of("a").work.left > 0) clock.after(1, renew);
    };
    renew();
    looks.soon(of("a").book);
    await clock.advance(8_000);
    assert.equal(of("a").work.left, 0, "nothing is left for good");
    assert.ok(longestMs <= limits.lookTurnMsMax + 3 + 1, `${longestMs} ms`);
    assert.ok(lastMs >= 2 * 3_000 - limits.lookTurnMsMax, `done after ${lastMs} ms: reports have half of the time`);
  });

  it("what comes when that time is over does not wait for it once more (T2)", async () => {
    const { clock, looks, taken, of } = setUp("a");
    Object.assign(of("a").work, { left: 10, pieceMs: 3 });
    looks.beat();
    taken();
    looks.soon(of("a").book);
    await clock.advance(29);
    assert.deepEqual(taken(), [], "it has taken 30 ms");
    await clock.advance(1);
    assert.deepEqual(taken(), ["a"]);
    Object.assign(of("a").work, { left: 10, pieceMs: 3 });
    looks.beat();
    await clock.advance(500);
    taken();
    looks.soon(of("a").book);
    await clock.settle();
    assert.deepEqual(taken(), ["a"]);
  });

  it("for as long as all else has taken, and no longer than they may (T2)", async () => {
    const { clock, looks, of } = setUp("a");
    const { work } = of("a");
    work.left = 10_000;
    const turn = async () => {
      const before = work.left;
      await clock.settle();
      return before - work.left;
    };
    looks.beat(); // it has been idle
    assert.equal(10_000 - work.left, limits.lookTurnMsMax);
    await clock.freeze(50); // too early for the next turn
    const before = work.left;
    looks.beat();
    assert.equal(before - work.left, 50);
    await clock.freeze(0);
    const next = work.left;
    looks.beat();
    assert.equal(next - work.left, limits.lookTurnMs);
    void clock.freeze(1_000);
    assert.equal(await turn(), limits.lookTurnMsMax);
  });

  it("a job that takes long does not keep others from being looked at (T3)", async () => {
    const { clock, looks, taken, of } = setUp("a", "b", "c");
    of("a").work.left = 10 * limits.lookTurnMsMax;
    looks.allSoon();
    await clock.advance(2 * limits.lookTurnMsMax);
    assert.deepEqual(taken().slice(0, 4), ["a", "b", "c", "a"]);
  });

  it("a job that a checkpoint was asked for goes before those that wait for longer (T3)", async () => {
    const { clock, looks, taken, of } = setUp("a", "b", "c");
    for (const name of ["a", "b", "c"]) looks.soon(of(name).book);
    of("c").turns.isAsked = true;
    await clock.settle();
    assert.deepEqual(taken(), ["c", "a", "b"]);
  });

  it("those that a checkpoint was asked for all in one turn, as far as the longest goes; others as ever (T2)", async () => {
    const { clock, looks, taken, of } = setUp("a", "b", "c");
    looks.beat();
    taken();
    await clock.freeze(1); // a turn was just now
    for (const name of ["a", "b"]) {
      of(name).turns.isAsked = true;
      of(name).work.left = 2 * limits.lookTurnMs;
    }
    of("c").work.left = 2 * limits.lookTurnMs;
    looks.beat();
    assert.deepEqual([of("a").work.left, of("b").work.left, of("c").work.left], [0, 0, 2 * limits.lookTurnMs]);
    assert.deepEqual(taken(), ["a", "b"]);
    await clock.advance(500);
    assert.equal(of("c").work.left, 0);
  });

  it("none where another leads, or once it is closed", async () => {
    const { clock, looks, taken, of, state } = setUp("a");
    of("a").work.dueMs = 50;
    looks.beat();
    taken();
    state.leads = false;
    looks.soon(of("a").book);
    await clock.advance(100);
    looks.beat();
    assert.deepEqual(taken(), []);
    state.leads = true;
    looks.beat();
    assert.deepEqual(taken(), ["a"]);
    looks.close();
    looks.soon(of("a").book);
    looks.beat();
    await clock.advance(100);
    assert.deepEqual(taken(), []);
  });
});
