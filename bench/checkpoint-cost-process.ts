/**
 * The process of `checkpoint-cost.ts` that holds the job. It is told where MinIO is, says where its jobs are asked for, and measures windows
 * until it is told no more.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { JobHandle } from "../src/cli/job-handle.js";
import { freePort } from "../test/servers/minio.js";
import type { Settings } from "./checkpoint-cost.js";
import { startNumbers } from "./embedded-job.js";

const WINDOW_MS = 9_000;
/** The first checkpoints of a window also have to do with what has come without one: they are not judged. */
const SKIPPED_MS = 3_000;
const LOOK_MS = 20;
/** Compiling, filling windows. */
const WARM_UP_MS = 8_000;
/** More than there is time for. */
const ROWS = 20_000_000;

process.once("disconnect", () => process.exit());
process.once("message", async ({ minio, folder }: Settings) => {
  const port = await freePort();
  const params = { count: String(ROWS), bytes: "16384", intervalMs: "0", output: `${folder}/out` };
  const job = await startNumbers(minio, folder, params, { host: "127.0.0.1", port });
  await pause(WARM_UP_MS);
  process.on("message", async (what: "measure" | "end") => {
    if (what === "measure") return process.send?.(await rowsPerSecond(job));
    await job.cancel();
    await job.close();
    return process.send?.("ended", () => process.exit());
  });
  process.send?.(`http://127.0.0.1:${port}/v1/jobs/${job.job}`);
});

/** Between the first and the last report of a window, as far as they say something new. */
async function rowsPerSecond(job: JobHandle): Promise<number> {
  const seen: { readonly rows: number; readonly ms: number }[] = [];
  const beginMs = performance.now();
  while (performance.now() - beginMs < WINDOW_MS) {
    const rows = Number((await job.report()).rowsWritten);
    const isJudged = performance.now() - beginMs > SKIPPED_MS;
    if (isJudged && seen.at(-1)?.rows !== rows) seen.push({ rows, ms: performance.now() });
    await pause(LOOK_MS);
  }
  // The first look finds what was said before it.
  const [first, last] = [seen[1], seen.at(-1)];
  if (first === undefined || last === undefined || last.ms === first.ms) throw new Error("no rows were written");
  return ((last.rows - first.rows) / (last.ms - first.ms)) * 1_000;
}
