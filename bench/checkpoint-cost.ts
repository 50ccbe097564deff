/**
 * What a checkpoint each second costs: rows per second of a pipeline that is busy with hashing (16 KiB a row) and calls a service, in
 * windows in which it takes one each second on MinIO, against windows in which it takes none. Rows that are at the service are in the
 * snapshot without their payload, because nobody reads it behind the call.
 *
 * All windows are of one job: two runs of the same pipeline differ by a tenth, because of what else the machine does, where threads
 * land, and how code was compiled. Neighbours are compared, and which of two comes first changes from pair to pair. Both write what comes
 * out of the job, as it comes; `error` is what the ratio may be off by. The job is in a process of its own, which keeps memory as hosts do;
 * checkpoints are asked of it over its HTTP API, from here.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type MinioServer, startMinio } from "../test/servers/index.js";
import { answerOf, forkAsHost } from "./child.js";
import { percentile, round } from "./embedded-job.js";

/** For each of the runs asked for. */
const PAIRS_OF_RUN = 3;

export interface Settings {
  readonly minio: MinioServer;
  readonly folder: string;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const minio = await startMinio();
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const job = forkAsHost("checkpoint-cost-process.js");
  const [each, none]: [number[], number[]] = [[], []];
  try {
    const url = (await ask(job, { minio: plain(minio), folder })) as string;
    for (let pair = 0; pair < options.runs * PAIRS_OF_RUN; pair++) {
      for (const first of [true, false]) {
        const takes = first === (pair % 2 === 0);
        const measured = ask(job, "measure") as Promise<number>;
        if (takes) await checkpointEachSecond(url, measured);
        (takes ? each : none).push(await measured);
      }
      const [a, b] = [each.at(-1)!, none.at(-1)!];
      options.log(
        `pair ${pair + 1}: ${a.toFixed(0)} rows/s with a checkpoint each second, ${b.toFixed(0)} with none, ${round(a / b)}, load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
    await ask(job, "end");
  } finally {
    job.kill("SIGKILL");
    await minio.stop();
    await rm(folder, { recursive: true, force: true });
  }
  const ratios = each.map((one, i) => round(one / none[i]!));
  return {
    name: "checkpoint-cost",
    each_second_rows_per_s: round(percentile(each, 0.5)),
    none_rows_per_s: round(percentile(none, 0.5)),
    ratio: round(percentile(ratios, 0.5)),
    error: round(standardError(ratios)),
    ratios,
  };
}

async function ask(job: ChildProcess, what: Settings | "measure" | "end"): Promise<unknown> {
  job.send(what);
  return answerOf(job);
}

/** Until `measured` has settled. */
async function checkpointEachSecond(url: string, measured: Promise<unknown>): Promise<void> {
  const over = measured.then(
    () => true,
    () => true,
  );
  do {
    const answer = await fetch(`${url}/checkpoints`, { method: "POST" });
    if (answer.status !== 202) throw new Error(await answer.text());
    await answer.text();
  } while (!(await Promise.race([over, pause(1_000, false)])));
}

/** Without its methods: for another process. */
function plain(minio: MinioServer): MinioServer {
  return JSON.parse(JSON.stringify(minio)) as MinioServer;
}

/** Of their mean: what the machine does besides makes neighbours differ by more than what is measured. */
function standardError(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / Math.max(values.length - 1, 1) / values.length);
}
