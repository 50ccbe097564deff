import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { JobId } from "../../../src/base/ids.js";
import type { Ports } from "../../../src/base/ports.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { jobSpec, newJobId, readSubmission } from "../../../src/cli/submission.js";
import { contractOf } from "../../../src/services/declared-service.js";
import { useFolders } from "./folders.js";

const SERVED = `import { batchFromRows, files, jsonl, service, t, topology } from "millrace";
const output = { kind: t.utf8 };
const kinds = service("kinds", {
  input: { name: t.utf8 },
  output,
  instances: 3,
  resources: { cpu: 2, gpu: { count: 0.5, memory: 7, optional: true } },
  load: { timeoutMs: 7_000, attemptsMax: 5 },
  handler: {
    kind: "constant",
    assets: { list: "kinds.txt" },
    load: async () => ({ infer: async ({ numRows }) => batchFromRows(output, Array(numRows).fill({ kind: "a" })) }),
  },
});
export default topology(
  "served",
  (job) => {
    const texts = job.read(files(job.param("input", "*.txt")), { id: "texts" }).resources({ memory: 1_000 });
    texts.infer(kinds, { id: "ask" }).to(jsonl("out"));
  },
  { unit: "files" },
);
`;

const NOTHING = { cpu: 0, memoryBytes: 0n, gpuThousandths: 0, gpuKind: "", gpuMemoryBytes: 0n, gpuOptional: false };

describe("cli/submission: from a file to a job's spec", () => {
  const makeFolder = useFolders();

  async function submission() {
    const folder = await makeFolder({ "served.ts": SERVED, "kinds.txt": "a\nb\n" });
    const cache = await makeFolder({});
    const options = { params: { input: "*.md" }, parallelism: 2, cache };
    return { folder, cache, read: await readSubmission(join(folder, "served.ts"), options) };
  }

  it("bundles, places, loads and plans the file, and finds its assets", async () => {
    const { folder, cache, read } = await submission();
    assert.deepEqual(await readFile(read.bundleFile), Buffer.from(read.bundle.code));
    assert.ok(read.bundleFile.startsWith(cache));
    assert.equal(read.plan.actors.length, 2);
    const [source] = read.topology.operators;
    assert.equal(source?.kind === "source" && source.source.describe, "files *.md");
    assert.deepEqual(
      read.assets.map(({ path }) => path),
      [join(folder, "kinds.txt")],
    );
  });

  it("the spec says all that others need to come to the same plan", async () => {
    const { read } = await submission();
    const job = "served-1" as JobId;
    const spec = jobSpec(read, job, { texts: "s3://bucket/inputs/*" }, 1_700_000_000_000);
    const resources = { ...NOTHING, memoryBytes: 1_000n };
    const expected = {
      job,
      topology: "served",
      bundle: read.bundle.sha256,
      planHash: read.plan.hash,
      params: { input: "*.md" },
      parallelism: 2,
      inputs: { texts: "s3://bucket/inputs/*" },
      assets: [
        {
          service: "kinds",
          name: "list",
          source: "kinds.txt",
          sha256: createHash("sha256").update("a\nb\n").digest("hex"),
          sizeBytes: 4n,
        },
      ],
      actors: [
        { actor: "texts-0", region: "region-texts-0", subtask: 0, resources, gpus: [] },
        { actor: "texts-1", region: "region-texts-1", subtask: 1, resources, gpus: [] },
      ],
      services: [
        {
          service: "kinds",
          instances: 3,
          resources: {
            cpu: 2,
            memoryBytes: 0n,
            gpuThousandths: 500,
            gpuKind: "",
            gpuMemoryBytes: 7n,
            gpuOptional: true,
          },
          loadTimeoutMs: 7_000n,
          warmTimeoutMs: 120_000n,
          loadAttemptsMax: 5,
          ...contractOf(read.topology.services[0]!),
        },
      ],
      sources: ["texts"],
      unit: "files",
      submittedMs: 1_700_000_000_000n,
    };
    assert.deepEqual({ ...spec, ...expected }, spec);
  });
});

describe("cli/submission: ids of jobs", () => {
  const real = realPorts();
  const ports: Ports = { ...real, clock: { ...real.clock, nowMs: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) } };

  it("have the topology's name, the time to the second in UTC, and a random part", () => {
    assert.match(newJobId("served", ports), /^served-20260102030405-[a-z0-9]{4}$/);
    assert.notEqual(newJobId("served", ports), newJobId("served", ports));
  });

  it("are valid for the longest name of a topology", () => {
    assert.match(newJobId("x".repeat(128), ports), /^x{100}-20260102030405-[a-z0-9]{4}$/);
  });
});
