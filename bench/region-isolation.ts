/**
 * Whether a failure stays in its region: four chains on four workers, real processes, NATS and MinIO. One host is killed;
 * rows that the other three wrote in the second after, over those in the second before. Sources keep a pace that leaves processor
 * and service free, so that what is measured is waiting for each other, and not the start of a process on this machine.
 *
 * Every other time, from the first on, the killed host is the one that hands out the splits to all four. Each kill is printed, with
 * the share of each of the three and the load of the machine; the median counts, and the least is told. Not measured: hosts that fall silent without ending.
 */
import { readdir } from "node:fs/promises";
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { clusterSubjects } from "../src/bus/subjects.js";
import type { JobHandle } from "../src/cli/job-handle.js";
import { type HostReport, hostReportFrame } from "../src/wire/control.js";
import { frameKind } from "../src/wire/frames.js";
import { NAMESPACE, withClusterJob } from "./cluster-job.js";
import { percentile, round } from "./embedded-job.js";

const CHAINS = 4;
const ASK_MS = 20;

interface Turn {
  /** Of the three together, and of each. */
  readonly ratio: number;
  readonly shares: readonly number[];
  readonly recoveredMs: number;
  /** The killed host handed out the splits. */
  readonly gaveSplits: boolean;
  readonly load: number;
}

/** What a host has said, and when. */
interface Seen {
  readonly ms: number;
  readonly report: HostReport;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const workers = Array.from({ length: CHAINS }, (_, i) => `w${i}`);
  const params = { count: 1_000_000, bytes: 64, paceMs: 50, callMs: 5, instances: 4, chains: CHAINS };
  return withClusterJob(workers, "bench/topologies/numbers.ts", params, async ({ handle, bus, marks }) => {
    const seen = new Map<string, Seen[]>();
    await bus.subscribe(clusterSubjects(NAMESPACE).coordinatorReport, ({ payload }) => {
      if (frameKind(payload) !== "host-report") return;
      const report = hostReportFrame.decode(payload).header;
      seen.set(report.host, [...(seen.get(report.host) ?? []), { ms: performance.now(), report }]);
    });
    const turns: Turn[] = [];
    for (let turn = 1; turn <= options.runs; turn++) {
      await allAtWork(handle, marks);
      const done = await killOne(handle, marks, seen, turn % 2 === 1);
      turns.push(done);
      const shares = done.shares.map((share) => share.toFixed(2)).join(", ");
      options.log(
        `run ${turn}: ${done.ratio.toFixed(3)} of the rows (${shares}), back after ${done.recoveredMs.toFixed(0)} ms; ` +
          `${done.gaveSplits ? "it gave the splits" : "another gave the splits"}, load ${done.load.toFixed(1)}`,
      );
    }
    const middle = (values: number[]) => round(percentile(values, 0.5));
    const ratiosOf = (kind: boolean) =>
      turns.filter(({ gaveSplits }) => gaveSplits === kind).map(({ ratio }) => round(ratio));
    return {
      name: "region-isolation",
      ratio: middle(turns.map(({ ratio }) => ratio)),
      ratio_min: round(Math.min(...turns.map(({ ratio }) => ratio))),
      recovered_ms: middle(turns.map(({ recoveredMs }) => recoveredMs)),
      ratios: turns.map(({ ratio }) => round(ratio)),
      ratios_gave_splits: ratiosOf(true),
      ratios_other: ratiosOf(false),
      recovered_all_ms: turns.map(({ recoveredMs }) => round(recoveredMs)),
      load: turns.map(({ load }) => round(load)),
    };
  });
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
  ofSplits: boolean,
): Promise<Turn> {
  const alive = (await readdir(marks)).filter((name) => isAlive(Number(name.split(".")[1])));
  const giver = givesSplits(seen);
  const choice = alive.filter((name) => (regionOf(name) === giver) === ofSplits);
  const victim = choice[Math.floor(Math.random() * choice.length)] ?? alive[0]!;
  const [region, pid] = [regionOf(victim), Number(victim.split(".")[1])];
  const ask = async () => {
    await pause(ASK_MS);
    return (await handle.report()).regions.find((one) => one.region === region)!;
  };
  // Asking takes processor time, so it goes on through both seconds.
  const untilMs = performance.now() + 1_000;
  let before = await ask();
  while (performance.now() < untilMs) before = await ask();
  const load = loadavg()[0]!;
  const killedMs = performance.now();
  process.kill(pid, "SIGKILL");
  let recoveredMs = 0;
  while (recoveredMs === 0) {
    const now = await ask();
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
  const written = (of: readonly (readonly Seen[])[], fromMs: number, toMs: number) =>
    of.reduce((sum, reports) => sum + rowsAt(reports, toMs) - rowsAt(reports, fromMs), 0);
  const shareOf = (of: readonly (readonly Seen[])[]) =>
    written(of, killedMs, killedMs + 1_000) / written(of, killedMs - 1_000, killedMs);
  const shares = others.map((reports) => shareOf([reports]));
  return { ratio: shareOf(others), shares, recoveredMs, gaveSplits: region === giver, load };
}

/** Region of the chain that left this mark. */
function regionOf(mark: string): string {
  return `region-numbers-${/host-(\d+)/.exec(mark)![1]}`;
}

/** Region of the host that announces the source's rows: it holds the enumerator. */
function givesSplits(seen: ReadonlyMap<string, readonly Seen[]>): string | undefined {
  const newest = [...seen.values()].map((reports) => reports.at(-1)!);
  const giver = newest.find(({ ms, report }) => report.rowsTotal > 0n && performance.now() - ms < 2_000);
  return giver?.report.actors[0]?.region;
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
