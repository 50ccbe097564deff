import assert from "node:assert/strict";
import fc from "fast-check";
import { Mailbox } from "../../../src/actors/mailbox.js";
import { isOpen, turns } from "./support.js";

describe("actors/mailbox: a bounded queue between two sides", () => {
  it("items come out in the order they went in, also past those that waited for room (Q1)", async () => {
    const box = new Mailbox<string>({ bytesMax: 10, itemsMax: 2 });
    const late = ["a", "b", "c", "d"].map((item) => box.put(item, 4));
    const taken = [await box.take()];
    late.push(box.put("e", 1)); // nobody has taken b yet: e must not slip in before c and d
    for (let i = 0; i < 4; i++) taken.push(await box.take());
    assert.deepEqual(taken, ["a", "b", "c", "d", "e"]);
    await Promise.all(late);
  });

  it("holds at most its bytes and items, but one larger than all of it alone (Q2)", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 30 }), async (sizes) => {
        const box = new Mailbox<number>({ bytesMax: 20, itemsMax: 3 });
        const puts = sizes.map((bytes, i) => box.put(i, bytes));
        for (let i = 0; i < sizes.length; i++) {
          assert.ok(box.items <= 3, `${box.items} items`);
          assert.ok(box.bytes <= 20 || box.items === 1, `${box.bytes} bytes in ${box.items} items`);
          assert.equal(await box.take(), i);
        }
        await Promise.all(puts);
      }),
    );
  });

  it("one large item that leaves lets in all the small ones that then fit (Q2)", async () => {
    const box = new Mailbox<string>({ bytesMax: 10, itemsMax: 9 });
    void box.put("large", 10);
    const small = [box.put("s1", 3), box.put("s2", 3)] as Promise<void>[];
    await box.take();
    await Promise.all(small);
    assert.equal(box.items, 2);
  });

  it("whoever puts waits while it is full, and whoever takes while it is empty", async () => {
    const box = new Mailbox<string>({ bytesMax: 1, itemsMax: 1 });
    assert.equal(box.put("a", 1), undefined);
    const second = box.put("b", 1) as Promise<void>;
    assert.ok(await isOpen(second));
    assert.equal(await box.take(), "a");
    await second;
    await box.take();
    const empty = box.take();
    assert.ok(await isOpen(empty));
    box.close();
    assert.equal(await empty, undefined);
  });

  it("after close what is queued still comes out, then undefined", async () => {
    const box = new Mailbox<string>({ bytesMax: 1, itemsMax: 1 });
    void box.put("a", 1);
    void box.put("b", 1);
    box.close();
    assert.deepEqual([await box.take(), await box.take(), await box.take()], ["a", "b", undefined]);
  });

  it("after fail both sides meet the error and nothing queued comes out (Q3)", async () => {
    const box = new Mailbox<string>({ bytesMax: 1, itemsMax: 1 });
    void box.put("a", 1);
    const waiting = assert.rejects(box.put("b", 1) as Promise<void>, /broken/);
    box.fail(new Error("broken"));
    await waiting;
    await assert.rejects(box.take(), /broken/);
    assert.throws(() => box.put("c", 1), /broken/);
    const empty = new Mailbox<string>({ bytesMax: 1, itemsMax: 1 });
    const taker = assert.rejects(empty.take(), /broken/);
    await turns(1);
    empty.fail(new Error("broken"));
    await taker;
  });
});
