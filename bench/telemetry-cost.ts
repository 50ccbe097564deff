/**
 * What telemetry costs: rows per second of a pipeline that hashes (16 KiB a row) and calls a service, with traces (the default sampler, as
 * `sampling` says) and metrics sent to a receiver in another process, over the same without.
 *
 * Many blocks of short windows of one job are compared (`blocks.ts`), in which its telemetry is on or off; `ratio` is the mean of their logarithms
 * without the outermost fifth, and `ratio_error` is its standard error.
 *
 * Where it is off, the calls to it are still made; what they take by themselves is measured apart (`calls_us_per_batch`) and taken off `ratio`.
 * What is sent goes out in any window, and instances, which are processes of their own, go on telling. Both are in `steps_share`, which depends on the
 * machine's other work the least: processor time that telemetry itself takes for a batch, sending included, over all that a batch takes.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { loadavg } from "node:os";
import { SAMPLED_RATIO } from "../src/telemetry/otlp.js";
import { type Block, meanOf, processor, rate, throughput, totalOf } from "./blocks.js";
import { answerOf, forkAsHost } from "./child.js";
import { round } from "./embedded-job.js";

/** Of the topology `numbers`. */
const ROWS_OF_BATCH = 64;
/** For each of the runs asked for, each in a process of its own. */
const BLOCKS_OF_RUN = 100;
/** Compiling. */
const BLOCKS_SKIPPED = 20;

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const receiver = start("telemetry-cost-receiver.js", {});
  try {
    const [endpoint] = (await once(receiver, "message")) as [string];
    const on = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
    const blocks: Block[] = [];
    for (let run = 1; run <= options.runs; run++) {
      const of = await measure(on);
      const { ratio, error } = meanOf(of.map(throughput));
      options.log(`run ${run}: ${round(ratio)} (error ${round(error)}), load ${loadavg()[0]!.toFixed(1)}`);
      blocks.push(...of);
    }
    const without = await stepsOf({});
    const steps = (await stepsOf(on)) - without;
    const calls = (await stepsOf(on, "turned-off")) - without;
    const { on: all, off: none } = totalOf(blocks);
    const batchMicros = (ROWS_OF_BATCH * none.cpuMicros) / none.rows;
    const { ratio, error } = meanOf(blocks.map(throughput));
    receiver.send("how much");
    const [requests] = (await once(receiver, "message")) as [number];
    return {
      name: "telemetry-cost",
      sampling: SAMPLED_RATIO,
      on_rows_per_s: round(rate(all)),
      off_rows_per_s: round(rate(none)),
      ratio: round(ratio * (1 - calls / batchMicros)),
      ratio_error: round(error),
      cpu_ratio: round(meanOf(blocks.map(processor)).ratio),
      blocks: blocks.length,
      requests_received: requests,
      steps_us_per_batch: round(steps),
      calls_us_per_batch: round(calls),
      steps_share: round(steps / batchMicros),
      load: round(loadavg()[0]!),
    };
  } finally {
    receiver.kill();
  }
}

async function measure(env: Environment): Promise<Block[]> {
  const worker = start("telemetry-cost-worker.js", env);
  await answerOf(worker);
  const ask = async (blocks: number) => {
    worker.send(blocks);
    return answerOf(worker);
  };
  const blocks = (await ask(BLOCKS_SKIPPED + BLOCKS_OF_RUN)) as Block[];
  await ask(0);
  return blocks.slice(BLOCKS_SKIPPED);
}

/** In a process of its own: nothing else takes processor time there. */
async function stepsOf(env: Environment, ...args: readonly string[]): Promise<number> {
  return (await answerOf(start("telemetry-cost-steps.js", env, args))) as number;
}

type Environment = Readonly<Record<string, string>>;

function start(program: string, env: Environment, args: readonly string[] = []): ChildProcess {
  const plain = Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_"));
  return forkAsHost(program, args, { ...Object.fromEntries(plain), ...env });
}
