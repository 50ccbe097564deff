import assert from "node:assert/strict";
import { SendWindow } from "../../../src/actors/channel-window.js";
import { limits } from "../../../src/base/limits.js";

const base = { channel: "c", attempt: 1, barriers: 0n, ended: false };
const credit = (acknowledged: bigint, arrived: bigint, bytesGranted: bigint, framesGranted: bigint) => ({
  ...base,
  acknowledged,
  arrived,
  bytesGranted,
  framesGranted,
});

function windowWith(frames: number, bytes = 10): SendWindow {
  const window = new SendWindow();
  window.credit(credit(0n, 0n, 1_000n, 64n));
  for (let i = 0; i < frames; i++) window.add(new Uint8Array(bytes).fill(i), 0);
  return window;
}

function again(window: SendWindow, nowMs: number): number[] {
  const sent = [];
  for (let frame = window.again(nowMs); frame !== undefined; frame = window.again(nowMs)) sent.push(frame[0]!);
  return sent;
}

describe("actors/channel-window", () => {
  it("admits nothing before the first credit", () => {
    assert.equal(new SendWindow().admits(0), false);
  });

  it("admits up to the granted bytes and frames, and a frame larger than the grant when it is alone (W1)", () => {
    const window = windowWith(0);
    assert.ok(window.admits(5_000), "alone");
    window.add(new Uint8Array(900), 0);
    assert.ok(window.admits(100));
    assert.equal(window.admits(101), false, "bytes");
    window.credit(credit(0n, 0n, 1_000n, 1n));
    const few = new SendWindow();
    few.credit(credit(0n, 0n, 1_000n, 2n));
    few.add(new Uint8Array(1), 0);
    assert.ok(few.admits(1));
    few.add(new Uint8Array(1), 0);
    assert.equal(few.admits(1), false, "frames");
    few.credit(credit(2n, 2n, 0n, 0n));
    assert.ok(few.admits(5_000), "all was handed on: alone again");
  });

  it("keeps what has not arrived, and only that (W2)", () => {
    const window = windowWith(5);
    window.credit(credit(1n, 3n, 0n, 0n));
    assert.deepEqual([window.keptBytes, window.arrived, window.sent], [20, 3n, 5n]);
    window.credit(credit(5n, 0n, 0n, 0n));
    assert.deepEqual([window.keptBytes, window.arrived], [0, 5n], "a receiver that says only what it handed on");
  });

  it("a late or doubled credit takes nothing back, and is no news (W3)", () => {
    const window = windowWith(5);
    assert.deepEqual(window.credit(credit(2n, 3n, 1_020n, 66n)), { news: true, room: true });
    assert.deepEqual(window.credit(credit(1n, 1n, 1_010n, 65n)), { news: false, room: false });
    assert.deepEqual(window.credit(credit(2n, 4n, 1_020n, 66n)), { news: true, room: false });
    assert.deepEqual([window.arrived, window.keptBytes], [4n, 10]);
  });

  it("does not believe a credit that counts more than was sent", () => {
    const window = windowWith(5);
    assert.ok(window.believes(credit(5n, 5n, 0n, 0n)));
    for (const wrong of [credit(6n, 0n, 0n, 0n), credit(0n, 6n, 0n, 0n), credit(-1n, 0n, 0n, 0n)]) {
      assert.equal(window.believes(wrong), false);
    }
  });

  it("sends again what was asked for, at once the first time, then after pauses that double up to the bound (W4)", () => {
    const window = windowWith(5);
    window.ask(1n, 3n, 5);
    assert.deepEqual(again(window, 5), [1, 2]);
    assert.deepEqual(again(window, 5), [], "once");
    let nowMs = 5;
    for (let repeats = 1; repeats < 12; repeats++) {
      const pauseMs = Math.min(limits.channelGapMs * 2 ** repeats, limits.channelRepeatMsMax);
      window.ask(1n, 2n, nowMs + pauseMs - 1);
      assert.deepEqual(again(window, nowMs + pauseMs - 1), [], `repeat ${repeats}: too soon`);
      window.ask(1n, 2n, nowMs + pauseMs);
      assert.deepEqual(again(window, nowMs + pauseMs), [1], `repeat ${repeats}`);
      nowMs += pauseMs;
    }
  });

  it("what was asked for and has come meanwhile is not sent again; nothing that was never sent is", () => {
    const window = windowWith(5);
    window.ask(0n, 99n, 5);
    window.credit(credit(0n, 4n, 0n, 0n));
    assert.deepEqual(again(window, 5), [4]);
    window.ask(-5n, 2n, 5);
    assert.deepEqual(again(window, 5), []);
  });
});
