/**
 * What a checkpoint each second costs: rows per second of a pipeline that is busy with hashing (16 KiB a row) and calls a service, in
 * windows in which it takes one each second on MinIO, against windows in which it takes none.
 *
 * All windows are of one job: two runs of the same pipeline differ by a tenth, because of what else the machine does, where threads
 * land, and how code was compiled. Neighbours are compared, and which of two comes first changes from pair to pair.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { JobHandle } from "../src/cli/job-handle.js";
import { startMinio } from "../test/servers/index.js";
import { freePort } from "../test/servers/minio.js";
import { percentile, round, startNumbers } from "./embedded-job.js";

const WINDOW_MS = 9_000;
/** The first checkpoints of a window also have to do with what has come without one: they are not judged. */
const SKIPPED_MS = 3_000;
/** For each of the runs asked for. */
const PAIRS_OF_RUN = 3;
const LOOK_MS = 20;
/** Compiling, filling windows. */
const WARM_UP_MS = 8_000;
/** More than there is time for. */
const ROWS = 20_000_000;

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const minio = await startMinio();
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const port = await freePort();
  const params = { count: String(ROWS), bytes: "16384", intervalMs: "0", output: `${folder}/out` };
  const job = await startNumbers(minio, folder, params, { host: "127.0.0.1", port });
  const checkpoints = `http://127.0.0.1:${port}/v1/jobs/${job.job}/checkpoints`;
  const [each, none]: [number[], number[]] = [[], []];
  try {
    await pause(WARM_UP_MS);
    for (let pair = 0; pair < options.runs * PAIRS_OF_RUN; pair++) {
      for (const first of [true, false]) {
        const takes = first === (pair % 2 === 0);
        if (takes) each.push(await rowsPerSecond(job, checkpoints));
        else none.push(await rowsPerSecond(job, undefined));
      }
      const [a, b] = [each.at(-1)!, none.at(-1)!];
      options.log(
        `pair ${pair + 1}: ${a.toFixed(0)} rows/s with a checkpoint each second, ${b.toFixed(0)} with none, ${round(a / b)}, load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
  } finally {
    await job.cancel();
    await job.close();
    await minio.stop();
    await rm(folder, { recursive: true, force: true });
  }
  const ratios = each.map((one, i) => round(one / none[i]!));
  return {
    name: "checkpoint-cost",
    each_second_rows_per_s: round(percentile(each, 0.5)),
    none_rows_per_s: round(percentile(none, 0.5)),
    ratio: round(percentile(ratios, 0.5)),
    ratios,
  };
}

/** Between the first and the last report of a window, as far as they say something new. @param checkpoints where to ask for them */
async function rowsPerSecond(job: JobHandle, checkpoints: string | undefined): Promise<number> {
  const seen: { readonly rows: number; readonly ms: number }[] = [];
  const beginMs = performance.now();
  let asked = 0;
  while (performance.now() - beginMs < WINDOW_MS) {
    if (checkpoints !== undefined && performance.now() - beginMs >= asked * 1_000) {
      asked += 1;
      const answer = await fetch(checkpoints, { method: "POST" });
      if (answer.status !== 202) throw new Error(await answer.text());
      await answer.text();
    }
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
