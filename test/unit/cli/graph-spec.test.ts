import assert from "node:assert/strict";
import { graphOf } from "../../../src/cli/graph-spec.js";
import { planTopology } from "../../../src/plan/plan.js";
import type { TopologyBuilder } from "../../../src/topology/topology.js";
import { t } from "../../../src/types/columns.js";
import { built, nowhere, pageColumns, pages, serviceOf } from "../topology/support.js";

function graph(define: (job: TopologyBuilder) => void) {
  const topology = built(define);
  return graphOf(topology, planTopology(topology, { parallelism: 2 }));
}

const edge = (operator: string, exchange: string, durable = false) => ({ operator, exchange, durable });

describe("cli/graph-spec: the graph in a job's spec", () => {
  it("names what each operator reads and how, the service it calls, and the operator that its actors are named by", () => {
    const reader = serviceOf("reader", { name: t.utf8 }, { language: t.utf8 });
    const operators = graph((job) => {
      job
        .read(pages, { id: "pages" })
        .infer(reader, { id: "read" })
        .keyBy("name")
        .reduce({ id: "count", to: { count: t.int64 } }, (so) => ({ count: (so?.count ?? 0n) + 1n }))
        .to(nowhere, { id: "out" });
    });
    assert.deepEqual(operators, [
      { operator: "pages", inputs: [], service: "", chain: "pages" },
      { operator: "read", inputs: [edge("pages", "chained")], service: "reader", chain: "pages" },
      { operator: "keyBy-1", inputs: [edge("read", "chained")], service: "", chain: "pages" },
      { operator: "count", inputs: [edge("keyBy-1", "hash")], service: "", chain: "count" },
      { operator: "out", inputs: [edge("count", "chained")], service: "", chain: "count" },
    ]);
  });

  it("tells a log between regions from channels, and several inputs from one", () => {
    const operators = graph((job) => {
      const rows = job.read(pages, { id: "pages" });
      const same = (id: string) => rows.mapRows({ id, to: pageColumns }, (row) => row);
      job.union(same("a"), same("b").isolate()).durable({ id: "log" }).to(nowhere, { id: "out" });
    });
    const inputs = new Map(operators.map((one) => [one.operator, one.inputs]));
    // With `a` it would read, over `b`, what its own actor writes.
    assert.deepEqual(inputs.get("union-1"), [edge("a", "forward"), edge("b", "chained")]);
    assert.deepEqual(inputs.get("log"), [edge("union-1", "forward", true)]);
    assert.deepEqual(inputs.get("out"), [edge("log", "chained")]);
  });
});
