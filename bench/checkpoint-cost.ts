/**
 * What a checkpoint each second costs: rows per second of a pipeline that is busy with hashing (16 KiB a row) and calls a
 * service, with a checkpoint each second on MinIO, over the same with none but the last; in turn.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MinioServer, startMinio } from "../test/servers/index.js";
import { percentile, round, startNumbers } from "./embedded-job.js";

/** Some ten seconds, and as many checkpoints: in shorter runs the machine's moods are larger than what is measured. */
const ROWS = 300_000;

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const minio = await startMinio();
  const [each, none]: [number[], number[]] = [[], []];
  try {
    for (let turn = 1; turn <= options.runs; turn++) {
      none.push(await rowsPerSecond("0", minio));
      each.push(await rowsPerSecond("1000", minio));
      const [a, b] = [each.at(-1)!.toFixed(0), none.at(-1)!.toFixed(0)];
      options.log(`run ${turn}: ${a} rows/s with a checkpoint each second, ${b} rows/s with none`);
    }
  } finally {
    await minio.stop();
  }
  const [withEach, withNone] = [percentile(each, 0.5), percentile(none, 0.5)];
  return {
    name: "checkpoint-cost",
    each_second_rows_per_s: round(withEach),
    none_rows_per_s: round(withNone),
    ratio: round(withEach / withNone),
  };
}

/** Between a tenth of the rows and all but a tenth. */
async function rowsPerSecond(intervalMs: string, minio: MinioServer): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const params = { count: String(ROWS), bytes: "16384", intervalMs, output: `${folder}/out` };
  const job = await startNumbers(minio, folder, params);
  const seen: { readonly rows: number; readonly ms: number }[] = [];
  try {
    await job.ended((report) => {
      const rows = Number(report.rowsWritten);
      if (rows >= ROWS / 10 && rows <= (ROWS * 9) / 10) seen.push({ rows, ms: performance.now() });
    });
  } finally {
    await job.close();
    await rm(folder, { recursive: true, force: true });
  }
  const [first, last] = [seen[0], seen.at(-1)];
  if (first === undefined || last === undefined || last.ms === first.ms) throw new Error("the job was too short");
  return ((last.rows - first.rows) / (last.ms - first.ms)) * 1_000;
}
