import assert from "node:assert/strict";
import fc from "fast-check";
import { BlobReader, BlobWriter } from "../../../src/actors/blobs.js";
import { KeyedState } from "../../../src/actors/keyed-state.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { t } from "../../../src/types/columns.js";
import { anyRows } from "../types/arbitrary.js";

describe("actors/keyed-state: rows of any types", () => {
  it("come back from a snapshot as they were", async () => {
    await fc.assert(
      fc.asyncProperty(anyRows, async ({ columns, rows }) => {
        const make = () => new KeyedState({ key: t.int32 }, columns, { first: 0, end: 1 }, 1, realPorts().clock);
        const [before, after] = [make(), make()];
        // A row's key is the text that `rowKeys` makes of it: its length, and what it is.
        const keyOf = (i: number) => `${`${i}`.length}:${i}`;
        for (const [i, state] of rows.entries()) before.set(keyOf(i), { key: { key: i }, state });
        const blobs = new BlobWriter();
        const state = await before.cut()?.(blobs);
        if (state !== undefined) after.restore(state, new BlobReader(blobs.lengths, Buffer.concat(blobs.pieces)));
        assert.deepEqual(
          rows.map((_, i) => after.get(keyOf(i))?.state),
          rows,
        );
      }),
      { numRuns: 50 },
    );
  });
});
