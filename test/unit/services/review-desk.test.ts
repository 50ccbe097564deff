import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { Bench, doubles } from "./instance-bench.js";

const MiB = 1024 * 1024;

describe("services/desk: errors that are too long for a frame", () => {
  it("fail their request, cut; the instance goes on (N2)", async () => {
    let calls = 0;
    const bench = await new Bench({
      infer: async (rows) => {
        if (++calls === 1) throw new Error(`the server said ${"x".repeat(limits.frameHeaderBytesMax)}`);
        return doubles(rows);
      },
    }).ready();
    const first = bench.send([1]);
    await bench.clock.settle();
    const second = bench.send([2]);
    await bench.clock.settle();
    const { header } = bench.answer(first);
    assert.deepEqual([header.status, header.code], ["FAILED", "MILL_SERVICE_FAILED"]);
    assert.match(header.message, /the server said x/);
    assert.deepEqual(bench.answer(second).doubled, [4]);
  });

  it("refuse their rows, cut; the other rows are answered (N2)", async () => {
    const bench = await new Bench({
      batch: { rowsMax: 8 },
      infer: async (rows, context) => {
        for (let row = 0; row < 5; row++) context.reject(row, new Error("x".repeat(MiB)));
        return doubles(rows);
      },
    }).ready();
    const id = bench.send([1, 2, 3, 4, 5, 6]);
    await bench.clock.settle();
    const { header, doubled } = bench.answer(id);
    assert.equal(header.status, "OK");
    assert.equal(header.rejectedRows.length, 5);
    assert.equal(doubled[5], 12);
  });
});
