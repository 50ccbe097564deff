import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { Pending } from "../../../src/bus/pending.js";

describe("bus/pending: bytes that wait", () => {
  it("has room at the limit and none above it (B4)", async () => {
    const pending = new Pending();
    pending.add(limits.busPendingBytesMax);
    assert.equal(pending.whenRoom(), undefined);
    pending.add(1);
    const room = pending.whenRoom();
    assert.ok(room instanceof Promise);
    pending.remove(limits.busPendingBytesMax);
    await room;
    assert.equal(pending.whenRoom(), undefined);
  });

  it("resolves whenSent at what was added before it, not at what comes later", async () => {
    const pending = new Pending();
    pending.add(1);
    pending.add(2);
    let sent = false;
    const done = pending.whenSent().then(() => {
      sent = true;
    });
    pending.add(4);
    pending.remove(1);
    await Promise.resolve();
    assert.equal(sent, false);
    pending.remove(2);
    await done;
    assert.equal(pending.size(), 4);
  });

  it("lets everybody go on release", async () => {
    const pending = new Pending();
    pending.add(limits.busPendingBytesMax + 1);
    const waiting = Promise.all([pending.whenRoom(), pending.whenSent()]);
    pending.release();
    await waiting;
  });
});
