/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { type Named, named, namedValue } from "../../../src/functions/named.js";
import { rowFunction } from "../../../src/functions/row-function.js";
import { type StepOptions, step } from "../../../src/functions/step.js";
import type { Stream } from "../../../src/topology/topology.js";
import { type ColumnType, t } from "../../../src/types/columns.js";
import { built, pageColumns, pages } from "../topology/support.js";

/** How many characters a column of text has. */
function lengthOf<F extends string, I extends string>(options: StepOptions & { readonly from: F; readonly into: I }) {
  const { from, into } = options;
  const to = named(into, t.int32);
  const fn = rowFunction({
    name: "lengthOf",
    reads: { [from]: { says: "text", fits: (type) => type.name === "utf8" } },
    to,
    rows: async (row) => [namedValue(to, (row[from] as string).length)],
  });
  return step<Named<F, ColumnType<string>>, Named<I, typeof t.int32>>(fn, options);
}

function onPages(use: (stream: Stream<typeof pageColumns>) => void): () => string[] {
  return () => built((job) => use(job.read(pages))).operators.map(({ id }) => id);
}

describe("functions/step: steps for pipe", () => {
  it("a step adds its column with its type, and keeps the others; further steps see them", () => {
    const ids = onPages((stream) => {
      const longer = stream
        .pipe(lengthOf({ from: "name", into: "length" }))
        .pipe(lengthOf({ from: "name", into: "size" }));
      const columns: typeof longer.columns = { ...pageColumns, length: t.int32 };
      assert.deepEqual(Object.keys(longer.columns), Object.keys(columns));
      longer.mapRows({ to: { twice: t.int32 } }, ({ length }) => ({ twice: 2 * length }));
    })();
    assert.deepEqual(
      ids,
      ["read-1", "lengthOf-1", "lengthOf-2", "mapRows-1"].map((id, i) => (i === 0 ? ids[0] : id)),
    );
  });

  it("its operator has the id that it is given", () => {
    assert.ok(
      onPages((stream) => stream.pipe(lengthOf({ from: "name", into: "length", id: "measure" })))().includes("measure"),
    );
  });

  it("a column that the stream lacks is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error no such column
      onPages((stream) => stream.pipe(lengthOf({ from: "title", into: "length" }))),
      {
        code: "MILL_TOPOLOGY_COLUMN",
        message: /operator "lengthOf-1": lengthOf reads a column "title" that the stream lacks/,
      },
    );
  });

  it("a column of another type is refused by TypeScript and by the plan", () => {
    assert.throws(
      // @ts-expect-error size is a number
      onPages((stream) => stream.pipe(lengthOf({ from: "size", into: "length" }))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "lengthOf-1": column "size" is int32, but lengthOf reads text/ },
    );
  });
});
