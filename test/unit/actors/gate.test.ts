import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { fanOut, forked, Gate, Parking } from "../../../src/actors/gate.js";
import { columnOf } from "../../../src/types/batches.js";
import { gate as hold, isOpen, numbers, turns, until } from "./support.js";

const nOf = (batch: RecordBatch) => columnOf(batch, "n").get(0) as number;

/** Parks at `place` until the test says so; `inside` tells what the flow saw when it came back. */
function parkedFlow(gate: Gate, parking: Parking, place: string, n: number) {
  let free = false;
  let change = hold();
  const flow = gate.flow(() =>
    parking.wait(
      place,
      numbers(n),
      () => free,
      () => change.promise,
    ),
  );
  return {
    flow,
    wake(take: boolean) {
      free = take;
      const before = change;
      change = hold();
      before.open();
    },
  };
}

const places = (parking: Parking) => parking.list.map(({ place, batch }) => `${place} ${nOf(batch)}`);

describe("actors/gate: flows and the one who cuts", () => {
  it("close resolves when the last flow has left, and nobody comes in before open (G1)", async () => {
    const gate = new Gate();
    const work = hold();
    const first = gate.flow(() => work.promise);
    const closed = gate.close();
    assert.ok(await isOpen(closed), "a flow is inside");
    let second = false;
    const later = gate.flow(() => {
      second = true;
    });
    work.open();
    await Promise.all([first, closed]);
    await turns();
    assert.equal(second, false, "the gate is closed");
    gate.open();
    await later;
    assert.equal(second, true);
  });

  it("those who wait are let in in their order (G2)", async () => {
    const gate = new Gate();
    await gate.close();
    const order: number[] = [];
    const flows = [1, 2, 3].map((n) => gate.flow(() => void order.push(n)));
    gate.open();
    await Promise.all(flows);
    assert.deepEqual(order, [1, 2, 3]);
  });

  it("a flow that was let in and has not run yet holds off the next close (G1)", async () => {
    const gate = new Gate();
    await gate.close();
    const work = hold();
    const flow = gate.flow(() => work.promise);
    gate.open();
    const again = gate.close();
    assert.ok(await isOpen(again));
    work.open();
    await flow;
    await again;
  });

  it("a flow that fails leaves the gate, and says that what it held is lost (A2)", async () => {
    const gate = new Gate();
    await assert.rejects(
      gate.flow(() => Promise.reject(new Error("bad"))),
      /bad/,
    );
    await gate.close();
    assert.equal(gate.broken, true);
  });

  it("the gate is broken before a close that waits for the failing flow resolves (A2)", async () => {
    const gate = new Gate();
    const work = hold();
    const flow = gate.flow(async () => {
      await work.promise;
      throw new Error("bad");
    });
    const seen = gate.close().then(() => gate.broken);
    work.open();
    await assert.rejects(flow);
    assert.equal(await seen, true);
  });
});

describe("actors/gate: parking", () => {
  it("a parked batch keeps no checkpoint waiting, and is in the list until it is taken (guarantee 4, A2)", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    const one = parkedFlow(gate, parking, "x", 1);
    await gate.close();
    assert.deepEqual(places(parking), ["x 1"]);
    one.wake(true);
    assert.ok(await isOpen(one.flow), "the gate is closed");
    assert.deepEqual(places(parking), ["x 1"], "it is not taken while the gate is closed");
    gate.open();
    await one.flow;
    assert.deepEqual(places(parking), []);
  });

  it("parks in the order of arrival, and keeps its place when it is refused again", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    const flows = [1, 2, 3].map((n) => parkedFlow(gate, parking, "x", n));
    flows[0]!.wake(false);
    await turns();
    assert.deepEqual(places(parking), ["x 1", "x 2", "x 3"]);
    for (const flow of flows) flow.wake(true);
    await Promise.all(flows.map(({ flow }) => flow));
  });

  it("restored batches come after those of their place that wait already, and go on in order", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    parking.restore([2, 3].map((n) => ({ place: "x", batch: numbers(n) })));
    parking.restore([{ place: "y", batch: numbers(9) }]);
    const first = parkedFlow(gate, parking, "x", 1);
    assert.deepEqual(places(parking), ["x 1", "x 2", "x 3", "y 9"]);
    first.wake(true);
    await first.flow;
    const out: number[] = [];
    await parking.replay("x", (batch) => void out.push(nOf(batch)));
    assert.deepEqual(out, [2, 3]);
    assert.deepEqual(places(parking), ["y 9"]);
  });

  it("a batch that is being replayed and parks again stays before those behind it (restored order)", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    parking.restore([1, 2].map((n) => ({ place: "x", batch: numbers(n) })));
    const change = hold();
    let free = false;
    const out: number[] = [];
    const replayed = parking.replay("x", (batch) =>
      parking
        .wait(
          "x",
          batch,
          () => free,
          () => change.promise,
        )
        .then(() => void out.push(nOf(batch))),
    );
    await turns();
    await gate.close();
    assert.deepEqual(places(parking), ["x 1", "x 2"]);
    gate.open();
    free = true;
    change.open();
    await replayed;
    assert.deepEqual(out, [1, 2]);
  });

  it("a batch taken from a channel while the gate is closed is parked, once (rule 3 of the gate)", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    await gate.close();
    const entered = parking.enter(parking.hold("x", numbers(1)));
    await turns();
    assert.deepEqual(places(parking), ["x 1"]);
    gate.open();
    const next = gate.close();
    await entered;
    assert.deepEqual(places(parking), []);
    assert.ok(await isOpen(next), "the flow is inside");
    gate.leave();
    await next;
  });

  it("what wakes it with an error breaks the gate at once, though the gate is closed (A2)", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    const change = hold();
    const failed = change.promise.then(() => Promise.reject(new Error("channel closed")));
    const flow = gate.flow(() =>
      parking.wait(
        "x",
        numbers(1),
        () => false,
        () => failed,
      ),
    );
    await gate.close();
    assert.deepEqual(places(parking), ["x 1"]);
    change.open();
    await assert.rejects(flow, /channel closed/);
    assert.equal(gate.broken, true);
    gate.open();
    await gate.close(); // it adds up
  });
});

describe("actors/gate: one batch that goes several ways", () => {
  it("every way has the batch before any of them waits (rule 2 of the gate)", async () => {
    const gate = new Gate();
    const parking = new Parking(gate);
    const changes = [hold(), hold()];
    const taken: string[] = [];
    const way = (name: string, i: number) => (batch: RecordBatch) =>
      parking
        .wait(
          name,
          batch,
          () => true,
          () => changes[i]!.promise,
        )
        .then(() => void taken.push(name));
    const flow = gate.flow(() => fanOut(gate, [way("a", 0), way("b", 1)])(numbers(7)));
    await gate.close();
    assert.deepEqual(places(parking), ["a 7", "b 7"]);
    gate.open();
    changes[1]!.open();
    await until("the second way", () => taken.length === 1);
    await gate.close();
    assert.deepEqual(places(parking), ["a 7"], "the other way goes on alone");
    gate.open();
    changes[0]!.open();
    await flow;
    await gate.close();
    assert.deepEqual(places(parking), []);
  });

  it("is done at once where no way waits, and passes a single way through", () => {
    const gate = new Gate();
    const out: number[] = [];
    const put = (batch: RecordBatch) => void out.push(nOf(batch));
    assert.equal(fanOut(gate, [put])(numbers(1)), undefined);
    assert.equal(fanOut(gate, [put, put])(numbers(2)), undefined);
    assert.equal(fanOut(gate, [])(numbers(3)), undefined);
    assert.deepEqual(out, [1, 2, 2]);
  });

  for (const how of ["throws", "rejects"] as const) {
    it(`a way that ${how} breaks the gate before it leaves it, and fails the flow (A2)`, async () => {
      const gate = new Gate();
      const work = hold();
      const other = hold();
      const bad = () => {
        const error = new Error("bad");
        if (how === "throws") throw error;
        return work.promise.then(() => Promise.reject(error));
      };
      const flow = gate.flow(() => forked(gate, [bad, () => other.promise]));
      const seen = gate.close().then(() => gate.broken);
      work.open();
      await assert.rejects(flow, /bad/);
      other.open();
      assert.equal(await seen, true);
      await turns();
      gate.open();
      await gate.close(); // it adds up
    });
  }
});

/** Small and fast; the seed names the schedule. */
function randomOf(seed: number): (below: number) => number {
  let state = seed * 2654435761 + 1;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return (state >>> 8) % below;
  };
}

describe("actors/gate: random schedules", () => {
  it("at every cut each batch is in exactly one place on each of its ways (A2, G1)", async () => {
    for (let seed = 1; seed <= 80; seed++) await schedule(seed);
  });

  /** Three drivers -> a step that may wait inside -> two ways: a store with little room, and a plain one. */
  async function schedule(seed: number): Promise<void> {
    const random = randomOf(seed);
    const gate = new Gate();
    const parking = new Parking(gate);
    const BATCHES = 12;
    const drivers = 3;
    const emitted = new Map<number, number>(Array.from({ length: drivers }, (_, i) => [i, 0]));
    const arrived: Record<"small" | "plain", number[]> = { small: [], plain: [] };
    let room = 1;
    const waiting: (() => void)[] = [];
    const pause = async () => {
      for (let i = random(4); i > 0; i--) await (random(3) === 0 ? turns(1) : Promise.resolve());
    };
    const take = () => {
      if (room === 0) return false;
      room -= 1;
      return true;
    };
    const small = (batch: RecordBatch) => {
      const store = () => void arrived.small.push(nOf(batch));
      if (take()) return store();
      return parking.wait("small", batch, take, () => new Promise((resolve) => waiting.push(resolve))).then(store);
    };
    const plain = async (batch: RecordBatch) => {
      await pause();
      arrived.plain.push(nOf(batch));
    };
    const onward = fanOut(gate, [small, plain]);
    const drive = async (driver: number) => {
      for (let i = 0; i < BATCHES; i++) {
        await pause();
        const batch = numbers(driver * 1000 + i);
        const channel = driver === 0;
        if (channel) {
          const held = parking.hold("step", batch);
          await pause();
          await parking.enter(held);
        }
        const work = async () => {
          emitted.set(driver, emitted.get(driver)! + 1);
          await pause();
          await onward(batch);
        };
        if (!channel) await gate.flow(work);
        else {
          try {
            await work();
          } finally {
            gate.leave();
          }
        }
      }
    };
    let over = false;
    const makeRoom = async () => {
      while (!over) {
        await pause();
        await turns(1);
        room += 1;
        for (const wake of waiting.splice(0)) wake();
      }
    };
    let cuts = 0;
    const check = async () => {
      while (!over) {
        await pause();
        await gate.close();
        const waits = (place: string) =>
          parking.list.filter((one) => one.place === place).map(({ batch }) => nOf(batch));
        for (const way of ["small", "plain"] as const) {
          const seen = [...arrived[way], ...waits(way)].sort((a, b) => a - b);
          const expected = [...emitted].flatMap(([d, count]) => Array.from({ length: count }, (_, i) => d * 1000 + i));
          assert.deepEqual(seen, expected, `seed ${seed}, cut ${cuts}, way "${way}"`);
        }
        cuts += 1;
        gate.open();
        await turns(1);
      }
    };
    const others = Promise.all([makeRoom(), check()]);
    await Promise.all([drive(0), drive(1), drive(2)]);
    over = true;
    waiting.splice(0).forEach((wake) => void wake());
    await others;
    assert.ok(cuts > 0);
    assert.equal(arrived.small.length, drivers * BATCHES);
  }
});
