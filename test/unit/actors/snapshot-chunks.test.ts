import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chunksOf, joined, sha256Of } from "../../../src/actors/snapshot-chunks.js";
import { limits } from "../../../src/base/limits.js";
import type { Clock } from "../../../src/base/ports.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const CHUNK = limits.snapshotChunkBytes;

/** Bytes that differ from place to place. */
function bytes(length: number, from = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => ((from + i) * 31 + ((from + i) >> 12)) & 0xff);
}

/** Gives others their turn at once, and tells of it. */
function turns(onTurn: () => void = () => {}): Clock {
  const { clock } = fakePorts();
  clock.sleep = async () => onTurn();
  return clock;
}

describe("actors/snapshot-chunks: a snapshot on its way to the store", () => {
  for (const [form, sizes] of [
    ["nothing", []],
    ["empty pieces", [0, 0]],
    ["small pieces", [3, 0, 5]],
    ["exactly a chunk", [CHUNK - 7, 7]],
    ["a byte more than a chunk", [CHUNK, 1]],
    ["one piece of many chunks", [3 * CHUNK + 11]],
    ["pieces across the edges of chunks", [CHUNK - 1, CHUNK + 5, 2, CHUNK]],
  ] as const) {
    it(`holds ${form}, in order, in full chunks and a last one`, async () => {
      let at = 0;
      const pieces = sizes.map((size) => {
        at += size;
        return bytes(size, at - size);
      });
      const chunks = await chunksOf(pieces, turns());
      assert.ok(Buffer.concat(chunks).equals(Buffer.concat(pieces)));
      assert.ok(Buffer.from(joined(chunks)).equals(Buffer.concat(pieces)));
      assert.equal(chunks.length, Math.max(Math.ceil(at / CHUNK), 1));
      assert.ok(chunks.slice(0, -1).every((chunk) => chunk.length === CHUNK));
      const expected = createHash("sha256").update(Buffer.concat(pieces)).digest("hex");
      assert.equal(await sha256Of(chunks, turns()), expected);
    });
  }

  it("does not change when the batches that it was copied from do (K1)", async () => {
    const piece = bytes(CHUNK + 2);
    const chunks = await chunksOf([piece], turns());
    const before = await sha256Of(chunks, turns());
    piece.fill(0);
    assert.equal(await sha256Of(chunks, turns()), before);
  });

  it("has no chunk that is a view of the batch, however small it is (K1)", async () => {
    const piece = bytes(10);
    const [chunk] = await chunksOf([piece], turns());
    piece.fill(0);
    assert.deepEqual([...chunk!], [...bytes(10)]);
  });

  it("lets other work have its turn after each chunk, when it copies and when it hashes (K2)", async () => {
    const pieces = [bytes(3 * CHUNK)];
    let count = 0;
    const chunks = await chunksOf(
      pieces,
      turns(() => count++),
    );
    assert.equal(count, 2, "between three chunks");
    await sha256Of(
      chunks,
      turns(() => count++),
    );
    assert.equal(count, 4, "between three chunks");
    await sha256Of(
      pieces,
      turns(() => count++),
    );
    assert.equal(count, 6, "one array of three chunks' length, as the store gives it back");
  });

  it("a snapshot of one chunk waits for nobody", async () => {
    const never = turns(() => assert.fail("it gave its turn away"));
    await sha256Of(await chunksOf([bytes(CHUNK)], never), never);
  });
});
