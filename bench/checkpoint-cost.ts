/**
 * What a checkpoint each second costs: rows per second of a pipeline that is busy with hashing (16 KiB a row) and calls a service, in
 * windows in which it takes one each second on MinIO, against windows in which it takes none. Rows that are at the service are in the
 * snapshot without their payload, because nobody reads it behind the call.
 *
 * Blocks of four windows of one job are compared (`blocks.ts`); `ratio` is the mean of their logarithms without the outermost fifth, and
 * `ratio_error` its standard error. All windows write what comes out of the job, as it comes. The job is in a process of its own, which keeps
 * memory as hosts do; checkpoints are asked of it over its HTTP API, from here.
 */
import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type MinioServer, startMinio } from "../test/servers/index.js";
import { type Block, block, type Measured, meanOf, processor, rate, throughput, totalOf } from "./blocks.js";
import { answerOf, forkAsHost } from "./child.js";
import { round } from "./embedded-job.js";

/** For each of the runs asked for. */
const BLOCKS_OF_RUN = 4;
const INTERVAL_MS = 1_000;

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
  const blocks: Block[] = [];
  try {
    const url = (await ask(job, { minio: plain(minio), folder })) as string;
    const window = async (takes: boolean) => {
      const measured = ask(job, "measure") as Promise<Measured>;
      if (takes) await checkpointEachSecond(url, measured);
      return measured;
    };
    for (let number = 0; number < options.runs * BLOCKS_OF_RUN; number++) {
      const one = await block(number, window);
      blocks.push(one);
      const [on, off] = [rate(one.on).toFixed(0), rate(one.off).toFixed(0)];
      options.log(
        `block ${number + 1}: ${on} rows/s with a checkpoint each second, ${off} with none, ${round(throughput(one))}, load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
    await ask(job, "end");
  } finally {
    job.kill("SIGKILL");
    await minio.stop();
    await rm(folder, { recursive: true, force: true });
  }
  const total = totalOf(blocks);
  const { ratio, error } = meanOf(blocks.map(throughput));
  return {
    name: "checkpoint-cost",
    each_second_rows_per_s: round(rate(total.on)),
    none_rows_per_s: round(rate(total.off)),
    ratio: round(ratio),
    ratio_error: round(error),
    cpu_ratio: round(meanOf(blocks.map(processor)).ratio),
    ratios: blocks.map((one) => round(throughput(one))),
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
  } while (!(await Promise.race([over, pause(INTERVAL_MS, false)])));
}

/** Without its methods: for another process. */
function plain(minio: MinioServer): MinioServer {
  return JSON.parse(JSON.stringify(minio)) as MinioServer;
}
