/**
 * What telemetry costs: rows per second of a pipeline that hashes (16 KiB a row) and calls a service, with traces (default sampler) and
 * metrics (every five seconds, twelve times as often as by default) sent to a receiver in another process, over the same without.
 *
 * The two of a pair run at the same time, each in a process of its own, so that whatever else the machine does, it does to both. Processor
 * time for a row is compared, too. On a machine that is busy both say little. `steps_share` is a lower bound that does not depend on that: what telemetry itself takes for a batch,
 * over all that a batch takes.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { percentile, round } from "./embedded-job.js";
import { stepsMicros } from "./telemetry-cost-steps.js";

/** Of the topology `numbers`. */
const ROWS_OF_BATCH = 64;

export interface Measured {
  readonly rowsPerSecond: number;
  /** Of the process that holds the actors. */
  readonly cpuMicrosPerRow: number;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const receiver = start("telemetry-cost-receiver.js", {});
  try {
    const [endpoint] = (await once(receiver, "message")) as [string];
    const on = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_METRIC_EXPORT_INTERVAL: "5000" };
    const pairs: { readonly on: Measured; readonly off: Measured }[] = [];
    for (let turn = 1; turn <= options.runs; turn++) {
      // Who is started first changes from pair to pair.
      const [first, second] = await Promise.all(
        turn % 2 === 0 ? [measure(on), measure({})] : [measure({}), measure(on)],
      );
      const pair = turn % 2 === 0 ? { on: first, off: second } : { on: second, off: first };
      pairs.push(pair);
      options.log(`run ${turn}: on ${textOf(pair.on)}, off ${textOf(pair.off)}`);
    }
    const steps = await stepsMicros();
    const cpuOff = pairs.map((pair) => pair.off.cpuMicrosPerRow);
    receiver.send("how much");
    const [requests] = (await once(receiver, "message")) as [number];
    return {
      name: "telemetry-cost",
      on_rows_per_s: round(
        percentile(
          pairs.map((pair) => pair.on.rowsPerSecond),
          0.5,
        ),
      ),
      off_rows_per_s: round(
        percentile(
          pairs.map((pair) => pair.off.rowsPerSecond),
          0.5,
        ),
      ),
      ratio: round(
        percentile(
          pairs.map((pair) => pair.on.rowsPerSecond / pair.off.rowsPerSecond),
          0.5,
        ),
      ),
      cpu_ratio: round(
        percentile(
          pairs.map((pair) => pair.off.cpuMicrosPerRow / pair.on.cpuMicrosPerRow),
          0.5,
        ),
      ),
      requests_received: requests,
      steps_us_per_batch: round(steps),
      steps_share: round(steps / (ROWS_OF_BATCH * percentile(cpuOff, 0.5))),
    };
  } finally {
    receiver.kill();
  }
}

function textOf({ rowsPerSecond, cpuMicrosPerRow }: Measured): string {
  return `${rowsPerSecond.toFixed(0)} rows/s, ${cpuMicrosPerRow.toFixed(1)} us of processor a row`;
}

async function measure(env: Readonly<Record<string, string>>): Promise<Measured> {
  const worker = start("telemetry-cost-worker.js", env);
  const ended = once(worker, "exit");
  const [measured] = (await Promise.race([once(worker, "message"), ended])) as [Measured | number | null];
  if (typeof measured !== "object" || measured === null) throw new Error(`the run ended with status ${measured}`);
  await ended;
  return measured;
}

function start(program: string, env: Readonly<Record<string, string>>): ChildProcess {
  const plain = Object.entries(process.env).filter(([name]) => !name.startsWith("OTEL_"));
  return fork(fileURLToPath(new URL(program, import.meta.url)), [], { env: { ...Object.fromEntries(plain), ...env } });
}
