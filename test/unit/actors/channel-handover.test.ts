import assert from "node:assert/strict";
import { Handover } from "../../../src/actors/channel-handover.js";
import { batch, nOf, shown } from "./channel-support.js";
import { isOpen, turns } from "./support.js";

describe("actors/channel-handover", () => {
  let handover: Handover;
  let bytes: number;
  beforeEach(() => {
    bytes = 0;
    handover = new Handover("c", (taken) => {
      bytes += taken;
    });
  });
  const add = (n: number, barriers = 0n) => handover.add(batch(n), 10, barriers);
  const next = async () => shown(await handover.next());
  const numbers = async (capture: Promise<readonly Parameters<typeof nOf>[0][]>) => (await capture).map(nOf);

  it("hands on batches in order, a barrier directly after the last before it, then the end, again and again (V1, V2)", async () => {
    add(0);
    handover.addBarrier(5n, 1n);
    handover.addBarrier(6n, 1n);
    add(1, 2n);
    handover.addEnd(2n, 2n);
    const seen = [await next(), await next(), await next(), await next(), await next(), await next()];
    assert.deepEqual(seen, [0, "barrier 5", "barrier 6", 1, "end", "end"]);
    assert.equal(bytes, 20);
  });

  it("a batch waits for a barrier before it that has not come (V1)", async () => {
    add(0, 1n);
    const first = next();
    assert.ok(await isOpen(first));
    handover.addBarrier(1n, 0n);
    assert.equal(await first, "barrier 1");
    assert.equal(await next(), 0);
  });

  it("the end waits for the batches and barriers that it counts (V1)", async () => {
    handover.addEnd(1n, 1n);
    const first = next();
    assert.ok(await isOpen(first));
    add(0);
    assert.equal(await first, 0);
    const second = next();
    assert.ok(await isOpen(second));
    handover.addBarrier(1n, 1n);
    assert.equal(await second, "barrier 1");
    assert.equal(await next(), "end");
  });

  it("a barrier that stands before batches handed on is refused: its sender did not count it", async () => {
    add(0);
    await next();
    assert.throws(() => handover.addBarrier(1n, 0n), { code: "MILL_FRAME_INVALID", message: /channel c: barrier 1/ });
  });

  it("tells of barriers, those that are there already included", () => {
    const heard: bigint[] = [];
    handover.addBarrier(1n, 0n);
    handover.listen((checkpoint) => heard.push(checkpoint));
    handover.addBarrier(2n, 0n);
    assert.deepEqual(heard, [1n, 2n]);
  });

  it("a capture is what was not handed on when it began, below the barrier; the barrier is left out (V3)", async () => {
    for (const n of [0, 1, 2]) add(n);
    assert.equal(await next(), 0);
    handover.addBarrier(7n, 3n);
    add(3, 1n);
    const captured = handover.capture(7n);
    assert.deepEqual([await next(), await next(), await next()], [1, 2, 3]);
    assert.deepEqual(await numbers(captured), [1, 2]);
  });

  it("a capture waits for its barrier and for all before it, also those that are handed on meanwhile (V3)", async () => {
    add(0);
    const captured = handover.capture(7n);
    assert.equal(await next(), 0);
    add(1);
    handover.addBarrier(7n, 3n);
    assert.ok(await isOpen(captured));
    assert.equal(await next(), 1);
    add(2);
    assert.deepEqual(await numbers(captured), [0, 1, 2]);
  });

  it("a barrier that comes after batches behind it ends the capture where it stands (V3)", async () => {
    const captured = handover.capture(7n);
    add(0);
    add(1, 1n);
    assert.ok(await isOpen(captured));
    handover.addBarrier(7n, 1n);
    assert.deepEqual(await numbers(captured), [0]);
    assert.deepEqual([await next(), await next()], [0, 1]);
  });

  it("an end before the barrier counts as the barrier", async () => {
    add(0);
    const captured = handover.capture(7n);
    handover.addEnd(2n, 0n);
    assert.ok(await isOpen(captured));
    add(1);
    assert.deepEqual(await numbers(captured), [0, 1]);
    assert.deepEqual(await numbers(handover.capture(8n)), [0, 1]);
  });

  it("two captures at a time have each what is theirs", async () => {
    add(0);
    const first = handover.capture(1n);
    assert.equal(await next(), 0);
    const second = handover.capture(2n);
    add(1);
    handover.addBarrier(1n, 1n);
    handover.addBarrier(2n, 2n);
    assert.deepEqual(await numbers(first), [0]);
    assert.deepEqual(await numbers(second), [1]);
    handover.addEnd(2n, 2n);
    assert.deepEqual([await next(), await next()], [1, "end"]);
  });

  it("a barrier that was handed on leaves nothing to capture", async () => {
    handover.addBarrier(1n, 0n);
    add(0, 1n);
    await next();
    assert.deepEqual(await handover.capture(1n), []);
  });

  it("a later barrier in place of the captured one rejects the capture, and is handed on itself", async () => {
    const captured = assert.rejects(handover.capture(1n), { code: "MILL_CHANNEL_GAP", message: /barrier 2 came/ });
    handover.addBarrier(2n, 0n);
    await captured;
    assert.equal(await next(), "barrier 2");
  });

  it("a failure reaches the taker and every capture, and the first one counts", async () => {
    const waiting = [handover.next(), handover.capture(1n)].map((one) => assert.rejects(one, /first/));
    await turns();
    handover.fail(new Error("first"));
    handover.fail(new Error("second"));
    await Promise.all(waiting);
    add(0);
    await assert.rejects(handover.next(), /first/);
    await assert.rejects(handover.capture(2n), /first/);
  });
});
