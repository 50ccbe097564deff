import assert from "node:assert/strict";
import { Handover } from "../../src/actors/channel-handover.js";
import { SendWindow } from "../../src/actors/channel-window.js";
import { Mailbox } from "../../src/actors/mailbox.js";
import { Window } from "../../src/actors/window.js";
import { limits } from "../../src/base/limits.js";
import { realPorts } from "../../src/base/real/ports.js";
import { MemoryBus } from "../../src/bus/memory-bus.js";
import { batch, opened, subjects } from "../unit/actors/channel-support.js";
import { checked } from "./checked.js";
import { memoryChecker } from "./checkers/memory.js";
import { type Knobs, turn } from "./knobs.js";

/** Shows the checker's findings while `work` goes on, under these bounds. */
async function under<T>(knobs: Knobs, work: (run: ReturnType<typeof checked>) => T | Promise<T>): Promise<T> {
  const turnBack = turn(knobs);
  const run = checked(memoryChecker);
  try {
    return await work(run);
  } finally {
    run.checker.release?.();
    turnBack();
  }
}

describe("sim/checkers/memory: what it finds", () => {
  it("more batches in a channel than its credit, or more bytes unless it is one batch alone (HELD1)", async () => {
    await under({ channelCreditFrames: 2, channelCreditBytes: 100 }, ({ found }) => {
      const handover = new Handover("c", () => {});
      handover.add(batch(0), 200, 0n);
      assert.deepEqual(found(), [], "one larger batch alone");
      const many = new Handover("c", () => {});
      for (let n = 0; n < 2; n++) many.add(batch(n), 10, 0n);
      assert.deepEqual(found(), []);
      many.add(batch(2), 10, 0n);
      assert.deepEqual(found(), ["memory (HELD1)"]);
      const large = new Handover("c", () => {});
      for (let n = 0; n < 2; n++) large.add(batch(n), 60, 0n);
      assert.deepEqual(found(), ["memory (HELD1)", "memory (HELD1)"]);
    });
  });

  it("more bytes in a receiver than its credit, and only while it is open (HELD2)", async () => {
    await under({}, async ({ found, tell }) => {
      const bus = new MemoryBus(realPorts());
      const { sender, receiver } = await opened(bus, bus, realPorts());
      while (!sender.offer(batch(0))) await sender.room();
      for (let i = 0; i < 1_000 && receiver.heldBytes === 0; i++) await bus.flush();
      assert.ok(receiver.heldBytes > 100, "a batch has come");
      tell(subjects.data, new Uint8Array(50));
      assert.deepEqual(found(), []);
      const turnBack = turn({ channelCreditBytes: 100 });
      tell(subjects.data, new Uint8Array(50));
      receiver.close();
      tell(subjects.data, new Uint8Array(50));
      turnBack();
      assert.deepEqual(found(), ["memory (HELD2)"]);
      sender.close();
      await bus.close();
    });
  });

  it("more bytes kept by a sender than its credit, unless it is one frame alone (HELD3)", async () => {
    await under({ channelCreditBytes: 100 }, ({ found }) => {
      const window = new SendWindow();
      window.add(new Uint8Array(200), 0);
      assert.deepEqual(found(), [], "one larger frame alone");
      window.add(new Uint8Array(1), 0);
      assert.deepEqual(found(), ["memory (HELD3)"]);
    });
  });

  it("a window of `infer` that is over its bound, and only while a run lasts (HELD4)", async () => {
    await under({}, ({ checker, found }) => {
      const window = new Window(limits.inferWindowRows, limits.inferWindowBytes);
      window.force(limits.inferWindowRows + 1, 1);
      assert.deepEqual(found(), [], "one larger batch alone is let in");
      window.force(1, 1);
      assert.deepEqual(found(), ["memory (HELD4)"]);
      checker.release?.();
      window.force(1, 1);
      assert.equal(found().length, 1);
    });
  });

  it("a mailbox over its items or bytes, unless it is one item alone (HELD5)", async () => {
    for (const [moved, sizes, expected] of [
      [{ itemsMax: 2, bytesMax: 100 }, [200], []],
      [{ itemsMax: 2, bytesMax: 100 }, [10, 10], []],
      [{ itemsMax: 2, bytesMax: 100 }, [10, 10, 10], ["memory (HELD5)"]],
      [{ itemsMax: 9, bytesMax: 100 }, [60, 60], ["memory (HELD5)"]],
    ] as const) {
      await under({}, ({ found }) => {
        const bounds = { itemsMax: 1_000, bytesMax: 1_000 };
        const mailbox = new Mailbox<string>(bounds);
        for (const bytes of sizes) void mailbox.put("item", bytes);
        // A mailbox keeps its bounds: one that does not is made by moving them.
        Object.assign(bounds, moved);
        void mailbox.put("waits", 1);
        assert.deepEqual(found(), expected, `${sizes}`);
      });
    }
  });
});
