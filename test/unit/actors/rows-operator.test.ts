import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { RowsOperator } from "../../../src/actors/rows-operator.js";
import type { RowsNode } from "../../../src/topology/nodes.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { gate, numbered, numbers, op, rows, testRuntime } from "./support.js";

const labelled = { label: t.utf8 };

function operator(
  kind: RowsNode["kind"],
  fn: (row: { n: number }) => unknown,
  options: { readonly concurrency?: number; readonly columns?: Columns } = {},
) {
  const runtime = testRuntime();
  const out: RecordBatch[] = [];
  const node: RowsNode = {
    id: op("rows"),
    kind,
    columns: options.columns ?? labelled,
    inputs: [op("in")],
    parallelism: undefined,
    isolated: false,
    fn: fn as RowsNode["fn"],
    concurrency: options.concurrency ?? 1,
  };
  const made = new RowsOperator(node, numbered, runtime, runtime, (batch) => void out.push(batch));
  const labels = () => rows(labelled, out).map((row) => row.label);
  const refused = () => runtime.refused.map(({ row, code }) => [row.n, code]);
  return { made, out, runtime, labels, refused };
}

describe("actors/rows-operator: row functions on batches", () => {
  it("a row whose function throws is refused alone, with its reason (O1)", async () => {
    const { made, labels, runtime, refused } = operator("mapRows", ({ n }) => {
      if (n === 2) throw new Error("no twos");
      return { label: `${n}` };
    });
    await made.process(numbers(1, 2, 3));
    assert.deepEqual(labels(), ["1", "3"]);
    assert.deepEqual(refused(), [[2, "MILL_OPERATOR_FAILED"]]);
    assert.match(runtime.refused[0]!.message, /no twos/);
  });

  it("a row whose promise rejects is refused alone (O1)", async () => {
    const { made, labels, refused } = operator("mapRows", async ({ n }) => {
      if (n === 2) throw new Error("no twos");
      return { label: `${n}` };
    });
    await made.process(numbers(1, 2, 3));
    assert.deepEqual(labels(), ["1", "3"]);
    assert.deepEqual(refused(), [[2, "MILL_OPERATOR_FAILED"]]);
  });

  it("a value that does not fit its column refuses its row alone and names the column (O1)", async () => {
    const { made, labels, runtime, refused } = operator("mapRows", ({ n }) => ({ label: n === 1 ? 7 : `${n}` }));
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
    assert.match(runtime.refused[0]!.message, /label/);
  });

  for (const [what, value] of [
    ["undefined", undefined],
    ["null", null],
    ["a number", 5],
  ] as const) {
    it(`a result that is ${what} instead of a row refuses its row alone (O1)`, async () => {
      const { made, labels, refused } = operator("mapRows", ({ n }) => (n === 1 ? value : { label: `${n}` }));
      await made.process(numbers(1, 2));
      assert.deepEqual(labels(), ["2"]);
      assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
    });
  }

  it("flatMap: a result that cannot be iterated refuses its row alone (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", ({ n }) => (n === 1 ? undefined : [{ label: `${n}` }]));
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_OPERATOR_FAILED"]]);
  });

  it("flatMap: an iterable that throws half-way refuses its row whole (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", function* ({ n }) {
      yield { label: `${n}a` };
      if (n === 1) throw new Error("half-way");
      yield { label: `${n}b` };
    });
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2a", "2b"]);
    assert.deepEqual(refused(), [[1, "MILL_OPERATOR_FAILED"]]);
  });

  it("flatMap: a row with two results that do not fit is refused once, and its good ones do not go on (O1)", async () => {
    const { made, labels, refused } = operator("flatMap", ({ n }) =>
      n === 1 ? [{ label: "1a" }, { label: 7 }, { label: 8 }] : [{ label: `${n}` }],
    );
    await made.process(numbers(1, 2));
    assert.deepEqual(labels(), ["2"]);
    assert.deepEqual(refused(), [[1, "MILL_RECORD_INVALID"]]);
  });

  it("flatMap to no rows emits no batch", async () => {
    const { made, out, refused } = operator("flatMap", () => []);
    await made.process(numbers(1, 2));
    assert.deepEqual([out.length, refused()], [0, []]);
  });

  it("filter keeps the rows for which the function says so, whole", async () => {
    const { made, out } = operator("filter", ({ n }) => n % 2 === 1, { columns: numbered });
    await made.process(numbers(1, 2, 3));
    assert.deepEqual(rows(numbered, out), [{ n: 1 }, { n: 3 }]);
  });

  it("concurrency bounds the calls under way, and results keep the order of their rows (O2)", async () => {
    const gates = new Map([1, 2, 3, 4, 5].map((n) => [n, gate()]));
    let underWay = 0;
    let most = 0;
    const { made, labels } = operator(
      "mapRows",
      async ({ n }) => {
        most = Math.max(most, ++underWay);
        if (n < 5) gates.get(n + 1)!.open(); // each is done only after its successor
        if (n % 3 !== 0) await Promise.race([gates.get(n)!.promise, new Promise((resolve) => setImmediate(resolve))]);
        underWay--;
        return { label: `${n}` };
      },
      { concurrency: 3 },
    );
    await made.process(numbers(1, 2, 3, 4, 5));
    assert.deepEqual(labels(), ["1", "2", "3", "4", "5"]);
    assert.equal(most, 3);
  });
});
