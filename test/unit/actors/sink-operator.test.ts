import assert from "node:assert/strict";
import { Gate, Parking } from "../../../src/actors/gate.js";
import { SinkOperator } from "../../../src/actors/sink-operator.js";
import { columnOf } from "../../../src/types/batches.js";
import { gate, isOpen, numbers, testRuntime, turns, within } from "./support.js";

/** A writer whose room and whose writes a test holds back. */
async function setUp() {
  const written: number[] = [];
  const calls: string[] = [];
  let full: ReturnType<typeof gate> | undefined;
  let slow: Promise<void> | undefined;
  const actorGate = new Gate();
  const parking = new Parking(actorGate);
  const runtime = {
    ...testRuntime(),
    gate: actorGate,
    park: (...[batch, take, changed]: Parameters<ReturnType<typeof testRuntime>["park"]>) =>
      parking.wait("sink", batch, take, changed),
  };
  const sink = new SinkOperator(
    async () => ({
      room: () => full?.promise,
      async write(batch) {
        await slow;
        written.push(columnOf(batch, "n").get(0) as number);
      },
      end: () => void calls.push("end"),
      prepare: async (checkpoint) => {
        calls.push(`prepare ${checkpoint}`);
        return new Uint8Array();
      },
      commit: async () => {},
      recover: async () => {},
      abort: async () => {},
    }),
    runtime,
  );
  await sink.open();
  return {
    sink,
    written,
    calls,
    runtime,
    gate: actorGate,
    parked: () => parking.list.map(({ batch }) => columnOf(batch, "n").get(0) as number),
    /** As a flow of the actor. */
    give: (n: number) => actorGate.flow(() => sink.process(numbers(n))),
    fill: () => {
      full = gate();
    },
    empty: () => {
      const was = full;
      full = undefined;
      was?.open();
    },
    slowDown: (until: Promise<void>) => {
      slow = until;
    },
  };
}

describe("actors/sink-operator: a batch that has to wait", () => {
  it("for room is parked, so that a checkpoint can be taken, and is in it (N2)", async () => {
    const { give, fill, empty, gate: actorGate, parked, written, runtime } = await setUp();
    await give(1);
    fill();
    const second = give(2);
    assert.ok(await isOpen(second));
    await within("the gate to close", actorGate.close());
    assert.deepEqual([parked(), written], [[2], [1]]);
    actorGate.open();
    empty();
    await within("the batch to be written", second);
    assert.deepEqual([parked(), written, runtime.counters.rowsWritten], [[], [1, 2], 2]);
  });

  it("for its turn behind another input's is parked, too, and they keep their order (N1, N2)", async () => {
    const { give, fill, empty, gate: actorGate, parked, written } = await setUp();
    fill();
    const all = [give(1), give(2), give(3)];
    await turns();
    await within("the gate to close", actorGate.close());
    assert.deepEqual(parked(), [1, 2, 3]);
    actorGate.open();
    empty();
    await within("all to be written", Promise.all(all));
    assert.deepEqual(written, [1, 2, 3]);
  });

  it("for the writer itself keeps its place: one is written at a time (N1)", async () => {
    const { give, slowDown, parked, written } = await setUp();
    const slow = gate();
    slowDown(slow.promise);
    const both = [give(1), give(2)];
    await turns();
    assert.deepEqual([parked(), written], [[2], []]);
    slow.open();
    await within("both to be written", Promise.all(both));
    assert.deepEqual(written, [1, 2]);
  });
});

describe("actors/sink-operator: the end of its input", () => {
  it("is said to the writer before the next cut (N3)", async () => {
    const { sink, calls } = await setUp();
    sink.end();
    sink.cut(1n);
    assert.deepEqual(calls, ["end", "prepare 1"]);
  });
});
