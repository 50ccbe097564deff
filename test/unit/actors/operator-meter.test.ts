import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { Gate } from "../../../src/actors/gate.js";
import type { Emit } from "../../../src/actors/operator.js";
import { ActorMeter } from "../../../src/actors/operator-meter.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { gate, numbers } from "./support.js";

/** `first` hands on to `second`; how long `second` takes, and what becomes of it, is the test's. */
function chain(second: Emit) {
  const clock = new FakeClock();
  const actor = new ActorMeter(clock);
  const meters = { first: actor.operator(), second: actor.operator() };
  const next = meters.second.into(second);
  const emit = meters.first.outOf(next);
  const first = meters.first.into((batch) => emit(batch));
  return { clock, actor, ...meters, take: first };
}

const spent = ({ busy, backPressured, idle }: { busy: number; backPressured: number; idle: number }) => [
  busy,
  backPressured,
  idle,
];

describe("actors/operator-meter: how the time of an operator is spent", () => {
  it("idle until it is handed something; then busy, and whoever handed it on is back-pressured until it is taken (Y1)", async () => {
    const door = gate();
    const { clock, actor, first, second, take } = chain(() => door.promise);
    await clock.advance(10);
    const taken = take(numbers(1, 2));
    await clock.advance(30);
    door.open();
    await taken;
    await clock.advance(60);
    assert.deepEqual(spent(second.ms), [30, 0, 70]);
    assert.deepEqual(spent(first.ms), [0, 30, 70]);
    assert.deepEqual(spent(actor.ms), [30, 0, 70], "an actor is busy while one of its operators is");
  });

  it("an actor whose operators all wait for others is back-pressured", async () => {
    const clock = new FakeClock();
    const actor = new ActorMeter(clock);
    const [meter, room] = [actor.operator(), gate()];
    const take = meter.into(meter.outOf(() => room.promise));
    const taken = take(numbers(1));
    await clock.advance(25);
    room.open();
    await taken;
    await clock.advance(75);
    assert.deepEqual([meter.ms, actor.ms].map(spent), [
      [0, 25, 75],
      [0, 25, 75],
    ]);
  });

  it("a full window is work of its own, but what waits for others is back-pressure whatever else waits", async () => {
    const clock = new FakeClock();
    const meter = new ActorMeter(clock).operator();
    const [room, downstream] = [gate(), gate()];
    const full = meter.into(() => meter.parked("own", () => room.promise))(numbers(1));
    await clock.advance(10);
    const held = new Gate();
    const pump = meter.gate(held).flow(() => meter.outOf(() => downstream.promise)(numbers(1)));
    await clock.advance(20);
    downstream.open();
    await pump;
    await clock.advance(40);
    room.open();
    await full;
    assert.deepEqual(spent(meter.ms), [50, 20, 0]);
  });

  it("a sink that waits for room is back-pressured", async () => {
    const clock = new FakeClock();
    const meter = new ActorMeter(clock).operator();
    const room = gate();
    const taken = meter.into(() => meter.parked("next", () => room.promise))(numbers(1));
    await clock.advance(10);
    room.open();
    await taken;
    assert.deepEqual(spent(meter.ms), [0, 10, 0]);
  });

  it("what fails, now or later, is over (Y2)", async () => {
    const failures: Emit[] = [
      () => {
        throw new Error("now");
      },
      () => Promise.reject(new Error("later")),
    ];
    for (const failing of failures) {
      const { clock, first, second, take } = chain(failing);
      await assert.rejects(async () => take(numbers(1)));
      await clock.advance(10);
      assert.deepEqual([first.ms, second.ms].map(spent), [
        [0, 0, 10],
        [0, 0, 10],
      ]);
    }
  });

  it("rows are counted by the batch, on both sides; where nobody waits no promise is made", () => {
    const seen: RecordBatch[] = [];
    const { first, second, take } = chain((batch) => void seen.push(batch));
    assert.equal(take(numbers(1, 2, 3)), undefined);
    assert.equal(take(numbers(4)), undefined);
    assert.deepEqual([first.rowsIn, first.rowsOut, second.rowsIn, second.rowsOut], [4, 4, 4, 0]);
    assert.equal(seen.length, 2);
  });
});
