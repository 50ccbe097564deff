import assert from "node:assert/strict";
import { Window } from "../../../src/actors/window.js";

describe("actors/window: room for work under way", () => {
  it("lets in what has room in rows and in bytes", () => {
    const window = new Window(10, 100);
    assert.ok(window.tryEnter(6, 60));
    assert.equal(window.tryEnter(5, 1), false);
    assert.equal(window.tryEnter(1, 50), false);
    assert.ok(window.tryEnter(4, 40));
    assert.equal(window.rows, 10);
  });

  it("tells everybody who waits when something leaves", async () => {
    const window = new Window(10, 10);
    assert.ok(window.tryEnter(6, 6));
    const waiting = [window.changed(), window.changed()];
    window.leave(6, 6);
    await Promise.all(waiting);
    assert.ok(window.tryEnter(5, 5));
  });

  it("lets a piece larger than the whole window in when it is alone", () => {
    const window = new Window(10, 10);
    assert.ok(window.tryEnter(1, 1));
    assert.equal(window.tryEnter(50, 50), false);
    window.leave(1, 1);
    assert.ok(window.tryEnter(50, 50));
    assert.equal(window.tryEnter(1, 1), false);
  });

  it("takes room that is not there for what was under way before", () => {
    const window = new Window(10, 10);
    window.force(8, 8);
    window.force(8, 8);
    assert.equal(window.tryEnter(1, 1), false);
    window.leave(8, 8);
    assert.ok(window.tryEnter(1, 1));
  });
});
