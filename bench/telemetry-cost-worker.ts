/**
 * An embedded job whose telemetry is turned on and off while it runs. It is told how many blocks of windows to measure, and answers with what
 * each has measured.
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
import { type Block, block, countRowsRead, type Measured, measured } from "./blocks.js";
import { type Switch, SwitchedTelemetry } from "./telemetry-cost-switch.js";

/** More than there is time for. */
const ROWS = 20_000_000;
const WINDOW_MS = 100;
/** Until batches that were read before are through. */
const SETTLE_MS = 20;

countRowsRead();
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

async function window(isOn: boolean): Promise<Measured> {
  turned.isOn = isOn;
  await pause(SETTLE_MS);
  return measured(pause(WINDOW_MS));
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
  const all: Block[] = [];
  for (let number = 0; number < blocks; number++) all.push(await block(number, window));
  process.send?.(all);
});
process.once("disconnect", () => process.exit());
process.send?.("up");
