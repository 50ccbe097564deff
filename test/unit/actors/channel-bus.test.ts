import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { connectNats } from "../../../src/bus/nats-bus.js";
import { columnOf } from "../../../src/types/batches.js";
import { decodeFrame } from "../../../src/wire/frames.js";
import { type NatsServer, startNats } from "../../servers/index.js";
import { batch, ends, KiB, opened, shown, subjects } from "./channel-support.js";
import { isOpen, range, turns, until, within } from "./support.js";

const ports = realPorts();

function suite(name: string, connect: () => Promise<Bus>): void {
  describe(`actors/channel-sender, channel-receiver: over ${name}`, () => {
    let from: Bus;
    let to: Bus;
    let close: () => void = () => {};
    beforeEach(async () => {
      from = await connect();
      to = await connect();
    });
    afterEach(async () => {
      close();
      await Promise.all([from.close(), to.close()]);
    });

    async function open() {
      const both = await opened(from, to, ports);
      close = () => {
        both.sender.close();
        both.receiver.close();
      };
      return both;
    }

    it("batches and barriers come in order, each once, then the end (N1)", async () => {
      const { sender, receiver } = await open();
      const sending = (async () => {
        for (const n of range(0, 200)) {
          while (!sender.offer(batch(n))) await sender.room();
          if (n % 50 === 49) sender.barrier(BigInt((n + 1) / 50));
        }
        sender.end();
        await sender.delivered();
      })();
      const expected = range(0, 200).flatMap((n) => (n % 50 === 49 ? [n, `barrier ${(n + 1) / 50}`] : [n]));
      for (const item of [...expected, "end"]) {
        assert.equal(shown(await within(`${item}`, receiver.next())), item);
      }
      await within("the sender to know", sending);
    });

    it("a sender without credit sends nothing, and takes it up when the first credit comes (N2)", async () => {
      const { sender, receiver } = ends(from, to, ports);
      await Promise.all([sender.open(), receiver.open()]);
      assert.equal(sender.offer(batch(1)), false);
      const room = sender.room();
      assert.ok(await isOpen(room));
      receiver.start(() => {});
      await within("room", room);
      assert.equal(sender.offer(batch(1)), true);
      sender.close();
      receiver.close();
    });

    it("a receiver that takes nothing is sent no more than the granted frames (N2)", async () => {
      const { sender } = await open();
      let dataFrames = 0;
      await to.subscribe(subjects.data, () => dataFrames++);
      await within("credit", untilOffered(sender, batch(0)));
      for (const n of range(1, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)), `batch ${n}`);
      assert.equal(sender.offer(batch(99)), false);
      await until("the granted frames", () => dataFrames === limits.channelCreditFrames);
      await turns(20);
      assert.equal(dataFrames, limits.channelCreditFrames);
    });

    it("a 40 MB batch crosses, alone, between small ones (N2, larger than credit and max_payload)", async () => {
      const { sender, receiver } = await open();
      const bytes = 40_000_000;
      const sending = (async () => {
        for (const [n, size] of [
          [1, 10],
          [2, bytes],
          [3, 10],
        ] as const) {
          const next = batch(n, size);
          while (!sender.offer(next)) await sender.room();
        }
        sender.end();
      })();
      assert.equal(shown(await within("the small batch", receiver.next())), 1);
      const large = await within("the large batch", receiver.next(), 20_000);
      assert.ok(large?.kind === "batch");
      const body = columnOf(large.batch, "body").get(0) as Uint8Array;
      assert.equal(body.length, bytes);
      assert.ok(body.every((byte) => byte === 2));
      assert.equal(shown(await within("the next batch", receiver.next())), 3);
      assert.equal(shown(await within("the end", receiver.next())), "end");
      await sending;
    });

    it("a barrier overtakes batches that wait for credit, and is heard of at once", async () => {
      const { sender, receiver } = ends(from, to, ports);
      const heard: bigint[] = [];
      await Promise.all([sender.open(), receiver.open()]);
      receiver.start((checkpoint) => heard.push(checkpoint));
      await within("credit", untilOffered(sender, batch(0, 900 * KiB)));
      let sent = 1;
      while (sender.offer(batch(sent, 900 * KiB))) sent++;
      sender.barrier(7n);
      await until("the barrier to be heard of", () => heard.length === 1);
      const captured = await within("the capture", receiver.capture(7n));
      assert.equal(captured.length, sent);
      sender.close();
      receiver.close();
    });
  });
}

async function untilOffered(sender: ReturnType<typeof ends>["sender"], one: ReturnType<typeof batch>) {
  while (!sender.offer(one)) await sender.room();
}

let shared: MemoryBus | undefined;
suite("a memory bus", async () => {
  shared ??= new MemoryBus(ports);
  return shared.connect();
});

describe("actors/channel-sender, channel-receiver: over NATS, at the server's default max_payload", () => {
  let nats: NatsServer;
  before(async () => {
    nats = await startNats();
  });
  after(async () => {
    await nats.stop();
  });
  suite("NATS", () => connectNats({ servers: nats.url, name: "channel" }, ports));

  it("nothing of a channel's frames is unknown to `decodeFrame`, polls included", async () => {
    const bus = await connectNats({ servers: nats.url, name: "channel-kinds" }, ports);
    const kinds = new Set<string>();
    for (const subject of Object.values(subjects)) {
      await bus.subscribe(subject, ({ payload }) => kinds.add(decodeFrame(payload).kind));
    }
    const { sender, receiver } = ends(bus, bus, ports);
    await sender.open();
    assert.equal(sender.offer(batch(0)), false);
    await until("a poll", () => kinds.has("poll"));
    await receiver.open();
    receiver.start(() => {});
    await within("credit", untilOffered(sender, batch(0)));
    sender.barrier(1n);
    sender.end();
    await within("delivery", sender.delivered());
    await until(
      "every kind",
      () => kinds.size === 5,
      () => [...kinds],
    );
    sender.close();
    receiver.close();
    await bus.close();
  });
});
