/**
 * What telemetry costs: rows per second of a pipeline that hashes (16 KiB a row) and calls a service, with traces (the default sampler, as
 * `sampling` says) and metrics sent to a receiver in another process, over the same without.
 *
 * Windows of two jobs in one process take turns, and which of two comes first changes from pair to pair: whatever else the machine does, it
 * does to both, and both run the same compiled code. Neighbours still differ by a tenth, most of it by garbage collection, so there are
 * many short ones, and `ratio_error` says how far their median is to be trusted (standard error, from the quartiles). The job that is started first
 * in a process is faster or slower throughout, so there are several processes, and every other one starts the other job first.
 *
 * What is sent goes out in any window, so what that takes is not in `ratio` and `cpu_ratio`. It is in `steps_share`, which depends on the
 * machine's other work the least: processor time that telemetry itself takes for a batch, sending included, over all that a batch takes.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { SAMPLED_RATIO } from "../src/telemetry/otlp.js";
import { percentile, round } from "./embedded-job.js";

/** Of the topology `numbers`. */
const ROWS_OF_BATCH = 64;
/** For each of the runs asked for. */
const PAIRS_OF_RUN = 20;
/** Compiling. */
const PAIRS_SKIPPED = 8;

export interface Measured {
  readonly rowsPerSecond: number;
  /** Of the process that holds the actors. */
  readonly cpuMicrosPerRow: number;
}

interface Pair {
  readonly on: Measured;
  readonly off: Measured;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const receiver = start("telemetry-cost-receiver.js", {});
  try {
    const [endpoint] = (await once(receiver, "message")) as [string];
    const on = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
    const pairs: Pair[] = [];
    for (let run = 0; run < 2 * Math.ceil(options.runs / 2); run++) {
      const of = await measure(on, run % 2 === 0 ? ["on", "off"] : ["off", "on"], options.log);
      options.log(`run ${run + 1}: ${round(percentile(of.map(ratioOf), 0.5))}`);
      pairs.push(...of);
    }
    const steps = (await stepsOf(on)) - (await stepsOf({}));
    const median = (of: (pair: Pair) => number) => percentile(pairs.map(of), 0.5);
    receiver.send("how much");
    const [requests] = (await once(receiver, "message")) as [number];
    return {
      name: "telemetry-cost",
      sampling: `parentbased_traceidratio ${SAMPLED_RATIO}`,
      on_rows_per_s: round(median((pair) => pair.on.rowsPerSecond)),
      off_rows_per_s: round(median((pair) => pair.off.rowsPerSecond)),
      ratio: round(median(ratioOf)),
      ratio_error: round(errorOf(pairs.map(ratioOf))),
      cpu_ratio: round(median((pair) => pair.off.cpuMicrosPerRow / pair.on.cpuMicrosPerRow)),
      pairs: pairs.length,
      requests_received: requests,
      steps_us_per_batch: round(steps),
      steps_share: round(steps / (ROWS_OF_BATCH * median((pair) => pair.off.cpuMicrosPerRow))),
      load: round(loadavg()[0]!),
    };
  } finally {
    receiver.kill();
  }
}

/** Of the median, as if the values were spread normally. */
function errorOf(values: readonly number[]): number {
  const deviation = (percentile(values, 0.75) - percentile(values, 0.25)) / 1.35;
  return (1.25 * deviation) / Math.sqrt(values.length);
}

const ratioOf = ({ on, off }: Pair) => on.rowsPerSecond / off.rowsPerSecond;

async function measure(env: Environment, order: readonly string[], log: (line: string) => void): Promise<Pair[]> {
  const worker = start("telemetry-cost-worker.js", env, order);
  const ask = async (what: string): Promise<Measured> => {
    worker.send(what);
    return (await answerOf(worker)) as Measured;
  };
  await answerOf(worker);
  const pairs: Pair[] = [];
  for (let turn = 0; turn < PAIRS_SKIPPED + PAIRS_OF_RUN; turn++) {
    const [one, other] = turn % 2 === 0 ? (["on", "off"] as const) : (["off", "on"] as const);
    const measured = { [one]: await ask(one), [other]: await ask(other) } as unknown as Pair;
    if (turn < PAIRS_SKIPPED) continue;
    pairs.push(measured);
    log(`pair ${pairs.length}: on ${textOf(measured.on)}, off ${textOf(measured.off)}, ${round(ratioOf(measured))}`);
  }
  await ask("end");
  return pairs;
}

/** In a process of its own: nothing else takes processor time there. */
async function stepsOf(env: Environment): Promise<number> {
  return (await answerOf(start("telemetry-cost-steps.js", env))) as number;
}

async function answerOf(child: ChildProcess): Promise<unknown> {
  const late = new AbortController();
  const ended = once(child, "exit", { signal: late.signal }).then(([status]) => {
    throw new Error(`the run ended with status ${status}`);
  });
  ended.catch(() => {});
  const [answer] = (await Promise.race([once(child, "message", { signal: late.signal }), ended])) as [unknown];
  late.abort();
  return answer;
}

function textOf({ rowsPerSecond, cpuMicrosPerRow }: Measured): string {
  return `${rowsPerSecond.toFixed(0)} rows/s, ${cpuMicrosPerRow.toFixed(1)} us of processor a row`;
}

type Environment = Readonly<Record<string, string>>;

function start(program: string, env: Environment, args: readonly string[] = []): ChildProcess {
  const plain = Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_"));
  const file = fileURLToPath(new URL(program, import.meta.url));
  return fork(file, [...args], { env: { ...Object.fromEntries(plain), ...env } });
}
