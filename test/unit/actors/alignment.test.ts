import assert from "node:assert/strict";
import { Alignment } from "../../../src/actors/alignment.js";
import { limits } from "../../../src/base/limits.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { gate, turns } from "./support.js";

interface Setting {
  readonly inputs: number;
  readonly sourcesRead?: boolean;
}

/** Cuts wait for `cutting`, as an actor's does for the flows that are inside. */
function setUp({ inputs, sourcesRead = false }: Setting) {
  const clock = new FakeClock();
  const cuts: string[] = [];
  const failures: unknown[] = [];
  const passed: string[] = [];
  const state = { sourcesRead, cutting: Promise.resolve() };
  const made = new Alignment({
    clock,
    inputs,
    sourcesRead: () => state.sourcesRead,
    cut: async (checkpoint, late) => {
      cuts.push(`${checkpoint} late [${late}]`);
      await state.cutting;
    },
    fail: (error) => void failures.push(error),
  });
  const reach = (input: number, checkpoint: bigint) =>
    void made.reached(input, checkpoint).then(() => passed.push(`${input}:${checkpoint}`));
  return { clock, cuts, failures, passed, state, made, reach };
}

const overdue = limits.barrierAlignmentMs + 1;

describe("actors/alignment: when an actor cuts", () => {
  it("a source alone cuts when it is triggered, once for each checkpoint (L1, L2)", async () => {
    const { made, cuts } = setUp({ inputs: 0, sourcesRead: true });
    made.trigger(3n);
    made.trigger(3n);
    await turns();
    made.trigger(3n);
    made.trigger(2n);
    made.trigger(5n);
    assert.deepEqual(cuts, ["3 late []", "5 late []"]);
  });

  it("waits for every channel that has not ended, and for the trigger while a source reads (L2)", async () => {
    const { made, cuts, reach } = setUp({ inputs: 3, sourcesRead: true });
    made.heard(1n);
    reach(0, 1n);
    made.ended(1);
    reach(2, 1n);
    assert.deepEqual(cuts, [], "its source was not triggered");
    made.trigger(1n);
    assert.deepEqual(cuts, ["1 late []"]);
  });

  it("an actor without sources needs no trigger (L2)", () => {
    const { cuts, reach } = setUp({ inputs: 1 });
    reach(0, 1n);
    assert.deepEqual(cuts, ["1 late []"]);
  });

  it("an ended input counts as every later barrier (rule 7)", async () => {
    const { made, cuts } = setUp({ inputs: 2 });
    made.ended(0);
    made.ended(1);
    for (const n of [1n, 2n]) {
      made.trigger(n);
      await turns();
    }
    assert.deepEqual(cuts, ["1 late []", "2 late []"]);
  });

  it("a channel that has reached its barrier is read on after the cut, no sooner (L4)", async () => {
    const { cuts, passed, reach, state } = setUp({ inputs: 2 });
    const cutting = gate();
    state.cutting = cutting.promise;
    reach(0, 1n);
    await turns();
    assert.deepEqual(passed, []);
    reach(1, 1n);
    await turns();
    assert.deepEqual(cuts, ["1 late []"]);
    assert.deepEqual(passed, [], "flows are still inside");
    cutting.open();
    await turns();
    assert.deepEqual(passed, ["0:1", "1:1"]);
  });

  it("cuts without its late channels after the limit, and names them (L3)", async () => {
    const { clock, made, cuts, passed, reach } = setUp({ inputs: 3 });
    made.heard(1n);
    reach(1, 1n);
    await clock.advance(limits.barrierAlignmentMs - 1);
    assert.deepEqual(cuts, []);
    await clock.advance(2);
    assert.deepEqual(cuts, ["1 late [0,2]"]);
    assert.deepEqual(passed, ["1:1"]);
  });

  it("overdue and not triggered, it cuts when the trigger comes (L2, L3)", async () => {
    const { clock, made, cuts } = setUp({ inputs: 1, sourcesRead: true });
    made.heard(1n);
    await clock.advance(overdue);
    assert.deepEqual(cuts, []);
    made.trigger(1n);
    assert.deepEqual(cuts, ["1 late [0]"]);
  });

  it("a barrier that comes while an overdue cut waits for a flow is not passed before the cut (L4, rule 8)", async () => {
    const { clock, made, cuts, passed, reach, state } = setUp({ inputs: 2 });
    const cutting = gate();
    state.cutting = cutting.promise;
    made.heard(1n);
    reach(0, 1n);
    await clock.advance(overdue);
    assert.deepEqual(cuts, ["1 late [1]"]);
    reach(1, 1n);
    await turns();
    assert.deepEqual(passed, [], "what is behind the barrier is its sender's");
    cutting.open();
    await turns();
    assert.deepEqual(passed.sort(), ["0:1", "1:1"]);
  });
});

describe("actors/alignment: checkpoints that overtake each other", () => {
  it("one that was overtaken is given up, and its channels go on (L1)", async () => {
    const { cuts, passed, reach } = setUp({ inputs: 2 });
    reach(0, 1n);
    reach(1, 2n);
    await turns();
    assert.deepEqual(passed, ["0:1"]);
    reach(0, 2n);
    await turns();
    assert.deepEqual(cuts, ["2 late []"]);
    assert.deepEqual(passed.slice(1).sort(), ["0:2", "1:2"]);
  });

  it("the limit of the one given up does not hurry its successor (L3)", async () => {
    const { clock, made, cuts } = setUp({ inputs: 1 });
    made.heard(1n);
    await clock.advance(limits.barrierAlignmentMs - 1);
    made.heard(2n);
    await clock.advance(2);
    assert.deepEqual(cuts, []);
    await clock.advance(limits.barrierAlignmentMs);
    assert.deepEqual(cuts, ["2 late [0]"]);
  });

  it("an older trigger or barrier changes nothing (L1)", async () => {
    const { made, cuts, passed, reach } = setUp({ inputs: 1, sourcesRead: true });
    made.trigger(5n);
    made.trigger(4n);
    reach(0, 4n);
    await turns();
    assert.deepEqual(passed, ["0:4"]);
    assert.deepEqual(cuts, []);
    reach(0, 5n);
    assert.deepEqual(cuts, ["5 late []"]);
  });

  it("the next one waits until the cut under way is over (L1)", async () => {
    const { made, cuts, state, failures } = setUp({ inputs: 0, sourcesRead: true });
    const cutting = gate();
    state.cutting = cutting.promise;
    made.trigger(1n);
    made.trigger(2n);
    made.trigger(3n);
    await turns();
    assert.deepEqual(cuts, ["1 late []"]);
    state.cutting = Promise.resolve();
    cutting.open();
    await turns();
    assert.deepEqual(cuts, ["1 late []", "3 late []"]);
    assert.deepEqual(failures, []);
  });

  it("a cut that fails is told, and no other follows", async () => {
    const { made, cuts, state, failures } = setUp({ inputs: 0, sourcesRead: true });
    state.cutting = Promise.reject(new Error("bad"));
    made.trigger(1n);
    await turns();
    made.trigger(2n);
    await turns();
    assert.deepEqual(cuts, ["1 late []"]);
    assert.equal(failures.length, 1);
  });

  it("after close no timer is left", async () => {
    const { clock, made, cuts } = setUp({ inputs: 1 });
    made.heard(1n);
    made.close();
    assert.equal(clock.waiting, 0);
    await clock.advance(overdue);
    assert.deepEqual(cuts, []);
  });
});
