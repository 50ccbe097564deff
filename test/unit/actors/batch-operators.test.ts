import assert from "node:assert/strict";
import { runInNewContext } from "node:vm";
import { RecordBatch } from "apache-arrow";
import { MapOperator, SelectOperator } from "../../../src/actors/batch-operators.js";
import type { MapNode, SelectNode } from "../../../src/topology/nodes.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";
import { op, rows, testRuntime } from "./support.js";

const abc = { a: t.utf8, b: t.utf8, c: t.int32 };
const batch = () => batchFromRows(abc, [{ a: "a", b: "b", c: 1 }]) as unknown as RecordBatch;
const base = { inputs: [op("in")], parallelism: undefined, isolated: false };

function map(columns: Columns, fn: MapNode["fn"]) {
  const out: RecordBatch[] = [];
  const node: MapNode = { id: op("parse"), kind: "map", columns, ...base, fn };
  const runtime = testRuntime();
  return { made: new MapOperator(node, runtime, runtime, (one) => void out.push(one)), out };
}

describe("actors/batch-operators: map", () => {
  it("a function that throws fails the actor, with the operator's name and the cause", async () => {
    const cause = new Error("no");
    const { made } = map(abc, () => {
      throw cause;
    });
    await assert.rejects(made.process(batch()), (error: Error & { code: string }) => {
      assert.equal(error.code, "MILL_OPERATOR_FAILED");
      assert.match(error.message, /"parse"/);
      return error.cause === cause;
    });
  });

  it("columns that were declared come out in the declared order, others not: a channel sends them by place", async () => {
    const { made, out } = map({ b: t.utf8, a: t.utf8 }, (one) => one);
    await made.process(batch());
    assert.deepEqual(
      out[0]!.schema.fields.map((field) => field.name),
      ["b", "a"],
    );
    assert.deepEqual(rows({ a: t.utf8, b: t.utf8 }, out), [{ a: "a", b: "b" }]);
  });

  for (const [what, columns, fn] of [
    ["lacks a declared column", { d: t.utf8 }, (one: RecordBatch) => one],
    ["has a declared column with another type", { c: t.utf8 }, (one: RecordBatch) => one],
    [
      "has nulls in a column that was declared without",
      { c: t.int32 },
      () => batchFromRows({ c: t.optional(t.int32) }, [{ c: null }]) as unknown as RecordBatch,
    ],
    ["is no batch", { c: t.int32 }, () => undefined as unknown as RecordBatch],
  ] as const) {
    it(`a result that ${what} fails with MILL_TOPOLOGY_TYPE that names the operator`, async () => {
      const { made } = map(columns as Columns, fn);
      await assert.rejects(made.process(batch()), { code: "MILL_TOPOLOGY_TYPE", message: /"parse"/ });
    });
  }

  it("whatever can be awaited is: the promise of another realm is no `Promise` of this one", async () => {
    const resolved = runInNewContext("(one) => Promise.resolve(one)") as (one: RecordBatch) => Promise<RecordBatch>;
    const { made, out } = map(abc, (one) => resolved(one));
    await made.process(batch());
    assert.equal(out.length, 1);
  });

  it("a result without rows is not handed on", async () => {
    const { made, out } = map(abc, () => batchFromRows(abc, []) as unknown as RecordBatch);
    await made.process(batch());
    assert.equal(out.length, 0);
  });
});

describe("actors/batch-operators: select", () => {
  for (const names of [["b"], ["c", "a"], ["b", "c"], ["c", "b", "a"]] as const) {
    it(`keeps ${names.join(", ")} with their own values, in this order`, async () => {
      const columns: Columns = Object.fromEntries(names.map((name) => [name, abc[name]]));
      const out: RecordBatch[] = [];
      const node: SelectNode = { id: op("select-1"), kind: "select", columns, ...base };
      await new SelectOperator(node, (one) => void out.push(one)).process(batch());
      const all: Record<string, unknown> = { a: "a", b: "b", c: 1 };
      assert.deepEqual(rows(columns, out), [Object.fromEntries(names.map((name) => [name, all[name]]))]);
      assert.deepEqual(
        out[0]!.schema.fields.map((field) => field.name),
        [...names],
      );
      assert.ok(out[0] instanceof RecordBatch);
    });
  }
});
