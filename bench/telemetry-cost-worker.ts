/** One embedded job, with the telemetry that its environment asks for. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realPorts } from "../src/base/real/ports.js";
import { runEmbedded } from "../src/cli/embedded.js";
import { packageRoot } from "../src/cli/packages.js";
import { readSubmission } from "../src/cli/submission.js";
import { withTelemetry } from "../src/cli/telemetry.js";
import type { Measured } from "./telemetry-cost.js";

/** Some five seconds on a machine that does nothing else. */
const ROWS = 60_000;

const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
const telemetry = await withTelemetry(realPorts(), process.env, { role: "embedded", id: `bench-${process.pid}` });
const params = { count: String(ROWS), bytes: "16384", intervalMs: "1000", output: `${folder}/out` };
const submission = await readSubmission(join(packageRoot, "bench/topologies/numbers.ts"), {
  params,
  parallelism: 0,
  cache: join(folder, "cache"),
});
const seen: { readonly rows: number; readonly ms: number; readonly cpu: number }[] = [];
const job = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports: telemetry.ports });
try {
  await job.ended((report) => {
    const rows = Number(report.rowsWritten);
    if (rows < ROWS / 10 || rows > (ROWS * 9) / 10) return;
    const { user, system } = process.cpuUsage();
    seen.push({ rows, ms: performance.now(), cpu: user + system });
  });
} finally {
  await job.close();
  await telemetry.close();
  await rm(folder, { recursive: true, force: true });
}
const [first, last] = [seen[0], seen.at(-1)];
if (first === undefined || last === undefined || last.ms === first.ms) throw new Error("the job was too short");
const rows = last.rows - first.rows;
const measured: Measured = {
  rowsPerSecond: (rows / (last.ms - first.ms)) * 1_000,
  cpuMicrosPerRow: (last.cpu - first.cpu) / rows,
};
process.send?.(measured, () => process.exit());
