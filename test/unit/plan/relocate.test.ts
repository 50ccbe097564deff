import assert from "node:assert/strict";
import { files } from "../../../src/connectors/files.js";
import { planTopology } from "../../../src/plan/plan.js";
import { relocateSources } from "../../../src/plan/relocate.js";
import type { Topology } from "../../../src/topology/nodes.js";
import { built, nowhere, pages } from "../topology/support.js";

const topology = built((job) => {
  job.read(files("a/*.txt", { filesPerSplit: 2 }), { id: "a" }).to(nowhere);
  job.read(files("b/*.txt"), { id: "b" }).to(nowhere);
  job.read(pages, { id: "fixed" }).to(nowhere);
});

function patterns({ operators }: Topology): string[] {
  return operators.flatMap((node) => (node.kind === "source" ? [node.source.describe] : []));
}

describe("plan/relocate: the same topology, reading copies", () => {
  it("the named sources read the given pattern, all else stays, and the plan is the same", () => {
    const relocated = relocateSources(topology, { a: "s3://bucket/inputs/*" });
    assert.deepEqual(patterns(relocated), ["files s3://bucket/inputs/*", "files b/*.txt", "declared source"]);
    assert.deepEqual(patterns(topology), ["files a/*.txt", "files b/*.txt", "declared source"]);
    assert.equal(planTopology(relocated).hash, planTopology(topology).hash);
  });

  it("a relocated source keeps its options", async () => {
    const [source] = relocateSources(topology, { a: "s3://bucket/inputs/*" }).operators;
    const listed = ["1", "2", "3"].map((name) => ({ uri: `s3://bucket/inputs/${name}`, sizeBytes: 1, version: "" }));
    const content = { read: async () => new Uint8Array(), list: async () => listed };
    assert.ok(source?.kind === "source");
    const rows: number[] = [];
    for await (const split of source.source.splits({ content, signal: new AbortController().signal } as never)) {
      rows.push(split.rows);
    }
    assert.deepEqual(rows, [2, 1]);
  });

  it("a source that reads one place only is MILL_CONFIG and named", () => {
    assert.throws(() => relocateSources(topology, { fixed: "s3://bucket/*" }), {
      code: "MILL_CONFIG",
      message: 'source "fixed" (declared) cannot read from another place.',
    });
  });

  it("ids of other operators, and of none, change nothing", () => {
    assert.deepEqual(patterns(relocateSources(topology, { "sink-1": "x", nobody: "y" })), patterns(topology));
  });
});
