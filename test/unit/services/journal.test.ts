import assert from "node:assert/strict";
import fc from "fast-check";
import { Journal } from "../../../src/services/journal.js";
import { idBytes, idsOf } from "../../../src/services/row-ids.js";
import { batchBytes } from "../../../src/types/batches.js";
import { numbers, valuesOf } from "./instance-bench.js";

const none = new Map();
/** Value of the answer that is found. */
const found = (journal: Journal, id: string) => {
  const answer = journal.find(id);
  return answer === undefined ? undefined : valuesOf(answer.records)[answer.row];
};

describe("services/journal: answers that are kept", () => {
  it("are found by the id of their row, with the reason of a refusal (R1)", () => {
    const journal = new Journal(1_000);
    const refused = { row: 1, code: "MILL_RECORD_INVALID", message: "no" };
    journal.add(["a", "", "c"], numbers(1, 2, 3), new Map([[2, refused]]));
    assert.deepEqual(
      ["a", "", "c", "d"].map((id) => found(journal, id)),
      [1, undefined, 3, undefined],
    );
    assert.equal(journal.find("c")?.rejected, refused);
  });

  it("stay as they were first given (R1)", () => {
    const journal = new Journal(1_000);
    journal.add(["a"], numbers(1), none);
    journal.add(["a", "b"], numbers(7, 2), none);
    assert.deepEqual([found(journal, "a"), found(journal, "b")], [1, 2]);
  });

  it("of the oldest call go first when there is no room; what is larger than all room is not kept (R2)", () => {
    const one = batchBytes(numbers(1));
    const journal = new Journal(2 * one);
    for (const [i, id] of ["a", "b", "c"].entries()) journal.add([id], numbers(i), none);
    assert.deepEqual(
      ["a", "b", "c"].map((id) => found(journal, id)),
      [undefined, 1, 2],
    );
    journal.add(["d"], numbers(...Array<number>(100).fill(0)), none);
    assert.equal(found(journal, "d"), undefined);
    assert.equal(found(journal, "c"), 2);
  });

  it("are gone when they are released, and their room with the last of their call (R3)", () => {
    const journal = new Journal(1_000);
    journal.add(["a", "b"], numbers(1, 2), none);
    journal.release(["a", "x"]);
    assert.deepEqual([found(journal, "a"), found(journal, "b")], [undefined, 2]);
    assert.ok(journal.bytes > 0);
    journal.release(["b"]);
    assert.equal(journal.bytes, 0);
  });

  it("whatever is added and released: within its bytes, and empty when everything is released (R1 to R3)", () => {
    const id = fc.integer({ min: 0, max: 9 }).map(String);
    const step = fc.record({ ids: fc.uniqueArray(id, { minLength: 1, maxLength: 4 }), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step), fc.integer({ min: 1, max: 200 }), (steps, bytesMax) => {
        const journal = new Journal(bytesMax);
        const first = new Map<string, number>();
        for (const [i, { ids, add }] of steps.entries()) {
          if (add) {
            journal.add(ids, numbers(...ids.map(() => i)), none);
            for (const one of ids) if (found(journal, one) === i) first.set(one, i);
          } else journal.release(ids);
          assert.ok(journal.bytes <= bytesMax);
          for (const one of first.keys()) {
            const now = found(journal, one);
            if (now === undefined) first.delete(one);
            else assert.equal(now, first.get(one));
          }
        }
        journal.release(Array.from({ length: 10 }, (_, i) => String(i)));
        assert.equal(journal.bytes, 0);
      }),
    );
  });
});

describe("services/row-ids: on the wire", () => {
  it("are 16 bytes each, whatever bytes", () => {
    const bytes = Uint8Array.from({ length: 48 }, (_, i) => 255 - i);
    assert.deepEqual(Uint8Array.from(idBytes(idsOf(bytes))), bytes);
    assert.equal(idsOf(bytes).length, 3);
    assert.throws(() => idsOf(bytes.subarray(1)), { code: "MILL_FRAME_INVALID" });
  });
});
