import assert from "node:assert/strict";
import type { OperatorNode } from "../../../src/topology/nodes.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pages, serviceOf } from "./support.js";

const named = serviceOf("named", { name: t.utf8 }, { language: t.utf8 });
const measure = serviceOf("measure", { text: t.utf8 }, { score: t.float64 });
const sized = serviceOf("sized", { size: t.int32 }, { weight: t.float64 });

/** `id: what it emits < what it reads`, without sources and sinks. */
function flow(operators: readonly OperatorNode[]): string[] {
  return operators
    .filter(({ kind }) => kind !== "source" && kind !== "sink")
    .map(({ id, columns, inputs }) => `${id}: ${Object.keys(columns).join(" ")} < ${inputs.join(" ")}`);
}

describe("topology/narrow-calls: columns that nobody reads behind a call", () => {
  it("are dropped before it, by an operator of its own (N1, N2)", () => {
    const { operators } = built((job) => {
      job.read(pages, { id: "pages" }).infer(named, { id: "call" }).select("language", "size").to(nowhere);
    });
    assert.deepEqual(flow(operators), [
      "call-columns: name size < pages",
      "call: name size language < call-columns",
      "select-1: language size < call",
    ]);
  });

  it("are those that no reader selects, where there are several", () => {
    const { operators } = built((job) => {
      const called = job.read(pages, { id: "pages" }).infer(named, { id: "call" });
      called.select("language").to(nowhere);
      called.select("note").to(nowhere);
    });
    assert.deepEqual(flow(operators).slice(0, 2), [
      "call-columns: name note < pages",
      "call: name note language < call-columns",
    ]);
  });

  it("the list of a call for each element is one that it takes", () => {
    const { operators } = built((job) => {
      const called = job.read(pages, { id: "pages" }).inferEach("lines", measure, { id: "call", into: "scores" });
      called.select("scores", "name").to(nowhere);
    });
    assert.deepEqual(flow(operators).slice(0, 2), [
      "call-columns: name lines < pages",
      "call: name lines scores < call-columns",
    ]);
  });

  it("of calls behind each other, what the last does not take the first need not hold (N3)", () => {
    const { operators } = built((job) => {
      job.read(pages, { id: "pages" }).infer(named, { id: "a" }).infer(sized, { id: "b" }).select("weight").to(nowhere);
    });
    assert.deepEqual(flow(operators), [
      "a-columns: name size < pages",
      "a: name size language < a-columns",
      "b-columns: size < a",
      "b: size weight < b-columns",
      "select-1: weight < b",
    ]);
  });

  it("an answer's column that takes the place of one of the same name needs nothing of it", () => {
    const renamed = serviceOf("renamed", { size: t.int32 }, { name: t.utf8 });
    const { operators } = built((job) => {
      job.read(pages, { id: "pages" }).infer(renamed, { id: "call" }).select("name").to(nowhere);
    });
    assert.deepEqual(flow(operators).slice(0, 2), ["call-columns: size < pages", "call: size name < call-columns"]);
  });

  it("nothing is dropped where somebody else reads the rows, or all columns are read (N2)", () => {
    const { operators } = built((job) => {
      const called = job.read(pages, { id: "pages" }).infer(named, { id: "call" });
      called.select("name").to(nowhere);
      called.filter(() => true, { id: "some" }).to(nowhere);
      const all = job.read(pages, { id: "others" }).infer(named, { id: "all" });
      all.select("name", "size", "lines", "note").to(nowhere);
    });
    assert.deepEqual(
      operators.filter(({ kind }) => kind === "infer").map(({ inputs }) => inputs),
      [["pages"], ["others"]],
    );
  });

  it("nor behind a keyBy, whose reader takes the rows in", () => {
    const { operators } = built((job) => {
      job.read(pages).keyBy("name").infer(named, { id: "call" }).select("name", "language").to(nowhere);
    });
    assert.deepEqual(operators.find(({ id }) => id === "call")?.inputs, ["keyBy-1"]);
  });

  it("an operator that has the id already keeps it", () => {
    const { operators } = built((job) => {
      const read = job.read(pages, { id: "call-columns" });
      read.infer(named, { id: "call" }).select("language").to(nowhere);
    });
    assert.deepEqual(flow(operators)[0], "call-columns-2: name < call-columns");
  });
});
