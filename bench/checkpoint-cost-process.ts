/**
 * The process of `checkpoint-cost.ts` that holds the job. It is told where MinIO is, says where its jobs are asked for, and measures windows
 * until it is told no more.
 */
import { setTimeout as pause } from "node:timers/promises";
import { freePort } from "../test/servers/minio.js";
import { countRowsRead, measured } from "./blocks.js";
import type { Settings } from "./checkpoint-cost.js";
import { startNumbers } from "./embedded-job.js";

/** Four checkpoints. */
const WINDOW_MS = 4_000;
/** Compiling, filling windows. */
const WARM_UP_MS = 8_000;
/** More than there is time for. */
const ROWS = 20_000_000;

countRowsRead();
process.once("disconnect", () => process.exit());
process.once("message", async ({ minio, folder }: Settings) => {
  const port = await freePort();
  const params = { count: String(ROWS), bytes: "16384", intervalMs: "0", output: `${folder}/out` };
  const job = await startNumbers(minio, folder, params, { host: "127.0.0.1", port });
  await pause(WARM_UP_MS);
  process.on("message", async (what: "measure" | "end") => {
    if (what === "measure") return process.send?.(await measured(pause(WINDOW_MS)));
    await job.cancel();
    await job.close();
    return process.send?.("ended", () => process.exit());
  });
  process.send?.(`http://127.0.0.1:${port}/v1/jobs/${job.job}`);
});
