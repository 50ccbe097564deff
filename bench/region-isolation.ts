/**
 * Whether a failure stays in its region: four chains on four workers, real processes, NATS and MinIO. One host is killed;
 * rows that the other three wrote in the second after, over those in the second before. Sources keep a pace that leaves processor
 * and service free, so that what is measured is waiting for each other, and not the start of a process on this machine.
 */
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { JobId, Namespace } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { clusterSubjects } from "../src/bus/subjects.js";
import { JobHandle } from "../src/cli/job-handle.js";
import { type HostReport, hostReportFrame } from "../src/wire/control.js";
import { frameKind } from "../src/wire/frames.js";
import { MillraceProcess, millrace } from "../test/e2e/millrace-process.js";
import { startMinio, startNats } from "../test/servers/index.js";
import { percentile, round } from "./embedded-job.js";

const CHAINS = 4;
const NAMESPACE = "default" as Namespace;
/** What a host has said, and when. */
interface Seen {
  readonly ms: number;
  readonly report: HostReport;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const [nats, minio] = await Promise.all([startNats(), startMinio()]);
  const env = {
    MILLRACE_NATS: nats.url,
    MILLRACE_STORE: `s3://${minio.bucket}/cluster`,
    AWS_ENDPOINT_URL_S3: minio.endpoint,
    AWS_ACCESS_KEY_ID: minio.accessKeyId,
    AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
    MILLRACE_CACHE: join(folder, "cache"),
  };
  const ports = realPorts();
  const bus = await connectNats({ servers: nats.url, name: "bench" }, ports);
  const cluster: MillraceProcess[] = [];
  try {
    for (const args of [["coordinator"], ...Array.from({ length: CHAINS }, (_, i) => ["worker", "--name", `w${i}`])]) {
      const one = new MillraceProcess(args, { env });
      cluster.push(one);
      await one.says("is up");
    }
    const marks = join(folder, "marks");
    await mkdir(marks);
    const params = {
      count: "1000000",
      bytes: "64",
      paceMs: "50",
      callMs: "5",
      instances: "4",
      chains: String(CHAINS),
      marks,
    };
    const submitted = await millrace(
      [
        "submit",
        "bench/topologies/numbers.ts",
        "--no-wait",
        ...Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]),
      ],
      { env },
    );
    const job = /job (\S+) submitted/.exec(submitted.stdout)?.[1];
    if (job === undefined) throw new Error(`the job was not submitted: ${submitted.stderr}`);
    const handle = new JobHandle({
      bus,
      ports,
      namespace: NAMESPACE,
      job: job as JobId,
      unit: "rows",
      async close() {},
    });
    const seen = new Map<string, Seen[]>();
    await bus.subscribe(clusterSubjects(NAMESPACE).coordinatorReport, ({ payload }) => {
      if (frameKind(payload) !== "host-report") return;
      const report = hostReportFrame.decode(payload).header;
      seen.set(report.host, [...(seen.get(report.host) ?? []), { ms: performance.now(), report }]);
    });
    const [ratios, recovered]: [number[], number[]] = [[], []];
    for (let turn = 1; turn <= options.runs; turn++) {
      await allAtWork(handle, marks);
      const { ratio, recoveredMs } = await killOne(handle, marks, seen);
      ratios.push(ratio);
      recovered.push(recoveredMs);
      options.log(`run ${turn}: ${ratio.toFixed(3)} of the rows, back after ${recoveredMs.toFixed(0)} ms`);
    }
    await handle.cancel();
    return {
      name: "region-isolation",
      ratio: round(percentile(ratios, 0.5)),
      recovered_ms: round(percentile(recovered, 0.5)),
      ratios: ratios.map(round),
      recovered_all_ms: recovered.map(round),
    };
  } finally {
    await bus.close();
    await Promise.all(
      cluster.map(async (one) => {
        one.kill("SIGTERM");
        await pause(500);
        one.kill("SIGTERM"); // does not wait for what it holds
        await one.ended;
      }),
    );
    await Promise.all([nats.stop(), minio.stop()]);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every chain has a checkpoint of its newest attempt, and a few seconds of steady work. */
async function allAtWork(handle: JobHandle, marks: string): Promise<void> {
  const untilMs = performance.now() + 90_000;
  for (;;) {
    const { regions } = await handle.report();
    const alive = (await readdir(marks)).filter((name) => isAlive(Number(name.split(".")[1])));
    if (alive.length >= CHAINS && regions.every(({ phase, checkpointMs }) => phase === "RUNNING" && checkpointMs > 0))
      break;
    if (performance.now() > untilMs) throw new Error(`${alive.length} of ${CHAINS} chains were at work after 90 s`);
    await pause(200);
  }
  await pause(4_000);
}

async function killOne(
  handle: JobHandle,
  marks: string,
  seen: ReadonlyMap<string, readonly Seen[]>,
): Promise<{ ratio: number; recoveredMs: number }> {
  const alive = (await readdir(marks)).filter((name) => isAlive(Number(name.split(".")[1])));
  const victim = alive[Math.floor(Math.random() * alive.length)]!;
  const [subtask, pid] = [/host-(\d+)/.exec(victim)![1]!, Number(victim.split(".")[1])];
  const region = `region-numbers-${subtask}`;
  const before = (await handle.report()).regions.find((one) => one.region === region)!;
  const killedMs = performance.now();
  process.kill(pid, "SIGKILL");
  let recoveredMs = 0;
  while (recoveredMs === 0) {
    await pause(20);
    const now = (await handle.report()).regions.find((one) => one.region === region)!;
    if (
      now.attempt > before.attempt &&
      now.phase === "RUNNING" &&
      now.checkpointMs > 0 &&
      now.committed > before.committed + 1n
    ) {
      recoveredMs = performance.now() - killedMs;
    }
    if (performance.now() - killedMs > 60_000) throw new Error(`region ${region} did not come back within 60 s`);
  }
  await pause(Math.max(1_500 - recoveredMs, 0));
  const others = [...seen.values()].filter((reports) => {
    const actors = reports.at(-1)!.report.actors;
    return (
      actors.length > 0 && actors.every((actor) => actor.region !== region) && reports.at(-1)!.ms > killedMs + 1_000
    );
  });
  const written = (fromMs: number, toMs: number) =>
    others.reduce((sum, reports) => sum + rowsAt(reports, toMs) - rowsAt(reports, fromMs), 0);
  return { ratio: written(killedMs, killedMs + 1_000) / written(killedMs - 1_000, killedMs), recoveredMs };
}

/** Rows that a host had written at a moment, between two of its reports. */
function rowsAt(reports: readonly Seen[], ms: number): number {
  const rows = ({ report }: Seen) => report.actors.reduce((sum, actor) => sum + Number(actor.rowsWritten), 0);
  const after = reports.findIndex((one) => one.ms >= ms);
  if (after <= 0) return rows(reports.at(-1)!);
  const [a, b] = [reports[after - 1]!, reports[after]!];
  return rows(a) + ((rows(b) - rows(a)) * (ms - a.ms)) / (b.ms - a.ms);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
