/**
 * `npm run bench -- <name> [--runs N] [--json]`: one figure against its bare counterpart, both measured in this run.
 *
 * Absolute numbers say little on a shared machine; the ratio is what is kept. With `--json` the last line is one JSON object.
 */
import { run as balance } from "./balance.js";
import { run as busHop } from "./bus-hop.js";
import { run as callOverhead } from "./call-overhead.js";
import { run as checkpointCost } from "./checkpoint-cost.js";
import { run as checkpointVsCall } from "./checkpoint-vs-call.js";
import { run as controlPlane } from "./control-plane.js";
import { run as duplicateCalls } from "./duplicate-calls.js";
import { run as functions } from "./functions.js";
import { run as objectRef } from "./object-ref.js";
import { run as pipelineOverhead } from "./pipeline-overhead.js";
import { run as regionIsolation } from "./region-isolation.js";
import { run as scaleOut } from "./scale-out.js";
import { run as takeover } from "./takeover.js";
import { run as telemetryCost } from "./telemetry-cost.js";

interface Benchmark {
  readonly what: string;
  run(options: { readonly runs: number; readonly log: (line: string) => void }): Promise<Record<string, unknown>>;
}

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  "pipeline-overhead": {
    what: "the demo's pages through the embedded runtime, against a loop over sharp and onnxruntime-node",
    run: pipelineOverhead,
  },
  "checkpoint-vs-call": {
    what: "duration of checkpoints on MinIO while calls of 0.1 to 30 s are in flight",
    run: checkpointVsCall,
  },
  "checkpoint-cost": { what: "rows/s with a checkpoint each second, over rows/s with none", run: checkpointCost },
  "region-isolation": {
    what: "rows/s of three chains while the host of the fourth is killed, over those before",
    run: regionIsolation,
  },
  takeover: {
    what: "the coordinator that leads is killed: time to the next commit of every region, rows lost and doubled",
    run: takeover,
  },
  "control-plane": {
    what: "10,000 actors and 200 services: memory, processor share of reports, lists over HTTP, the first step of a checkpoint",
    run: controlPlane,
  },
  "call-overhead": {
    what: "a call of an echo over NATS, against a raw request and reply of the same bytes",
    run: callOverhead,
  },
  balance: {
    what: "p99 of 8 instances of which one is slow: ours, round robin, random, two choices, and an oracle",
    run: balance,
  },
  "scale-out": {
    what: "time from READY of a new instance to its part of 1,000 queued requests",
    run: scaleOut,
  },
  "duplicate-calls": {
    what: "rows that are worked on twice when instances and clients are killed",
    run: duplicateCalls,
  },
  "object-ref": {
    what: "5 MB payloads through five processes, by reference and inline: bytes over NATS, records/s, store reads",
    run: objectRef,
  },
  functions: {
    what: "decode and resize to a tensor by built-in functions, against a bare loop over sharp",
    run: functions,
  },
  "telemetry-cost": {
    what: "rows/s with traces and metrics sent to a receiver, over rows/s without",
    run: telemetryCost,
  },
  "bus-hop": { what: "decode, map and encode over NATS, against raw publish and subscribe", run: busHop },
};

const args = process.argv.slice(2);
const json = args.includes("--json");
const runsAt = args.indexOf("--runs");
const runs = runsAt < 0 ? 5 : Number(args[runsAt + 1]);
const name = args.find((arg, i) => !arg.startsWith("--") && (runsAt < 0 || i !== runsAt + 1));
const benchmark = name === undefined ? undefined : BENCHMARKS[name];

if (benchmark === undefined || !Number.isInteger(runs) || runs < 1) {
  const list = Object.entries(BENCHMARKS).map(([key, { what }]) => `  ${key.padEnd(20)} ${what}`);
  process.stderr.write(`usage: npm run bench -- <name> [--runs N] [--json]\n${list.join("\n")}\n`);
  process.exit(2);
}

const result = await benchmark.run({ runs, log: (line) => process.stdout.write(`${line}\n`) });
process.stdout.write(
  `${
    json
      ? JSON.stringify(result)
      : Object.entries(result)
          .map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
          .join("\n")
  }\n`,
);
