import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { FAULT_PROFILES, Faults } from "./faults.js";
import { SharedStore } from "./shared-store.js";
import { SimBus } from "./sim-bus.js";
import { SimWorld } from "./sim-clock.js";
import { SimNetwork } from "./sim-network.js";
import { SimProcess } from "./sim-process.js";
import { SimRandom } from "./sim-random.js";
import { SimStore } from "./sim-store.js";
import { Trace } from "./trace.js";

const never = () => false;

function world(seed = "test"): SimWorld {
  return new SimWorld(new SimRandom(seed), new Trace(undefined));
}

function calmFaults(random = new SimRandom("test")): Faults {
  const faults = new Faults(FAULT_PROFILES.recovery, random);
  faults.active = false;
  return faults;
}

describe("sim/sim-clock: virtual time", () => {
  it("moves only from event to event, and runs microtasks to exhaustion between them (V1)", async () => {
    const one = world();
    const seen: string[] = [];
    one.schedule(undefined, 3_600_000, "first", () => {
      void (async () => {
        for (let i = 0; i < 100; i++) await Promise.resolve();
        seen.push(`after 100 microtasks at ${one.nowMs}`);
      })();
    });
    one.schedule(undefined, 3_600_001, "second", () => seen.push(`second at ${one.nowMs}`));
    await one.runUntil(never, 4_000_000);
    assert.deepEqual(seen, ["after 100 microtasks at 3600000", "second at 3600001"]);
    assert.equal(one.nowMs, 4_000_000);
  });

  it("orders what is due at one moment by the seed (V4)", async () => {
    const orders = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const one = world(`${seed}`);
      let order = "";
      for (const name of ["a", "b", "c"]) one.schedule(undefined, 5, name, () => (order += name));
      await one.runUntil(never, 10);
      orders.add(order);
    }
    assert.ok(orders.size >= 4, `of 6 orders 20 seeds have shown ${[...orders].join(", ")}`);
  });

  for (const [name, call] of [
    ["setTimeout", () => void setTimeout(() => {}, 1)],
    ["Date.now", () => void Date.now()],
    ["performance.now", () => void performance.now()],
    ["Math.random", () => void Math.random()],
  ] as const) {
    it(`finds a call of ${name} where it is made (V3)`, async () => {
      const one = world();
      one.schedule(undefined, 1, "cheats", call);
      await one.runUntil(never, 10);
      assert.match(one.findings[0]?.seen ?? "", new RegExp(name.replace(".", "\\.")));
    });
  }

  it("finds real input and output (V3)", async () => {
    const one = world();
    let open = true;
    const again = () => {
      if (open) one.schedule(undefined, 1, "waits", again);
    };
    let read: Promise<unknown> = Promise.resolve();
    one.schedule(undefined, 1, "reads a file", () => {
      const many = Array.from({ length: 2_000 }, () => stat("."));
      read = Promise.all(many);
    });
    again();
    await one.runUntil(never, 100_000);
    open = false;
    await read;
    assert.equal(one.findings[0]?.checker, "real-io");
  });

  it("finds a promise that was rejected and that nobody looks after", async () => {
    const one = world();
    one.schedule(undefined, 1, "forgets", () => void Promise.reject(new Error("nobody caught me")));
    await one.runUntil(never, 10);
    assert.equal(one.findings[0]?.checker, "unhandled-rejection");
    assert.match(one.findings[0]?.seen ?? "", /nobody caught me/);
  });

  it("finds a system that keeps time from going on", async () => {
    const one = world();
    const again = () => void one.schedule(undefined, 0, "again", again);
    again();
    await one.runUntil(never, 10);
    assert.equal(one.findings[0]?.checker, "livelock");
  }).timeout(20_000);
});

describe("sim/sim-process: crash and pause", () => {
  it("nothing of a dead process runs, whatever it had begun (V2)", async () => {
    const one = world();
    const faults = calmFaults();
    const network = new SimNetwork(one, faults);
    const shared = new SharedStore(one, faults);
    const dead = new SimProcess(one, "dead", "host");
    const bus = new SimBus(dead, network);
    const store = new SimStore(dead, shared);
    const seen: string[] = [];
    dead.ports.clock.after(50, () => seen.push("timer"));
    void dead.ports.clock.sleep(50).then(() => seen.push("sleep"));
    void bus.subscribe("mr.test", () => seen.push("message"));
    void store.put("written", new Uint8Array(3)).then(() => seen.push("store"));
    one.schedule(undefined, 0, "kill", () => dead.end("SIGKILL"));
    await one.runUntil(never, 60_000);
    assert.deepEqual(seen, []);
    assert.deepEqual([...shared.contents("").keys()], ["written"], "what had left it is carried out all the same");
  });

  it("a paused process runs everything that was due when it is resumed, in its order (V2)", async () => {
    const one = world();
    const paused = new SimProcess(one, "paused", "host");
    const seen: string[] = [];
    for (const delayMs of [30, 10, 20]) {
      paused.ports.clock.after(delayMs, () => seen.push(`${delayMs} at ${one.nowMs}`));
    }
    const cancelled = paused.ports.clock.after(15, () => seen.push("cancelled"));
    one.schedule(undefined, 5, "pause", () => paused.pause());
    one.schedule(undefined, 50, "cancel", () => cancelled.cancel());
    one.schedule(undefined, 1_000, "resume", () => paused.resume());
    await one.runUntil(never, 2_000);
    assert.deepEqual(seen, ["10 at 1000", "20 at 1000", "30 at 1000"]);
  });

  it("the wall clock of a process may be wrong, its timers are not", () => {
    const one = world();
    const right = new SimProcess(one, "right", "host").ports.clock;
    const process = new SimProcess(one, "skewed", "host");
    process.skewMs = 5_000;
    assert.equal(process.ports.clock.nowMs() - right.nowMs(), 5_000);
    assert.equal(process.ports.clock.monotonicMs(), right.monotonicMs());
  });
});

describe("sim/sim-network: faults between processes", () => {
  async function pair() {
    const one = world();
    const faults = calmFaults();
    const network = new SimNetwork(one, faults);
    const [a, b] = ["a", "b"].map((name) => new SimBus(new SimProcess(one, name, "host"), network));
    const got: string[] = [];
    void b!.subscribe("mr.test", (message) => got.push(new TextDecoder().decode(message.payload)));
    await one.runUntil(never, 1_000);
    const publish = (text: string) => void a!.publish("mr.test", new TextEncoder().encode(text));
    return { one, faults, network, a: a!, b: b!, got, publish };
  }

  it("two processes that are cut from each other exchange nothing until they are joined", async () => {
    const { one, network, got, publish } = await pair();
    network.cut("a", "b");
    publish("lost");
    await one.runUntil(never, 2_000);
    network.join("a", "b");
    publish("heard");
    await one.runUntil(never, 3_000);
    assert.deepEqual(got, ["heard"]);
  });

  for (const [loses, expected] of [
    [true, ["after"]],
    [false, ["before", "while down", "after"]],
  ] as const) {
    it(`a line that breaks ${loses ? "loses" : "keeps"} what its process publishes meanwhile`, async () => {
      const { one, a, got, publish } = await pair();
      publish("before");
      a.disconnect(loses);
      publish("while down");
      await one.runUntil(never, 2_000);
      a.reconnect();
      publish("after");
      await one.runUntil(never, 3_000);
      assert.deepEqual(got, expected);
    });
  }

  it("a line that breaks loses what was on its way to its process, and has its subscriptions after the reconnect", async () => {
    const { one, b, got, publish } = await pair();
    publish("lost");
    one.schedule(undefined, 0, "break", () => b.disconnect(true));
    await one.runUntil(never, 2_000);
    b.reconnect();
    publish("heard");
    await one.runUntil(never, 3_000);
    assert.deepEqual(got, ["heard"]);
  });
});

describe("sim/sim-store: a process that cannot reach the store", () => {
  it("is told so, and nothing is written", async () => {
    const one = world();
    const shared = new SharedStore(one, calmFaults());
    const process = new SimProcess(one, "p", "host");
    shared.cutOff("p");
    let code = "";
    new SimStore(process, shared).put("a", new Uint8Array(1)).catch((error: { code: string }) => {
      code = error.code;
    });
    await one.runUntil(never, 60_000);
    assert.equal(code, "MILL_STORE_UNREACHABLE");
    assert.equal(shared.contents("").size, 0);
  });
});
