/** What a simulation relies on beyond the conformance suite: no hidden timer, and turns that let others run. */
import assert from "node:assert/strict";
import type { Clock, Ports } from "../../../src/base/ports.js";
import { realRandom, silentLog } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { bytes } from "../../conformance/bus-support.js";

/** A clock that stands still until it is told to fire its timers. */
class StillClock implements Clock {
  readonly timers: { delayMs: number; fn: () => void }[] = [];
  nowMs = () => 0;
  monotonicMs = () => 0;
  after(delayMs: number, fn: () => void) {
    const timer = { delayMs, fn };
    this.timers.push(timer);
    return {
      cancel: () => {
        if (this.timers.includes(timer)) this.timers.splice(this.timers.indexOf(timer), 1);
      },
    };
  }
  sleep = () => assert.fail("the bus sleeps");
}

describe("bus/memory-bus: time", () => {
  let clock: StillClock;
  let bus: MemoryBus;
  beforeEach(() => {
    clock = new StillClock();
    const ports: Ports = { clock, random: realRandom, log: silentLog };
    bus = new MemoryBus(ports);
  });

  it("delivers in microtasks, without a timer", async () => {
    const seen: string[] = [];
    await bus.subscribe("mr.a", ({ subject }) => seen.push(subject));
    await bus.publish("mr.a", bytes("x"));
    await bus.flush();
    assert.deepEqual(seen, ["mr.a"]);
    assert.deepEqual(clock.timers, []);
  });

  it("passes payloads by reference", async () => {
    const payload = bytes("x");
    let seen: Uint8Array | undefined;
    await bus.subscribe("mr.a", (message) => {
      seen = message.payload;
    });
    await bus.publish("mr.a", payload);
    await bus.flush();
    assert.equal(seen, payload);
  });

  it("waits for the clock port after a turn of messages that cause each other, so that others can run", async () => {
    let rounds = 0;
    await bus.subscribe("mr.ping", () => {
      rounds += 1;
      void bus.publish("mr.ping", bytes(""));
    });
    await bus.publish("mr.ping", bytes(""));
    await new Promise(setImmediate); // reached only if the microtasks end
    const before = rounds;
    assert.ok(before > 0);
    assert.deepEqual(
      clock.timers.map(({ delayMs }) => delayMs),
      [0],
    );
    clock.timers.shift()?.fn();
    await new Promise(setImmediate);
    assert.ok(rounds > before);
  });

  it("times a request out by the clock port, and takes its timer back when it is answered", async () => {
    await bus.subscribe("mr.silent", () => {});
    const late = assert.rejects(bus.request("mr.silent", bytes(""), { timeoutMs: 77 }), { code: "MILL_BUS_TIMEOUT" });
    assert.deepEqual(
      clock.timers.map(({ delayMs }) => delayMs),
      [77],
    );
    clock.timers.shift()?.fn();
    await late;
    await bus.subscribe("mr.echo", ({ replyTo, payload }) => {
      if (replyTo !== undefined) void bus.publish(replyTo, payload);
    });
    await bus.request("mr.echo", bytes(""));
    assert.deepEqual(clock.timers, []);
  });
});
