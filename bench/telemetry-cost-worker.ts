/**
 * An embedded job whose telemetry is turned on and off while it runs. It is told how many blocks of windows to measure, and answers with what
 * each has measured. A block is on, off, off, on, or the other way round: what changes slowly does so for both.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../src/base/real/ports.js";
import { runEmbedded } from "../src/cli/embedded.js";
import { packageRoot } from "../src/cli/packages.js";
import { readSubmission } from "../src/cli/submission.js";
import { withTelemetry } from "../src/cli/telemetry.js";
import type { Block, Measured } from "./telemetry-cost.js";
import { type Switch, SwitchedTelemetry } from "./telemetry-cost-switch.js";

/** More than there is time for. */
const ROWS = 20_000_000;
const WINDOW_MS = 100;
/** Until batches that were read before are through. */
const SETTLE_MS = 20;

let rows = 0;
Object.assign(globalThis, {
  [Symbol.for("millrace.bench.onRead")]: (read: number) => {
    rows += read;
  },
});

const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
const telemetry = await withTelemetry(realPorts(), process.env, { role: "embedded", id: `bench-${process.pid}` });
const turned: Switch = { isOn: true };
const submission = await readSubmission(join(packageRoot, "bench/topologies/numbers.ts"), {
  params: { count: String(ROWS), bytes: "16384", intervalMs: "1000", output: join(folder, "out") },
  parallelism: 0,
  cache: join(folder, "cache"),
});
const job = await runEmbedded(submission, {
  outputRoot: folder,
  s3: {},
  ports: { ...telemetry.ports, telemetry: new SwitchedTelemetry(telemetry.ports.telemetry!, turned) },
});
while ((await job.report()).rowsWritten === 0n) await pause(50);

const nothing: Measured = { rows: 0, ms: 0, cpuMicros: 0 };

/** One more window of it. */
async function window(isOn: boolean, until: Measured): Promise<Measured> {
  turned.isOn = isOn;
  await pause(SETTLE_MS);
  const [before, fromMs, cpu] = [rows, performance.now(), process.cpuUsage()];
  await pause(WINDOW_MS);
  const { user, system } = process.cpuUsage(cpu);
  return {
    rows: until.rows + rows - before,
    ms: until.ms + performance.now() - fromMs,
    cpuMicros: until.cpuMicros + user + system,
  };
}

async function block(first: boolean): Promise<Block> {
  const one = await window(first, nothing);
  const other = await window(!first, await window(!first, nothing));
  const both = await window(first, one);
  return first ? { on: both, off: other } : { on: other, off: both };
}

async function end(): Promise<void> {
  await job.cancel();
  await job.close();
  await telemetry.close();
  await rm(folder, { recursive: true, force: true });
}

process.on("message", async (blocks: number) => {
  if (blocks === 0) {
    await end();
    return process.send?.("ended", () => process.exit());
  }
  const measured: Block[] = [];
  for (let i = 0; i < blocks; i++) measured.push(await block(i % 2 === 0));
  process.send?.(measured);
});
process.once("disconnect", () => process.exit());
process.send?.("up");
