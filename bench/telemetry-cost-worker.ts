/**
 * Two embedded jobs in one process, with telemetry and without, of which one at a time may read: two processes, or two jobs one after the
 * other, differ by more than telemetry costs. Its arguments say which is started first. It is told "on" or "off", and answers with what a window
 * of that job has measured.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { realPorts } from "../src/base/real/ports.js";
import { runEmbedded } from "../src/cli/embedded.js";
import type { JobHandle } from "../src/cli/job-handle.js";
import { packageRoot } from "../src/cli/packages.js";
import { readSubmission } from "../src/cli/submission.js";
import { withTelemetry } from "../src/cli/telemetry.js";
import type { Measured } from "./telemetry-cost.js";

/** More than there is time for. */
const ROWS = 20_000_000;
/** Until what the job before has under way is done, and this one's windows are full. */
const DRAIN_MS = 60;
const FILL_MS = 100;
const WINDOW_MS = 300;

/** Where a source waits until its job may read. */
class Gate {
  rows = 0;
  #isOpen = false;
  #waiting: (() => void)[] = [];

  pass = async (rows: number): Promise<void> => {
    if (!this.#isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.rows += rows;
  };

  open(): void {
    this.#isOpen = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  close(): void {
    this.#isOpen = false;
  }
}

const gates = { on: new Gate(), off: new Gate() };
const passes = Object.entries(gates).map(([name, { pass }]) => [name, pass] as const);
Object.assign(globalThis, { [Symbol.for("millrace.bench.gates")]: new Map(passes) });

const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
const telemetry = await withTelemetry(realPorts(), process.env, { role: "embedded", id: `bench-${process.pid}` });
const told = Object.entries(process.env).filter(([name]) => name.startsWith("OTEL_"));
const jobs: JobHandle[] = [];
for (const gate of process.argv.slice(2) as (keyof typeof gates)[]) {
  // Instances are processes of their own, and have the environment of this one.
  for (const [name, value] of told) {
    if (gate === "on") process.env[name] = value;
    else delete process.env[name];
  }
  jobs.push(await start(gate, gate === "on" ? telemetry.ports : realPorts()));
}

/** Resolves when its instances serve. */
async function start(gate: keyof typeof gates, ports: ReturnType<typeof realPorts>): Promise<JobHandle> {
  const output = join(folder, gate);
  const submission = await readSubmission(join(packageRoot, "bench/topologies/numbers.ts"), {
    params: { count: String(ROWS), bytes: "16384", intervalMs: "1000", gate, output },
    parallelism: 0,
    cache: join(folder, "cache"),
  });
  const job = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports });
  gates[gate].open();
  while ((await job.report()).rowsWritten === 0n) await pause(50);
  gates[gate].close();
  return job;
}

async function measure(name: keyof typeof gates): Promise<Measured> {
  const gate = gates[name];
  await pause(DRAIN_MS);
  gate.open();
  await pause(FILL_MS);
  const [rows, ms, cpu] = [gate.rows, performance.now(), process.cpuUsage()];
  await pause(WINDOW_MS);
  const [read, tookMs, { user, system }] = [gate.rows - rows, performance.now() - ms, process.cpuUsage(cpu)];
  gate.close();
  return { rowsPerSecond: (read / tookMs) * 1_000, cpuMicrosPerRow: (user + system) / read };
}

async function end(): Promise<void> {
  for (const job of jobs) {
    await job.cancel();
    await job.close();
  }
  await telemetry.close();
  await rm(folder, { recursive: true, force: true });
}

process.on("message", async (what: keyof typeof gates | "end") => {
  if (what !== "end") return process.send?.(await measure(what));
  await end();
  return process.send?.("ended", () => process.exit());
});
process.once("disconnect", () => process.exit());
process.send?.("up");
