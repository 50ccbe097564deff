import assert from "node:assert/strict";
import type { JobHandle } from "../../../src/cli/job-handle.js";
import { summary } from "../../../src/cli/watch-job.js";
import type { Topology } from "../../../src/topology/nodes.js";
import type { JobReport } from "../../../src/wire/control.js";

const topology = { unit: "files", operators: [], deadLetters: "bad" } as unknown as Topology;
const job = { job: "orders-1" } as JobHandle;

function said(counts: Partial<JobReport>): string[] {
  const report = { startedMs: 1_000n, finishedMs: 1_400n, services: [], ...counts } as unknown as JobReport;
  return summary(job, report, topology, "/out").trimEnd().split("\n");
}

describe("cli/watch-job: what is said of a job that has finished", () => {
  it("what was read and what was written are counted apart: a file with good rows and a bad one is not nothing", () => {
    assert.deepEqual(said({ rowsRead: 1n, rowsWritten: 2n, deadLetters: 1n }), [
      "job orders-1 finished: 1 file read, 2 rows written in 0.4 s",
      "  1 bad record, each with its reason: /out/bad",
    ]);
  });

  it("without bad records nothing is said of them", () => {
    assert.deepEqual(said({ rowsRead: 31n, rowsWritten: 1n, deadLetters: 0n }), [
      "job orders-1 finished: 31 files read, 1 row written in 0.4 s",
    ]);
  });
});
