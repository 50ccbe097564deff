import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { silentLog } from "../../../src/base/real/ports.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { encodeBatch, encodeSchema, schemaId } from "../../../src/wire/arrow.js";
import { creditFrame, dataFrame, frameKind, nackFrame } from "../../../src/wire/frames.js";
import { CALM, FaultyBus, seeded, VirtualClock } from "./channel-faults.js";
import { ATTEMPT, batch, CHANNEL, columns, ends, MiB, shown, subjects } from "./channel-support.js";
import { range } from "./support.js";

describe("actors/channel-sender, channel-receiver: one fault at a time, in virtual time", () => {
  let clock: VirtualClock;
  let bus: FaultyBus;
  let warnings: string[];
  let ports: { clock: VirtualClock; log: typeof silentLog };
  beforeEach(() => {
    clock = new VirtualClock();
    bus = new FaultyBus(clock, seeded(1), CALM);
    warnings = [];
    ports = { clock, log: { ...silentLog, warn: (message) => warnings.push(message) } };
  });

  async function open(both = ends(bus, bus, ports)) {
    await Promise.all([both.sender.open(), both.receiver.open()]);
    both.receiver.start(() => {});
    await clock.advance(1);
    return both;
  }

  /** What `next` gives, one by one, as far as it comes. */
  function follow(receiver: ReturnType<typeof ends>["receiver"]) {
    const seen: (number | string)[] = [];
    void (async () => {
      try {
        for (let item = shown(await receiver.next()); ; item = shown(await receiver.next())) {
          seen.push(item);
          if (item === "end") return;
        }
      } catch (error) {
        seen.push(String((error as { code?: string }).code));
      }
    })();
    return seen;
  }

  /** Loses the first `times` messages of a kind. */
  function lose(kind: string, times = 1) {
    bus.loses = (_, payload) => (frameKind(payload) === kind && times > 0 ? times-- > 0 : undefined);
  }

  const everything = [0, 1, "barrier 1", 2, "end"];

  for (const kind of ["data", "barrier", "end", "credit"]) {
    it(`the first ${kind} frame is lost: repaired, each item once and in order (N1, N3)`, async () => {
      lose(kind);
      const { sender, receiver } = await open();
      const seen = follow(receiver);
      let done = false;
      void (async () => {
        for (const n of [0, 1, 2]) {
          while (!sender.offer(batch(n))) await sender.room();
          if (n === 1) sender.barrier(1n);
        }
        sender.end();
        await sender.delivered();
        done = true;
      })();
      await clock.until("the sender to be done", () => done);
      await clock.until("the receiver to be done", () => seen.length === everything.length);
      assert.deepEqual(seen, everything);
      assert.equal(bus.counts.lost, 1);
    });
  }

  it("the last data frame is lost, with nothing after it to show the gap: the sender asks (N3)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    assert.ok(sender.offer(batch(0)));
    await clock.advance(1);
    lose("data");
    assert.ok(sender.offer(batch(1)));
    await clock.until("the lost batch", () => seen.length === 2);
    assert.ok(clock.monotonicMs() < 2 * limits.channelRepeatMs, `${clock.monotonicMs()} ms`);
  });

  it("a frame is missing between others: asked for after channelGapMs, once, not per frame (I2)", async () => {
    const { sender, receiver } = await open();
    const nacks: number[] = [];
    bus.onPublish = (_, payload) => {
      if (frameKind(payload) === "nack") nacks.push(clock.monotonicMs());
    };
    const fromMs = clock.monotonicMs();
    lose("data");
    for (const n of range(0, 60)) assert.ok(sender.offer(batch(n)));
    const seen = follow(receiver);
    await clock.until("every batch", () => seen.length === 60);
    assert.deepEqual(nacks, [fromMs + limits.channelGapMs]);
    assert.deepEqual(seen, range(0, 60));
  });

  it("a data frame that overtakes the barrier before it waits for the barrier (V1)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    lose("barrier");
    assert.ok(sender.offer(batch(0)));
    sender.barrier(1n);
    assert.ok(sender.offer(batch(1)));
    await clock.advance(limits.channelRepeatMs / 2);
    assert.deepEqual(seen, [0]);
    await clock.until("the rest", () => seen.length === 3);
    assert.deepEqual(seen, [0, "barrier 1", 1]);
  });

  it("the last credit is lost while the sender is refused: made good (I3)", async () => {
    const { sender, receiver } = await open();
    for (const n of range(0, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)));
    assert.equal(sender.offer(batch(64)), false);
    let room = false;
    void sender.room().then(() => {
      room = true;
    });
    await clock.advance(10 * limits.channelRepeatMsMax);
    assert.equal(room, false, "the receiver has taken nothing");
    lose("credit", 100);
    const seen = follow(receiver);
    await clock.until("all to be taken", () => seen.length === limits.channelCreditFrames);
    await clock.advance(1);
    lose("credit", 0);
    await clock.until("room", () => room, limits.channelRepeatMsMax + 1);
  });

  it("no timer runs when nothing is outstanding (H3)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    assert.equal(clock.timers, 0);
    for (const n of range(0, 5)) assert.ok(sender.offer(batch(n)));
    assert.equal(clock.timers, 1);
    await clock.until("the batches", () => seen.length === 5);
    await clock.advance(1);
    assert.equal(clock.timers, 0);
  });

  it("a receiver that is gone is asked after pauses that double, not in a loop (H3)", async () => {
    const { sender, receiver } = await open();
    receiver.close();
    assert.ok(sender.offer(batch(0)));
    sender.end();
    const before = bus.counts.published;
    await clock.advance(60_000);
    const asked = bus.counts.published - before;
    assert.ok(asked > 20 && asked < 80, `${asked} messages in 60 s`);
    sender.close();
    assert.equal(clock.timers, 0);
  });

  it("back-pressure of the bus: nothing is taken until it resolves (B4)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    bus.faults = { ...CALM, pressed: 1 };
    assert.equal(sender.offer(batch(0)), true);
    assert.equal(sender.offer(batch(1)), false);
    bus.faults = CALM;
    let room = false;
    void sender.room().then(() => {
      room = true;
    });
    await clock.until("room", () => room);
    assert.equal(sender.offer(batch(1)), true);
    await clock.until("both", () => seen.length === 2);
  });

  it("a broken frame is logged and repaired like a lost one (I4)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    bus.faults = { ...CALM, broken: 1 };
    assert.ok(sender.offer(batch(0)));
    bus.faults = CALM;
    assert.ok(sender.offer(batch(1)));
    await clock.until("both", () => seen.length === 2);
    assert.deepEqual(seen, [0, 1]);
    assert.equal(warnings.length, 1);
  });

  it("a frame that is broken each time it is sent fails the receiver in the end (I4)", async () => {
    const { sender, receiver } = await open();
    const seen = follow(receiver);
    assert.ok(sender.offer(batch(0)));
    await clock.until("the first", () => seen.length === 1);
    const header = { channel: CHANNEL, attempt: ATTEMPT, sequence: 1n, rows: 1, schema: null };
    const bytes = dataFrame.encode({ ...header, schemaId: new Uint8Array(8) }, Uint8Array.of(1, 2, 3));
    for (const _ of range(1, limits.channelBrokenFramesMax)) {
      void bus.publish(subjects.data, bytes);
      await clock.advance(0);
    }
    assert.equal(seen.length, 1);
    void bus.publish(subjects.data, bytes);
    await clock.until("the failure", () => seen.length === 2);
    assert.equal(seen[1], "MILL_FRAME_UNKNOWN_SCHEMA");
  });

  it("other columns than the channel's fail the receiver, and the message has both (I4)", async () => {
    const { sender, receiver } = await open(ends(bus, bus, ports, { columns: { n: t.int32, body: t.utf8 } }));
    assert.ok(sender.offer(batch(0)));
    const failed = assert.rejects(receiver.next(), {
      code: "MILL_PLAN_MISMATCH",
      message: /a-0--b-0: the sender's columns are \(n: Int32, body: Utf8\), here they are \(n: Int32, body: Binary\)/,
    });
    await clock.advance(1);
    await failed;
  });

  it("barriers and ends of another attempt are ignored, and it gets no credit (H4, I4)", async () => {
    const { sender, receiver } = await open();
    const zombie = ends(bus, bus, ports, { attempt: ATTEMPT - 1 }).sender;
    await zombie.open();
    assert.equal(zombie.offer(batch(1)), false);
    zombie.barrier(1n);
    zombie.end();
    const seen = follow(receiver);
    assert.ok(sender.offer(batch(0)));
    sender.end();
    await clock.until("the end", () => seen.length === 2);
    assert.deepEqual(seen, [0, "end"]);
    await clock.advance(limits.channelRepeatMs);
    assert.equal(clock.timers, 1, "nobody has answered the zombie");
    zombie.close();
  });

  it("data, credits and nacks of another attempt are ignored (H4, I4)", async () => {
    const { sender, receiver } = ends(bus, bus, ports);
    await Promise.all([sender.open(), receiver.open()]);
    const old = { channel: CHANNEL, attempt: ATTEMPT - 1 };
    const credit = { ...old, acknowledged: 0n, bytesGranted: 1_000_000n, framesGranted: 9n };
    void bus.publish(subjects.credit, creditFrame.encode(credit));
    await clock.advance(1);
    assert.equal(sender.offer(batch(0)), false, "the credit is not for this attempt");
    receiver.start(() => {});
    const seen = follow(receiver);
    const schema = encodeSchema(arrowSchema(columns));
    const header = { ...old, sequence: 0n, rows: 1, schema, schemaId: schemaId(schema) };
    void bus.publish(subjects.data, dataFrame.encode(header, encodeBatch(batch(99))));
    await clock.advance(1);
    assert.ok(sender.offer(batch(0)));
    const before = bus.counts.published;
    void bus.publish(subjects.credit, nackFrame.encode({ ...old, from: 0n, to: 1n }));
    await clock.advance(1);
    assert.deepEqual(seen, [0]);
    assert.equal(bus.counts.published - before, 2, "a credit and the nack, and nothing again");
  });

  it("a closed sender rejects those who wait for room or delivery; a closed receiver its taker", async () => {
    const { sender, receiver } = await open();
    for (const n of range(0, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)));
    assert.equal(sender.offer(batch(64)), false);
    const waiting = [sender.room(), sender.delivered(), receiver.capture(1n)].map((one) =>
      assert.rejects(one, { code: "MILL_BUS_CLOSED" }),
    );
    sender.close();
    receiver.close();
    await Promise.all(waiting);
    assert.throws(() => sender.offer(batch(65)), { code: "MILL_BUS_CLOSED" });
    await assert.rejects(receiver.next(), { code: "MILL_BUS_CLOSED" });
    assert.equal(clock.timers, 0);
  });

  it("a subscriber that takes nothing for 5 s: each end holds at most the grant, and nothing is lost (N2)", async () => {
    const { sender, receiver } = await open();
    const count = 60;
    const most = { kept: 0, held: 0, both: 0 };
    bus.onPublish = () => {
      most.kept = Math.max(most.kept, sender.keptBytes);
      most.held = Math.max(most.held, receiver.heldBytes);
      most.both = Math.max(most.both, sender.keptBytes + receiver.heldBytes);
    };
    bus.block();
    void (async () => {
      for (const n of range(0, count)) {
        const next = batch(n, MiB);
        while (!sender.offer(next)) await sender.room();
      }
      sender.end();
    })();
    const before = bus.counts.published;
    await clock.advance(5_000);
    const published = bus.counts.published - before;
    assert.ok(published < 30, `${published} messages to a subscriber that is blocked`);
    bus.unblock();
    // The subscriber lives again, but its actor takes nothing for another 5 s.
    await clock.advance(5_000);
    assert.ok(sender.keptBytes < 4 * MiB, `the sender still keeps ${sender.keptBytes} bytes that the receiver has`);
    const seen = follow(receiver);
    await clock.until("everything", () => seen.at(-1) === "end");
    assert.deepEqual(seen, [...range(0, count), "end"]);
    for (const end of ["kept", "held"] as const) {
      assert.ok(most[end] > 10 * MiB && most[end] <= limits.channelCreditBytes, `${end}: ${most[end]} bytes`);
    }
    // What came is with both until a credit has said so: at most a quarter of the grant and what is on its way.
    assert.ok(most.both <= 2 * limits.channelCreditBytes, `together: ${most.both} bytes`);
  });
});
