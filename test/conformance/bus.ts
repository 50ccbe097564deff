/**
 * What every bus must do (src/bus/bus.ts, B1 to B6), whatever carries it. Logs and buckets: `bus-storage.ts`.
 *
 * Not here, because one process on one healthy server cannot show it: loss (B5), reconnects, refused credentials;
 * those are in the tests of the bus that has them.
 */
import assert from "node:assert/strict";
import { limits } from "../../src/base/limits.js";
import type { Ports } from "../../src/base/ports.js";
import type { Bus } from "../../src/bus/bus.js";
import { busStorageConformance } from "./bus-storage.js";
import {
  type BusSystem,
  bytes,
  Inbox,
  type LogLine,
  pattern,
  recordingPorts,
  sameBytes,
  text,
  within,
} from "./bus-support.js";

const MiB = 1024 * 1024;

export interface BusConformanceOptions {
  /** Whether `log` and `bucket` are there. Default true. */
  readonly storage?: boolean;
}

export function busConformance(
  name: string,
  make: (ports: Ports) => Promise<BusSystem>,
  options: BusConformanceOptions = {},
): void {
  describe(`bus/${name}: conformance`, () => {
    let system: BusSystem;
    let lines: LogLine[];
    let a: Bus;
    let b: Bus;

    beforeEach(async () => {
      const recording = recordingPorts();
      lines = recording.lines;
      system = await make(recording.ports);
      a = await system.bus();
      b = await system.bus();
    });
    afterEach(async () => {
      await within("both connections to close", Promise.all([a.close(), b.close()]));
      await system.stop();
    });

    describe("messages", () => {
      it("delivers what another connection publishes once subscribe has resolved (B2)", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.one", inbox.handler);
        await b.publish("mr.test.one", bytes("hello"), { replyTo: "mr.test.back" });
        const [message] = await inbox.waitFor(1);
        assert.equal(message?.subject, "mr.test.one");
        assert.equal(message?.replyTo, "mr.test.back");
        assert.equal(text(message?.payload ?? bytes("")), "hello");
      });

      it("delivers to the publisher's own subscription, and not before publish has returned", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.one", inbox.handler);
        const room = a.publish("mr.test.one", bytes("x"));
        assert.equal(inbox.messages.length, 0);
        await room;
        await inbox.waitFor(1);
      });

      it("keeps the order of one publisher on one subject, small and large mixed (B1)", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.order", inbox.handler);
        const sizes = Array.from({ length: 600 }, (_, i) => (i % 100 === 50 ? 3 * MiB + i : 4 + (i % 7)));
        for (const [i, size] of sizes.entries()) {
          const payload = new Uint8Array(size);
          new DataView(payload.buffer).setUint32(0, i);
          await b.publish("mr.test.order", payload);
        }
        const messages = await inbox.waitFor(sizes.length);
        const seen = messages.map(({ payload }) => new DataView(payload.buffer, payload.byteOffset).getUint32(0));
        assert.deepEqual(seen, [...sizes.keys()]);
        assert.deepEqual(
          messages.map(({ payload }) => payload.byteLength),
          sizes,
        );
      });

      it("delivers 40 MB whole (B3)", async () => {
        const inbox = new Inbox();
        const payload = pattern(40 * MiB);
        await a.subscribe("mr.test.large", inbox.handler);
        await b.publish("mr.test.large", payload, { replyTo: "mr.test.back" });
        const [message] = await inbox.waitFor(1, 15_000);
        sameBytes(message?.payload, payload);
        assert.equal(message?.replyTo, "mr.test.back");
      });

      it("delivers an empty payload", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.empty", inbox.handler);
        await b.publish("mr.test.empty", new Uint8Array());
        assert.equal((await inbox.waitFor(1))[0]?.payload.byteLength, 0);
      });

      it("never touches a payload that the receiver keeps", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.keep", inbox.handler);
        for (let i = 0; i < 300; i++) await b.publish("mr.test.keep", pattern(10_000, i));
        for (const [i, { payload }] of (await inbox.waitFor(300)).entries()) sameBytes(payload, pattern(10_000, i));
      });

      it("reports back-pressure by a promise when more than limits.busPendingBytesMax wait (B4)", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.pressure", inbox.handler);
        const payload = new Uint8Array(MiB / 2);
        const enough = Math.ceil(limits.busPendingBytesMax / payload.byteLength) + 1;
        let published = 0;
        let room: void | Promise<void> | undefined;
        while (published < enough && room === undefined) {
          room = b.publish("mr.test.pressure", payload);
          published += 1;
        }
        assert.ok(room instanceof Promise, `no promise after ${published} messages`);
        await within("room after back-pressure", room);
        await inbox.waitFor(published);
      });

      it("refuses a payload over limits.frameBytesMax with MILL_FRAME_TOO_LARGE", () => {
        const payload = new Uint8Array(limits.frameBytesMax + 1);
        assert.throws(() => a.publish("mr.test.huge", payload), {
          code: "MILL_FRAME_TOO_LARGE",
          message: /mr\.test\.huge/,
        });
      });

      it("goes on after a handler that throws or rejects, and logs it (B6)", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.throws", (message) => {
          inbox.handler(message);
          if (text(message.payload) === "1") throw new Error("first");
        });
        await a.subscribe("mr.test.throws", async () => {
          throw new Error("second");
        });
        for (const content of ["1", "2"]) await b.publish("mr.test.throws", bytes(content));
        await inbox.waitFor(2);
        await b.request("mr.test.nobody", bytes("")).catch(() => {}); // a round trip: the rejections have been seen
        const failures = lines.filter((line) => line.level === "error" && line.fields?.subject === "mr.test.throws");
        assert.equal(failures.length, 3);
      });

      it("resolves flush when everything published before has been taken", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.flush", inbox.handler);
        for (let i = 0; i < 100; i++) await b.publish("mr.test.flush", bytes(`${i}`));
        await within("flush", b.flush());
        await inbox.waitFor(100);
      });
    });

    describe("subjects", () => {
      const cases: [pattern: string, yes: string[], no: string[]][] = [
        ["mr.*.in", ["mr.a.in", "mr.b.in"], ["mr.a.out", "mr.a.b.in", "mr.in"]],
        ["mr.a.>", ["mr.a.in", "mr.a.b.c"], ["mr.a", "mr.b.in"]],
        ["*.a.>", ["mr.a.in"], ["mr.b.in"]],
      ];
      for (const [wild, yes, no] of cases) {
        it(`matches ${wild} with ${yes.join(", ")} and not with ${no.join(", ")}`, async () => {
          const inbox = new Inbox();
          await a.subscribe(wild, inbox.handler);
          for (const subject of [...no, ...yes]) await b.publish(subject, bytes(subject));
          await inbox.waitFor(yes.length);
          await b.flush();
          assert.deepEqual(inbox.texts().sort(), [...yes].sort());
        });
      }

      for (const subject of [
        "",
        "mr..a",
        ".mr",
        "mr.",
        "mr a",
        "mr.*",
        "mr.>",
        "mr.a\r\nPUB x 0",
        "mr.é",
        "a".repeat(1025),
      ]) {
        it(`refuses to publish to ${JSON.stringify(subject.slice(0, 20))} with MILL_BUS_SUBJECT`, async () => {
          assert.throws(() => a.publish(subject, bytes("")), { code: "MILL_BUS_SUBJECT" });
          assert.throws(() => a.publish("mr.ok", bytes(""), { replyTo: subject }), { code: "MILL_BUS_SUBJECT" });
          await assert.rejects(a.request(subject, bytes("")), { code: "MILL_BUS_SUBJECT" });
        });
      }

      for (const wild of ["", "mr.>.a", "mr.a*", "mr..a", "mr a", ">a"]) {
        it(`refuses to subscribe to ${JSON.stringify(wild)} with MILL_BUS_SUBJECT`, async () => {
          await assert.rejects(
            a.subscribe(wild, () => {}),
            { code: "MILL_BUS_SUBJECT" },
          );
        });
      }

      it("refuses a queue group with a space with MILL_BUS_SUBJECT", async () => {
        await assert.rejects(
          a.subscribe("mr.ok", () => {}, { queue: "a b" }),
          { code: "MILL_BUS_SUBJECT" },
        );
      });
    });

    describe("subscriptions", () => {
      it("delivers each message to one member of a queue group, and to every plain subscriber", async () => {
        const [one, two, plain] = [new Inbox(), new Inbox(), new Inbox()];
        await a.subscribe("mr.test.queue", one.handler, { queue: "workers" });
        await b.subscribe("mr.test.queue", two.handler, { queue: "workers" });
        await b.subscribe("mr.test.queue", plain.handler);
        for (let i = 0; i < 200; i++) await a.publish("mr.test.queue", bytes(`${i}`));
        await plain.waitFor(200);
        await Promise.all([a.flush(), b.flush()]);
        const shared = [...one.texts(), ...two.texts()].map(Number).sort((x, y) => x - y);
        assert.deepEqual(
          shared,
          Array.from({ length: 200 }, (_, i) => i),
        );
        assert.ok(one.messages.length > 0 && two.messages.length > 0, "one member got everything");
      });

      it("stops delivery at once on unsubscribe, also of what was on its way", async () => {
        const inbox = new Inbox();
        const other = new Inbox();
        const subscription = await a.subscribe("mr.test.stop", inbox.handler);
        await a.subscribe("mr.test.stop", other.handler);
        void b.publish("mr.test.stop", bytes("1"));
        subscription.unsubscribe();
        subscription.unsubscribe();
        await b.publish("mr.test.stop", bytes("2"));
        await other.waitFor(2);
        assert.equal(inbox.messages.length, 0);
      });
    });

    describe("requests", () => {
      const echo = (bus: Bus, subject: string) =>
        bus.subscribe(subject, ({ payload, replyTo }) => {
          if (replyTo !== undefined) void bus.publish(replyTo, payload);
        });

      it("brings each question its own answer", async () => {
        await echo(a, "mr.test.echo");
        const answers = await Promise.all(["x", "y", "z"].map((content) => b.request("mr.test.echo", bytes(content))));
        assert.deepEqual(
          answers.map(({ payload }) => text(payload)),
          ["x", "y", "z"],
        );
      });

      it("carries a question and an answer of 5 MB (B3)", async () => {
        await echo(a, "mr.test.echo");
        const payload = pattern(5 * MiB);
        const answer = await within("the answer", b.request("mr.test.echo", payload));
        sameBytes(answer.payload, payload);
      });

      it("fails at once with MILL_BUS_NO_RESPONDER when nobody subscribes, small or large", async () => {
        for (const size of [1, 3 * MiB]) {
          const request = b.request("mr.test.nobody", new Uint8Array(size), { timeoutMs: 60_000 });
          await within(
            "the refusal",
            assert.rejects(request, { code: "MILL_BUS_NO_RESPONDER", message: /mr\.test\.nobody/ }),
          );
        }
      });

      it("fails with MILL_BUS_TIMEOUT when nobody answers in time", async () => {
        await a.subscribe("mr.test.silent", () => {});
        const request = b.request("mr.test.silent", bytes(""), { timeoutMs: 30 });
        await within(
          "the timeout",
          assert.rejects(request, { code: "MILL_BUS_TIMEOUT", message: /mr\.test\.silent.* 30 ms/ }),
        );
      });

      it("rejects with the signal's reason on abort, before and after sending", async () => {
        await a.subscribe("mr.test.silent", () => {});
        const abort = new AbortController();
        const reason = new Error("no longer needed");
        const open = b.request("mr.test.silent", bytes(""), { signal: abort.signal });
        abort.abort(reason);
        await within("the abort", assert.rejects(open, reason));
        await assert.rejects(b.request("mr.test.silent", bytes(""), { signal: abort.signal }), reason);
      });
    });

    describe("the end", () => {
      it("closes twice without an error, and delivers what was published before", async () => {
        const inbox = new Inbox();
        await a.subscribe("mr.test.end", inbox.handler);
        for (let i = 0; i < 50; i++) await b.publish("mr.test.end", new Uint8Array(50_000));
        await within("close", Promise.all([b.close(), b.close()]));
        await b.close();
        await inbox.waitFor(50);
      });

      it("refuses everything after close with MILL_BUS_CLOSED", async () => {
        await b.close();
        const closed = { code: "MILL_BUS_CLOSED" };
        assert.throws(() => b.publish("mr.test.end", bytes("")), closed);
        await assert.rejects(
          b.subscribe("mr.test.end", () => {}),
          closed,
        );
        await assert.rejects(b.request("mr.test.end", bytes("")), closed);
        await assert.rejects(b.flush(), closed);
      });

      it("fails open requests with MILL_BUS_CLOSED when it closes", async () => {
        await a.subscribe("mr.test.silent", () => {});
        const open = assert.rejects(b.request("mr.test.silent", bytes(""), { timeoutMs: 60_000 }), {
          code: "MILL_BUS_CLOSED",
        });
        await b.flush();
        await b.close();
        await within("the request to fail", open);
      });
    });

    if (options.storage !== false) busStorageConformance(() => ({ a, b }));
  });
}
