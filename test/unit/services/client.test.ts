import assert from "node:assert/strict";
import { MillraceError } from "../../../src/base/errors.js";
import type { ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import type { Bus } from "../../../src/bus/bus.js";
import { loadReportFrame } from "../../../src/wire/frames.js";
import { isOpen, within } from "../actors/support.js";
import { batch, doubled, FakeInstance, owner, SHARE, setUp, subjects } from "./fake-instance.js";

describe("services/client: requests and answers", () => {
  it("sends nothing until an instance is READY (S3)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    const call = client.call(batch(1), owner);
    for (const state of ["REQUESTED", "PROVISIONING", "LOADING", "WARMING"] as const) {
      await a.says(state);
      assert.equal(a.requests.length, 0, state);
    }
    assert.equal(client.queuedRows, 1);
    await a.says("READY");
    assert.deepEqual(
      a.requests.map((one) => one.values),
      [[1]],
    );
    await a.answers();
    assert.deepEqual(doubled(await call), [2]);
  });

  it("asks for more once nothing waits and an instance has less than its calls and as much again", async () => {
    const { client, clock, instance } = await setUp();
    let asked = 0;
    const supply = () => {
      asked += 1;
    };
    client.whenStarved(supply);
    client.whenStarved(supply);
    assert.ok(!client.isStarved, "there is no instance");
    const a = await instance("a-0");
    await a.says("READY");
    assert.ok(client.isStarved);
    assert.equal(asked, 1);
    for (let n = 0; n <= SHARE; n++) void client.call(batch(n), owner);
    await clock.settle();
    assert.ok(!client.isStarved);
    client.whenStarved(supply);
    for (let n = 0; n < 2; n++) {
      assert.equal(asked, 1, "it has enough to do");
      await a.answers();
    }
    assert.equal(asked, 2);
  });

  it("spells the input's schema out once to each instance", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    void client.call(batch(1), owner);
    void client.call(batch(2), owner);
    await clock.settle();
    assert.deepEqual(
      a.requests.map((one) => one.header.schema !== null),
      [true, false],
    );
  });

  for (const status of ["RETURNED", "REJECTED"] as const) {
    it(`a request that is ${status} goes to another instance (S1)`, async () => {
      const { client, clock, instance } = await setUp();
      const a = await instance("a-0");
      const b = await instance("a-1");
      await a.says("READY");
      const call = client.call(batch(1), owner);
      await clock.settle();
      assert.equal(a.requests.length, 1, "the request");
      await b.says("READY");
      await a.answers(status, status === "RETURNED" ? { state: "DRAINING" } : {});
      assert.equal(b.requests.length, 1);
      await b.answers();
      assert.deepEqual(doubled(await call), [2]);
    });
  }

  it("one that was REJECTED by the only instance waits for its next report and is not thrown at it again at once", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    await a.answers("REJECTED");
    await clock.settle();
    assert.equal(a.requests.length, 0);
    await a.says("READY");
    assert.equal(a.requests.length, 1);
    await a.answers();
    await call;
  });

  it("one that FAILED ends the call with the code of the instance and the name of the service (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    const failed = assert.rejects(call, { code: "MILL_MODEL_INPUTS", message: /"double".*it broke/ });
    await a.answers("FAILED", { code: "MILL_MODEL_INPUTS" });
    await within("the call to end", failed);
  });

  it("an answer whose payload does not fit ends the call (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    const failed = assert.rejects(call, { code: "MILL_SERVICE_FAILED", message: /"double"/ });
    await a.answers("OK", { payload: new Uint8Array([1, 2, 3]) });
    await within("the call to end", failed);
  });

  it("an answer that comes twice changes nothing", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    a.requests.push(a.requests[0]!);
    await a.answers();
    await a.answers();
    await call;
    for (let i = 0; i < SHARE + 1; i++) void client.call(batch(i), owner).catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, SHARE, "the instance has the share of a client, no row more");
  });

  it("`fail` ends every call, queued or sent, now and from then on (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const calls = Array.from({ length: SHARE + 2 }, (_, i) => client.call(batch(i), owner));
    await clock.settle();
    client.close();
    for (const result of await within("every call", Promise.allSettled(calls))) assert.equal(result.status, "rejected");
    await assert.rejects(client.call(batch(1), owner), { message: /"double"/ });
    assert.equal(client.queuedRows, 0);
  });
});

describe("services/client: how much an instance is given", () => {
  it("no more than its share while it answers nothing, and one more for each that leaves it (S4)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    for (let i = 0; i < 20; i++) void client.call(batch(i), owner).catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, SHARE);
    for (const status of ["OK", "FAILED", "RETURNED"] as const) {
      await a.answers(status, { code: status === "FAILED" ? "MILL_SERVICE_FAILED" : "" });
      assert.equal(a.requests.length, SHARE, `after ${status}`);
    }
    client.close();
  });

  it("a request that cannot be sent ends its call and makes room again (S2, S4)", async () => {
    let broken = true;
    const { client, clock, instance } = await setUp((bus) => {
      const publish: Bus["publish"] = (subject, payload, options) => {
        if (broken && subject.endsWith(".request")) throw new Error("no room on the wire");
        return bus.publish(subject, payload, options);
      };
      return new Proxy(bus, { get: (target, key) => (key === "publish" ? publish : bind(target, key)) });
    });
    const a = await instance("a-0");
    await a.says("READY");
    for (let i = 0; i < SHARE; i++) {
      await within("the call to end", assert.rejects(client.call(batch(1), owner), { message: /no room on the wire/ }));
    }
    broken = false;
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "a request after those that were not sent");
    await a.answers();
    await call;
  });
});

function bind(target: object, key: string | symbol): unknown {
  const value = Reflect.get(target, key) as unknown;
  return typeof value === "function" ? value.bind(target) : value;
}

describe("services/client: lost instances", () => {
  it("what was on board goes to another (S1, S4)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    const b = await instance("a-1");
    await a.says("READY");
    const calls = [client.call(batch(1), owner), client.call(batch(2), owner)];
    await clock.settle();
    assert.equal(a.requests.length, 2, "the requests");
    await a.crashes();
    await b.says("READY");
    for (const n of [1, 2]) {
      await clock.settle();
      assert.equal(b.requests.length, 1, `request ${n}`);
      assert.deepEqual(b.requests[0]!.values, [n]);
      await b.answers();
    }
    assert.deepEqual((await Promise.all(calls)).map(doubled), [[2], [4]]);
  });

  it(`a request that was on board of ${limits.inferCrashesMax} crashes is refused, and not sent again (S5)`, async () => {
    const { client, clock, instance } = await setUp();
    const call = assert.rejects(client.call(batch(1), owner), {
      code: "MILL_SERVICE_LOST",
      message: /3 instances/,
    });
    for (let i = 0; i < limits.inferCrashesMax; i++) {
      const one = await instance(`a-${i}`);
      await one.says("READY");
      await clock.settle();
      assert.equal(one.requests.length, 1, `request ${i}`);
      assert.equal(one.requests[0]!.header.crashes, i);
      await one.crashes();
    }
    await within("the call to end", call);
    const last = await instance("a-9");
    await last.says("READY");
    assert.equal(last.requests.length, 0);
  });

  it("the neighbours of a request that kills its instances are answered, each after one crash at most (S5)", async () => {
    const { client, clock, instance } = await setUp();
    const poison = assert.rejects(client.call(batch(-1), owner), { code: "MILL_SERVICE_LOST" });
    const calls = [1, 2, 3, 4, 5].map((n) => client.call(batch(n), owner));
    let all: FakeInstance[] = [];
    for (let turn = 0; turn < 40 && client.queuedRows + all.length >= 0; turn++) {
      if (all.length === 0) {
        all = [await instance(`a-${turn}`)];
        await all[0]!.says("READY");
      }
      const [one] = all;
      if (one!.requests.length === 0) {
        await clock.settle();
        if (one!.requests.length === 0) break;
      }
      const suspects = one!.requests.filter((request) => request.header.crashes > 0);
      assert.ok(suspects.length === 0 || one!.requests.length === 1, "a suspect travels alone");
      if (one!.requests[0]!.values.includes(-1)) {
        await one!.crashes();
        all = [];
      } else {
        assert.ok(one!.requests[0]!.header.crashes <= 1);
        await one!.answers();
      }
    }
    await within("the poisoned call", poison);
    const answers = await within("its neighbours", Promise.all(calls));
    assert.deepEqual(answers.map(doubled), [[2], [4], [6], [8], [10]]);
  });

  it("a suspect does not meet other clients' rows in a call: its bucket is its own (S5)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    void client.call(batch(1), owner, { bucket: "wide" }).catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    assert.equal(a.requests[0]!.header.bucket, "wide");
    await a.crashes();
    const b = await instance("a-1");
    await b.says("READY");
    assert.notEqual(b.requests[0]!.header.bucket, "wide");
    client.close();
  });

  it("one that was told to stop has not crashed: what it still had goes on as before (S5)", async () => {
    const { client, clock, instance } = await setUp();
    for (let i = 0; i <= limits.inferCrashesMax; i++) {
      const one = await instance(`a-${i}`);
      if (i === 0) void client.call(batch(1), owner).catch(() => {});
      await one.says("READY");
      await clock.settle();
      assert.equal(one.requests.length, 1, `request ${i}`);
      assert.equal(one.requests[0]!.header.crashes, 0);
      await one.crashes("STOPPED");
    }
    assert.equal(client.queuedRows, 1);
    client.close();
  });

  it("an instance that is gone stays gone, whatever of it still arrives (S6)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    assert.equal(a.requests.length, 1, "the request");
    const [late] = a.requests;
    await a.crashes();
    a.requests.push(late!);
    await a.answers(); // was on its way when it died, and says READY
    await a.says("READY");
    assert.equal(a.requests.length, 0, "a dead instance was sent a request");
    assert.ok(await isOpen(call), "an answer of an instance that was given up was taken");
    const b = await instance("a-1");
    await b.says("READY");
    await b.answers();
    assert.deepEqual(doubled(await call), [2]);
  });

  it("an instance that was lost with its worker is gone until it is heard long after that was last said (S6)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    const [late] = a.requests;
    await a.crashes("FAILED", "MILL_WORKER_LOST");
    await a.says("READY");
    await clock.advance(limits.heartbeatTimeoutMs - 1);
    await a.crashes("FAILED", "MILL_WORKER_LOST"); // told again, in case it was not heard
    await clock.advance(limits.heartbeatTimeoutMs - 1);
    await a.says("READY");
    assert.deepEqual([a.requests.length, client.readyCount()], [0, 0]);
    await clock.advance(1);
    await a.says("READY");
    assert.deepEqual([a.requests.length, client.readyCount()], [1, 1]);
    a.requests.unshift(late!); // it had gone on with it
    await a.answers();
    await a.answers();
    assert.deepEqual(doubled(await call), [2]);
    await a.crashes();
    await clock.advance(10 * limits.heartbeatTimeoutMs);
    await a.says("READY");
    assert.equal(client.readyCount(), 0, "that it has ended is sure");
    client.close();
  });

  it("an older report than the last one seen changes nothing", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    const old = a.load("READY");
    await a.says("DRAINING");
    await a.bus.publish(subjects.load("double" as ServiceId as ServiceId), loadReportFrame.encode(old));
    await clock.settle();
    void client.call(batch(1), owner).catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, 0);
    client.close();
  });
});

describe("services/client: requests that were lost on their way", () => {
  const ids = (one: FakeInstance) => one.requests.map(({ header }) => header.id);

  it("one that its instance has not held for limits.requestLostMs is sent again, under its name; a held one is not (S7)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const calls = [client.call(batch(1), owner), client.call(batch(2), owner)];
    await clock.settle();
    const [lost, held] = ids(a);
    const [, kept] = a.requests.splice(0);
    await clock.advance(limits.requestLostMs);
    await a.holds(held!);
    assert.deepEqual(ids(a), [], "sent again too early");
    await clock.advance(1);
    await a.holds(held!);
    assert.deepEqual(ids(a), [lost]);
    assert.equal(a.requests[0]!.header.crashes, 0, "it has not been on board of a crash");
    assert.notEqual(a.requests[0]!.header.schema, null, "the schema may have been in what was lost");
    await a.answers();
    a.requests.push(kept!);
    await a.answers();
    assert.deepEqual((await within("both", Promise.all(calls))).map(doubled), [[2], [4]]);
  });

  it("one whose answer was lost is asked for again, and counts once (S4, S7)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    a.requests.length = 0; // answered; nobody heard it
    await clock.advance(limits.requestLostMs + 1);
    await a.holds();
    await a.answers();
    assert.deepEqual(doubled(await within("the call", call)), [2]);
    for (let i = 0; i < SHARE + 1; i++) void client.call(batch(i), owner).catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, SHARE, "the instance has the share of a client, no row more or less");
    client.close();
  });

  it("the time counts from when it was sent last, and another instance's word does not (S7)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    const b = await instance("b-0");
    await a.says("READY");
    void client.call(batch(1), owner).catch(() => {});
    await clock.settle();
    await b.says("DRAINING");
    a.requests.length = 0;
    await clock.advance(limits.requestLostMs + 1);
    await b.holds();
    await new FakeInstance(a.bus, clock, "nobody").holds();
    assert.equal(a.requests.length, 0);
    await a.holds();
    assert.equal(a.requests.length, 1);
    await a.holds();
    assert.equal(a.requests.length, 1, "sent again before its time");
    client.close();
  });

  it("goes to whoever is READY, where the one that lost it drains (S1, S3, S7)", async () => {
    const { client, clock, instance } = await setUp();
    const [a, b] = [await instance("a-0"), await instance("b-0")];
    await a.says("READY");
    const call = client.call(batch(1), owner);
    await clock.settle();
    a.requests.length = 0;
    await a.says("DRAINING");
    await b.says("READY");
    await clock.advance(limits.requestLostMs + 1);
    await a.holds();
    assert.deepEqual([a.requests.length, b.requests.length], [0, 1]);
    await b.answers();
    assert.deepEqual(doubled(await within("the call", call)), [2]);
  });
});

describe("services/client: an owner that gives up", () => {
  const stopped = new MillraceError("MILL_JOB_FAILED", "the actor was told to stop");

  it("ends its calls with its error, sent or not, and no call of another (S2)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const other = {};
    const mine = Array.from({ length: SHARE + 2 }, (_, i) => client.call(batch(i), owner));
    const ended = mine.map((call) => assert.rejects(call, stopped));
    const theirs = client.call(batch(70), other);
    await clock.settle();
    assert.deepEqual([a.requests.length, client.queuedRows], [SHARE, 3]);
    client.giveUp(owner, stopped);
    await within("every call of the owner", Promise.all(ended));
    await clock.settle();
    assert.ok(await isOpen(theirs), "the other's call was ended, too");
    assert.deepEqual(a.requests.at(-1)!.values, [70]);
    a.requests.splice(0, SHARE);
    await a.answers();
    assert.deepEqual(doubled(await theirs), [140]);
  });

  it("makes room at once, and late answers change nothing (S4)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    for (let i = 0; i < SHARE; i++) void client.call(batch(i), owner).catch(() => {});
    await clock.settle();
    client.giveUp(owner, stopped);
    const calls = Array.from({ length: SHARE + 1 }, (_, i) => client.call(batch(i), {}));
    for (const call of calls) call.catch(() => {});
    await clock.settle();
    assert.equal(a.requests.length, 2 * SHARE);
    for (let i = 0; i < SHARE; i++) await a.answers();
    assert.equal(a.requests.length, SHARE, "an answer to what was given up made room");
    client.close();
  });

  it("may call again afterwards; nothing is left to be sent again (S7)", async () => {
    const { client, clock, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    void client.call(batch(1), owner).catch(() => {});
    await clock.settle();
    client.giveUp(owner, stopped);
    a.requests.length = 0;
    await clock.advance(limits.requestLostMs + 1);
    await a.holds();
    await a.crashes();
    const b = await instance("b-0");
    await b.says("READY");
    assert.deepEqual([a.requests.length, b.requests.length], [0, 0]);
    const call = client.call(batch(2), owner);
    await clock.settle();
    await b.answers();
    assert.deepEqual(doubled(await within("the call", call)), [4]);
  });
});
