import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { BusChannelReceiver, BusChannelSender } from "../../../src/actors/bus-channel.js";
import { LocalChannel } from "../../../src/actors/channels.js";
import type { ChannelId, JobId, Namespace } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import type { Clock } from "../../../src/base/ports.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { Bus, BusMessage } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { creditFrame, dataFrame, endFrame } from "../../../src/wire/frames.js";
import { type NatsServer, startNats } from "../../servers/index.js";
import { isOpen, range, turns, until, within } from "./support.js";

const columns = { n: t.int32, body: t.binary };
const CHANNEL = "a-0--b-0";
const ATTEMPT = 2;
const subjects = jobSubjects("test" as Namespace, "job" as JobId).channel(CHANNEL as ChannelId, ATTEMPT);
const KiB = 1024;

const batch = (n: number, bytes = 10): RecordBatch =>
  batchFromRows(columns, [{ n, body: new Uint8Array(bytes).fill(n) }]) as unknown as RecordBatch;
const nOf = (one: RecordBatch | undefined) =>
  one === undefined ? "end" : (rowsOf(columns, one as never) as { n: number }[])[0]!.n;

function ends(from: Bus, to: Bus, clock: Clock = realPorts().clock) {
  const options = { channel: CHANNEL, attempt: ATTEMPT, subjects, columns, clock };
  return {
    sender: new BusChannelSender({ bus: from, ...options }),
    receiver: new BusChannelReceiver({ bus: to, ...options }),
  };
}

async function opened(from: Bus, to: Bus) {
  const both = ends(from, to);
  await Promise.all([both.sender.open(), both.receiver.open()]);
  await both.receiver.start();
  return both;
}

/** What goes over the channel's subjects, seen from a connection of its own. */
async function watch(bus: Bus) {
  const seen = { dataFrames: 0, dataBytes: 0, credits: [] as { bytesGranted: bigint; framesGranted: bigint }[] };
  await bus.subscribe(subjects.data, (message: BusMessage) => {
    seen.dataFrames++;
    seen.dataBytes += message.payload.length;
  });
  await bus.subscribe(subjects.credit, (message) => seen.credits.push(creditFrame.decode(message.payload).header));
  return seen;
}

function suite(name: string, connect: () => Promise<Bus>): void {
  describe(`actors/bus-channel: over ${name}`, () => {
    let from: Bus;
    let to: Bus;
    beforeEach(async () => {
      from = await connect();
      to = await connect();
    });
    afterEach(async () => {
      await Promise.all([from.close(), to.close()]);
    });

    it("batches come in order, each once, then the end (H1)", async () => {
      const { sender, receiver } = await opened(from, to);
      const sending = (async () => {
        for (const n of range(0, 200)) await sender.send(batch(n));
        await sender.end();
      })();
      for (const n of range(0, 200)) assert.equal(nOf(await within(`batch ${n}`, receiver.next())), n);
      assert.equal(nOf(await within("the end", receiver.next())), "end");
      await sending;
      sender.close();
      receiver.close();
    });

    it("a sender without credit sends nothing (H2)", async () => {
      const { sender, receiver } = ends(from, to);
      await Promise.all([sender.open(), receiver.open()]);
      const seen = await watch(to);
      const sending = sender.send(batch(1));
      assert.ok(await isOpen(sending));
      assert.equal(seen.dataFrames, 0);
      await receiver.start();
      await within("the batch to go", sending);
    });

    it("a receiver that takes nothing is sent no more than the granted frames (H2)", async () => {
      const { sender, receiver } = await opened(from, to);
      const seen = await watch(to);
      let sent = 0;
      void (async () => {
        for (const n of range(0, 200)) {
          await sender.send(batch(n));
          sent++;
        }
      })().catch(() => {});
      await until("the granted frames", () => seen.dataFrames === limits.channelCreditFrames);
      await from.flush();
      await turns(20);
      assert.equal(sent, limits.channelCreditFrames);
      await receiver.next();
      await until("one more frame for one that was taken", () => sent === limits.channelCreditFrames + 1);
      await turns(20);
      assert.equal(seen.dataFrames, limits.channelCreditFrames + 1);
      sender.close();
      receiver.close();
    });

    it("a slow receiver slows the sender: bytes on the way stay within the credit, whatever is sent (H2)", async () => {
      const { sender, receiver } = await opened(from, to);
      const seen = await watch(to);
      const bytes = 900 * KiB;
      const count = 60;
      const sending = (async () => {
        for (const n of range(0, count)) await sender.send(batch(n, bytes));
        await sender.end();
      })();
      let frameBytes = 0;
      let most = 0;
      for (const n of range(0, count)) {
        await turns(3); // the sender has all the time it needs to run ahead
        frameBytes ||= seen.dataBytes / Math.max(seen.dataFrames, 1);
        most = Math.max(most, seen.dataBytes - n * frameBytes);
        assert.equal(nOf(await within(`batch ${n}`, receiver.next())), n);
      }
      await within("the sender to end", sending);
      assert.ok(most <= limits.channelCreditBytes, `${most} bytes were ahead of the receiver`);
      assert.ok(most > limits.channelCreditBytes / 2, `the credit was not used: ${most} bytes`);
      sender.close();
      receiver.close();
    });

    it("a 40 MB batch crosses, alone, between small ones (H2, larger than credit and max_payload)", async () => {
      const { sender, receiver } = await opened(from, to);
      const bytes = 40_000_000;
      const sending = (async () => {
        await sender.send(batch(1));
        await sender.send(batch(2, bytes));
        await sender.send(batch(3));
        await sender.end();
      })();
      assert.equal(nOf(await within("the small batch", receiver.next())), 1);
      const large = await within("the large batch", receiver.next(), 20_000);
      const [row] = rowsOf(columns, large as never) as { n: number; body: Uint8Array }[];
      assert.equal(row!.body.length, bytes);
      assert.ok(row!.body.every((byte) => byte === 2));
      assert.equal(nOf(await within("the next batch", receiver.next())), 3);
      assert.equal(nOf(await within("the end", receiver.next())), "end");
      await sending;
      sender.close();
      receiver.close();
    });
  });
}

let shared: MemoryBus | undefined;
suite("a memory bus", async () => {
  shared ??= new MemoryBus(realPorts());
  return shared.connect();
});

describe("actors/bus-channel: over NATS, at the server's default max_payload", () => {
  let nats: NatsServer;
  before(async () => {
    nats = await startNats();
  });
  after(async () => {
    await nats.stop();
  });
  suite("NATS", () => connectNats({ servers: nats.url, name: "bus-channel" }, realPorts()));
});

describe("actors/bus-channel: frames as they should not come", () => {
  let bus: MemoryBus;
  let frames: Uint8Array[];
  beforeEach(async () => {
    bus = new MemoryBus(realPorts());
    // Frames of a real sender, to be delivered in whatever order a test likes.
    frames = [];
    const aside = new MemoryBus(realPorts());
    const { sender, receiver } = await opened(aside, aside.connect());
    await aside.subscribe(subjects.data, (message) => frames.push(message.payload));
    for (const n of [0, 1, 2]) await sender.send(batch(n));
    await aside.flush();
    sender.close();
    receiver.close();
  });

  async function receive(clock?: Clock) {
    const { receiver } = ends(bus, bus, clock);
    await receiver.open();
    await receiver.start();
    return receiver;
  }
  const end = (sequence: bigint, attempt = ATTEMPT) =>
    bus.publish(subjects.control, endFrame.encode({ channel: CHANNEL, attempt, sequence }));

  it("a gap fails the receiver with MILL_CHANNEL_GAP that names the channel and the frames (H3)", async () => {
    const receiver = await receive();
    void bus.publish(subjects.data, frames[0]!);
    assert.equal(nOf(await receiver.next()), 0);
    void bus.publish(subjects.data, frames[2]!);
    await assert.rejects(within("the gap", receiver.next()), {
      code: "MILL_CHANNEL_GAP",
      message: /a-0--b-0: frames 1 to 1 did not arrive/,
    });
  });

  it("a frame that comes twice is handed on once (H1)", async () => {
    const receiver = await receive();
    for (const i of [0, 0, 1, 0, 1, 2]) void bus.publish(subjects.data, frames[i]!);
    void end(3n);
    const got = [];
    for (let one = await receiver.next(); one !== undefined; one = await receiver.next()) got.push(nOf(one));
    assert.deepEqual(got, [0, 1, 2]);
  });

  it("an end that comes before the data it counts waits for it (H3)", async () => {
    const receiver = await receive();
    void bus.publish(subjects.data, frames[0]!);
    void end(2n);
    assert.equal(nOf(await receiver.next()), 0);
    const next = receiver.next();
    assert.ok(await isOpen(next), "the receiver ended without frame 1");
    void bus.publish(subjects.data, frames[1]!);
    assert.equal(nOf(await within("frame 1", next)), 1);
    assert.equal(nOf(await within("the end", receiver.next())), "end");
    receiver.close();
  });

  it("an end whose data never comes fails the receiver in time (H3)", async () => {
    const timers: { delayMs: number; fn: () => void }[] = [];
    const clock = {
      ...realPorts().clock,
      after: (delayMs: number, fn: () => void) => ({ cancel() {}, ...timers[timers.push({ delayMs, fn }) - 1]! }),
    };
    const receiver = await receive(clock);
    void bus.publish(subjects.data, frames[0]!);
    void end(2n);
    assert.equal(nOf(await receiver.next()), 0);
    const next = receiver.next();
    assert.ok(await isOpen(next));
    assert.deepEqual(
      timers.map((timer) => timer.delayMs),
      [limits.channelEndTimeoutMs],
    );
    timers[0]!.fn();
    await assert.rejects(next, { code: "MILL_CHANNEL_GAP", message: /frames 1 to 1/ });
  });

  it("an end that counts fewer frames than came fails the receiver (H3)", async () => {
    const receiver = await receive();
    for (const frame of frames) void bus.publish(subjects.data, frame);
    void end(2n);
    await bus.flush();
    await assert.rejects(within("the error", receiver.next()), { code: "MILL_FRAME_INVALID" });
  });

  it("frames and ends of another attempt are ignored (H4)", async () => {
    const receiver = await receive();
    const { header, payload } = dataFrame.decode(frames[0]!);
    void bus.publish(subjects.data, dataFrame.encode({ ...header, attempt: ATTEMPT - 1, sequence: 7n }, payload));
    void end(0n, ATTEMPT - 1);
    const next = receiver.next();
    assert.ok(await isOpen(next));
    void bus.publish(subjects.data, frames[0]!);
    assert.equal(nOf(await within("the frame of this attempt", next)), 0);
  });

  it("credit of another attempt, or older credit, gives the sender nothing (H4)", async () => {
    const { sender } = ends(bus, bus);
    await sender.open();
    const credit = { channel: CHANNEL, attempt: ATTEMPT, acknowledged: 0n, bytesGranted: 1n, framesGranted: 1n };
    const sending = sender.send(batch(1));
    void bus.publish(subjects.credit, creditFrame.encode({ ...credit, attempt: ATTEMPT - 1 }));
    assert.ok(await isOpen(sending));
    void bus.publish(subjects.credit, creditFrame.encode(credit));
    await within("the batch to go", sending);
  });

  it("bytes that are no frame fail the receiver", async () => {
    const receiver = await receive();
    void bus.publish(subjects.data, new Uint8Array([1, 2, 3]));
    await assert.rejects(within("the error", receiver.next()), { code: "MILL_FRAME_INVALID" });
  });

  it("a sender that is closed while it waits for credit throws", async () => {
    const { sender } = ends(bus, bus);
    await sender.open();
    const sending = assert.rejects(sender.send(batch(1)), { code: "MILL_BUS_CLOSED" });
    await turns(1);
    sender.close();
    await sending;
  });
});

describe("actors/channels: within one host", () => {
  it("passes batches by reference, in order, then the end", async () => {
    const channel = new LocalChannel();
    const sent = [batch(1), batch(2)];
    for (const one of sent) await channel.send(one);
    channel.end();
    assert.equal(await channel.next(), sent[0]);
    assert.equal(await channel.next(), sent[1]);
    assert.equal(await channel.next(), undefined);
  });

  it("is bounded in bytes: a slow receiver slows the sender", async () => {
    const channel = new LocalChannel();
    await channel.send(batch(1, limits.channelCreditBytes - 1_000));
    const second = channel.send(batch(2, 2_000)) as Promise<void>;
    assert.ok(await isOpen(second));
    await channel.next();
    await second;
  });

  it("a sender that closes without an end has failed: the receiver does not take it for the end", async () => {
    const channel = new LocalChannel();
    await channel.send(batch(1));
    channel.close();
    await channel.next();
    assert.ok(await isOpen(channel.next()));
  });
});
