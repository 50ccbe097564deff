/** Requests in flight whose rows go to several instances. */
import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { keysInto } from "../../../src/actors/keys-into.js";
import { splitCalls } from "../../../src/actors/split-calls.js";
import type { InferNode, OperatorNode } from "../../../src/topology/nodes.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, type Columns, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch } from "../../../src/wire/arrow.js";
import type { InferCall } from "../../../src/wire/stored.js";
import { built, nowhere, serviceOf, sourceOf } from "../topology/support.js";

const words = { word: t.utf8 };
const answer = { answer: t.utf8 };
const lists = { id: t.int32, words: t.list(t.struct(words)) };
const topology = built((job) => {
  const ask = serviceOf("ask", words, answer);
  job.read(sourceOf(words), { id: "in" }).keyBy("word").infer(ask, { id: "each" }).to(nowhere, { id: "out" });
  job
    .read(sourceOf(lists), { id: "lists" })
    .keyBy("id")
    .inferEach("words", ask, { id: "inner", into: "answers" })
    .to(nowhere, { id: "lists-out" });
});
const nodeOf = (id: string) => topology.operators.find((node) => node.id === id) as InferNode;
const encoded = (columns: Columns, rows: readonly object[]) =>
  Buffer.concat(encodeBatch(batchFromRows(columns, rows as never) as unknown as RecordBatch));
const open = (call: Partial<InferCall> & { start: number; rows: number }): InferCall => {
  return { answer: null, rejected: [], code: "", message: "", ...call };
};
const refusal = (row: number) => ({ row, code: "MILL_RECORD_INVALID", message: "bad" });
const answersOf = (blob: Uint8Array) =>
  (rowsOf(answer, decodeBatch(arrowSchema(answer), blob) as never) as { answer: string }[]).map((row) => row.answer);

describe("actors/split-calls: requests in flight of several keys", () => {
  it("each row with its answer, refusal or failure, in order; what was handed on is in none (K1, K2)", () => {
    const all = [..."abcdefg"].map((word) => ({ word }));
    const blobs = [
      encoded(words, all),
      encoded(
        answer,
        [..."ABC"].map((one) => ({ answer: one })),
      ),
    ];
    const calls = [
      open({ start: 0, rows: 3, answer: 1, rejected: [refusal(2)] }),
      open({ start: 3, rows: 2, code: "MILL_SERVICE_FAILED", message: "no" }),
      open({ start: 5, rows: 2 }),
    ];
    const parts = splitCalls({ batch: 0, done: 1, calls }, blobs, { node: nodeOf("each"), input: words }, () => {
      return (row) => row % 2;
    });
    const shown = parts.map(({ target, entry, blobs: own }) => ({
      target,
      rows: rowsOf(words, decodeBatch(arrowSchema(words), own[entry.batch]!) as never).map((row) => row.word),
      calls: entry.calls.map(({ start, rows, answer: blob, rejected, code }) => {
        return [start, rows, blob === null ? "" : answersOf(own[blob]!).join(""), rejected.map(({ row }) => row), code];
      }),
      done: entry.done,
    }));
    assert.deepEqual(shown, [
      {
        target: 1,
        rows: ["b", "d", "f"],
        calls: [
          [0, 1, "B", [], ""],
          [1, 1, "", [], "MILL_SERVICE_FAILED"],
          [2, 1, "", [], ""],
        ],
        done: 0,
      },
      {
        target: 0,
        rows: ["c", "e", "g"],
        calls: [
          [0, 1, "C", [0], ""],
          [1, 1, "", [], "MILL_SERVICE_FAILED"],
          [2, 1, "", [], ""],
        ],
        done: 0,
      },
    ]);
  });

  it("elements of a list go with their row, also where a call spans rows (K1, K2)", () => {
    const rows = [
      { id: 0, words: [{ word: "a" }, { word: "b" }] },
      { id: 1, words: [] },
      { id: 2, words: [{ word: "c" }] },
      { id: 3, words: [{ word: "d" }] },
    ];
    const blobs = [
      encoded(lists, rows),
      encoded(
        answer,
        [..."ABC"].map((one) => ({ answer: one })),
      ),
    ];
    const calls = [open({ start: 0, rows: 3, answer: 1 }), open({ start: 3, rows: 1 })];
    const parts = splitCalls({ batch: 0, done: 0, calls }, blobs, { node: nodeOf("inner"), input: lists }, () => {
      return (row) => (row < 2 ? 0 : 1);
    });
    const shown = parts.map(({ target, entry, blobs: own }) => [
      target,
      (rowsOf(lists, decodeBatch(arrowSchema(lists), own[entry.batch]!) as never) as { id: number }[]).map(
        ({ id }) => id,
      ),
      entry.calls.map(({ start, rows: count, answer: blob }) => {
        return [start, count, blob === null ? "" : answersOf(own[blob]!).join("")];
      }),
    ]);
    assert.deepEqual(shown, [
      [0, [0, 1], [[0, 2, "AB"]]],
      [
        1,
        [2, 3],
        [
          [0, 1, "C"],
          [1, 1, ""],
        ],
      ],
    ]);
  });
});

describe("actors/keys-into: where keys decide which instance a row comes to", () => {
  const chain = built((job) => {
    const ask = serviceOf("ask", words, answer);
    job
      .read(sourceOf(words), { id: "in" })
      .keyBy("word")
      .durable({ id: "between" })
      .filter(() => true)
      .infer(ask, { id: "asked" })
      .select("word")
      .mapRows({ id: "changed", to: words }, (row) => row)
      .infer(ask, { id: "late" })
      .to(nowhere, { id: "out" });
  });
  const nodes = new Map<string, OperatorNode>(chain.operators.map((node) => [node.id, node]));
  const into = (operator: string, parallelismOf = (_: string) => 2) => keysInto(operator, nodes, parallelismOf);

  it("behind operators that leave columns as they are, up to a function of the user (rule 10)", () => {
    for (const operator of ["between", "filter-1", "asked", "changed"])
      assert.deepEqual(into(operator), ["word"], operator);
    for (const operator of ["in", "late", "out"]) assert.equal(into(operator), undefined, operator);
  });

  it("not behind a change of the number of instances: rows take turns there", () => {
    assert.equal(
      into("asked", (operator) => (operator === "filter-1" ? 2 : 3)),
      undefined,
    );
  });
});
