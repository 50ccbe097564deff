import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { ApplyOperator } from "../../../src/actors/apply-operator.js";
import { MillraceError } from "../../../src/base/errors.js";
import { rowFunction } from "../../../src/functions/row-function.js";
import type { ColumnFunction } from "../../../src/topology/column-function.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Row, t } from "../../../src/types/columns.js";
import { lineageOf, withLineage } from "../../../src/types/lineage.js";
import { numbered, numbers, op, rows, testRuntime } from "./support.js";

const to = { word: t.utf8 };
const merged = { ...numbered, ...to };
const anyColumn = { says: "anything", fits: () => true };

function operator(fn: ColumnFunction<typeof to>) {
  const runtime = testRuntime();
  const out: RecordBatch[] = [];
  const [id, input] = [op("apply"), op("in")];
  const place = { id, inputs: [input], parallelism: undefined, isolated: false };
  const node = { ...place, kind: "apply", columns: merged, fn: fn as unknown as ColumnFunction } as const;
  const made = new ApplyOperator(node, numbered, runtime, runtime, (batch) => void out.push(batch));
  return { made, out, runtime, seen: () => rows(merged, out) };
}

/** As many words as the row's number says; none is refused at 3. */
function words(concurrency = 1) {
  return rowFunction({
    name: "words",
    reads: { n: anyColumn },
    to,
    concurrency,
    rows: async (row) => {
      const n = Number(row.n);
      if (n === 3) throw new MillraceError("MILL_RECORD_INVALID", "no threes");
      return Array.from({ length: n }, (_, i) => ({ word: n === 4 ? (4 as never) : `${n}.${i}` }));
    },
  });
}

describe("actors/apply-operator: columns that a function makes", () => {
  it("other columns of a row go along with each row made of it, and refused rows do not (O3)", async () => {
    const { made, seen, runtime } = operator(words());
    await made.process(numbers(1, 0, 3, 2));
    assert.deepEqual(seen(), [
      { n: 1, word: "1.0" },
      { n: 2, word: "2.0" },
      { n: 2, word: "2.1" },
    ]);
    assert.deepEqual(
      runtime.refused.map(({ row, message }) => [row.n, message]),
      [[3, "no threes"]],
    );
  });

  it("a row whose results do not fit is refused alone, and whole (O3)", async () => {
    const { made, seen, runtime } = operator(words(4));
    await made.process(numbers(2, 4, 1));
    assert.deepEqual(
      seen().map(({ word }) => word),
      ["2.0", "2.1", "1.0"],
    );
    assert.deepEqual(
      runtime.refused.map(({ row }) => row.n),
      [4],
    );
    assert.match(runtime.refused[0]!.message, /column "word"/);
  });

  it("rows keep their lineage; where there are more than before, they get one of their own", async () => {
    const { made, out } = operator(words());
    const lineage = { origin: "split:0", first: 7 };
    await made.process(withLineage(numbers(1, 1), lineage));
    await made.process(withLineage(numbers(2, 1), lineage));
    assert.deepEqual(lineageOf(out[0]!), lineage);
    assert.equal(lineageOf(out[1]!)?.origin, "split:0.7");
  });

  it("what a function throws, and rows that it does not say the origin of, fail the job and name operator and function", async () => {
    const fails = (apply: ColumnFunction<typeof to>["apply"], message: RegExp) =>
      assert.rejects(operator({ name: "odd", to, check: () => {}, apply }).made.process(numbers(1, 2)), (error) => {
        assert.ok(MillraceError.is(error) && error.code === "MILL_OPERATOR_FAILED");
        assert.match(error.message, message);
        return true;
      });
    await fails(() => Promise.reject(new Error("odd")), /operator "apply": odd threw: odd/);
    const one = [{ word: "one" }] as Row<typeof to>[];
    await fails(async () => ({ batch: batchFromRows(to, one) }), /odd made 1 rows of 2/);
  });
});
