import assert from "node:assert/strict";
import { Window } from "../../../src/actors/window.js";
import { isOpen } from "./support.js";

describe("actors/window: room for work under way", () => {
  it("whoever adds waits until there is room in rows", async () => {
    const window = new Window(10, 1_000);
    await window.enter(6, 1);
    const second = window.enter(5, 1);
    assert.ok(await isOpen(second));
    window.leave(6, 1);
    await second;
    assert.equal(window.rows, 5);
  });

  it("whoever adds waits until there is room in bytes", async () => {
    const window = new Window(1_000, 10);
    await window.enter(1, 6);
    const second = window.enter(1, 5);
    assert.ok(await isOpen(second));
    window.leave(1, 6);
    await second;
  });

  it("a piece larger than the whole window waits until it is alone, then enters", async () => {
    const window = new Window(10, 10);
    await window.enter(1, 1);
    const large = window.enter(50, 50);
    assert.ok(await isOpen(large));
    window.leave(1, 1);
    await large;
    assert.ok(await isOpen(window.enter(1, 1)));
  });
});
