import assert from "node:assert/strict";
import { LocalChannel } from "../../../src/actors/local-channel.js";
import { limits } from "../../../src/base/limits.js";
import { batch, CHANNEL, shown } from "./channel-support.js";
import { isOpen, range } from "./support.js";

describe("actors/local-channel", () => {
  function started(heard: bigint[] = []) {
    const { sender, receiver } = new LocalChannel(CHANNEL);
    receiver.start((checkpoint) => heard.push(checkpoint));
    return { sender, receiver };
  }

  it("passes batches by reference, in order, barriers between them, then the end (N1)", async () => {
    const heard: bigint[] = [];
    const { sender, receiver } = started(heard);
    const sent = [batch(0), batch(1)];
    assert.ok(sender.offer(sent[0]!));
    sender.barrier(3n);
    assert.ok(sender.offer(sent[1]!));
    sender.end();
    await sender.delivered();
    assert.deepEqual(heard, [3n]);
    const [first, second, third, fourth] = [
      await receiver.next(),
      await receiver.next(),
      await receiver.next(),
      await receiver.next(),
    ];
    assert.ok(first?.kind === "batch" && first.batch === sent[0]);
    assert.equal(shown(second), "barrier 3");
    assert.ok(third?.kind === "batch" && third.batch === sent[1]);
    assert.equal(shown(fourth), "end");
  });

  it("takes nothing before the receiver has started (N2)", async () => {
    const { sender, receiver } = new LocalChannel(CHANNEL);
    assert.equal(sender.offer(batch(0)), false);
    const room = sender.room();
    assert.ok(await isOpen(room));
    receiver.start(() => {});
    await room;
    assert.ok(sender.offer(batch(0)));
  });

  it("is bounded in bytes: a slow receiver slows the sender (N2)", async () => {
    const { sender, receiver } = started();
    assert.ok(sender.offer(batch(1, limits.channelCreditBytes - 1_000)));
    assert.equal(sender.offer(batch(2, 2_000)), false);
    const room = sender.room();
    assert.ok(await isOpen(room));
    await receiver.next();
    await room;
    assert.ok(sender.offer(batch(2, 2_000)));
  });

  it("is bounded in batches, and takes one larger than the bound alone (N2)", async () => {
    const { sender, receiver } = started();
    assert.ok(sender.offer(batch(0, limits.channelCreditBytes + 1)));
    assert.equal(sender.offer(batch(1)), false);
    await receiver.next();
    for (const n of range(0, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)));
    assert.equal(sender.offer(batch(99)), false);
  });

  it("a barrier needs no credit, and can be captured with what is before it", async () => {
    const { sender, receiver } = started();
    for (const n of range(0, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)));
    sender.barrier(1n);
    await receiver.next();
    assert.equal((await receiver.capture(1n)).length, limits.channelCreditFrames - 1);
  });

  it("a refused batch, once taken, is not there twice; a barrier after the end says nothing", async () => {
    const { sender, receiver } = started();
    for (const n of range(0, limits.channelCreditFrames)) assert.ok(sender.offer(batch(n)));
    assert.equal(sender.offer(batch(64)), false);
    await receiver.next();
    assert.ok(sender.offer(batch(64)));
    sender.end();
    sender.barrier(1n);
    const seen = [];
    for (let item = await receiver.next(); item !== undefined; item = await receiver.next()) seen.push(shown(item));
    assert.deepEqual(seen, range(1, 65));
  });

  it("a sender that closes without an end has failed: the receiver does not take it for the end", async () => {
    const { sender, receiver } = started();
    assert.ok(sender.offer(batch(0)));
    sender.close();
    assert.throws(() => sender.offer(batch(1)), { code: "MILL_BUS_CLOSED" });
    await receiver.next();
    assert.ok(await isOpen(receiver.next()));
  });

  it("a closed channel rejects who waits on the closed end", async () => {
    const { sender, receiver } = new LocalChannel(CHANNEL);
    assert.equal(sender.offer(batch(0)), false);
    const waiting = [sender.room(), receiver.next(), receiver.capture(1n)].map((one) =>
      assert.rejects(one, { code: "MILL_BUS_CLOSED" }),
    );
    sender.close();
    receiver.close();
    await Promise.all(waiting);
  });
});
