/**
 * How long a job is without checkpoints when the coordinator that leads is killed: two coordinators, two workers with a chain each, real
 * processes, NATS and MinIO. Time from SIGKILL to a commit of every region by the next leader; rows that reached the sinks meanwhile, over
 * those of the seconds before; attempts that were begun anew; and rows of the whole output that are missing or there twice.
 *
 * Checkpoints are due every second. Each kill is printed, with the time until another held the lease, and the load of the machine. The
 * killed one is started again, so there are two before each kill. Not measured: machines that go as a whole, coordinators that stand still.
 */
import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { LeaseBucket } from "../src/coordinator/term.js";
import type { MillraceProcess } from "../test/e2e/millrace-process.js";
import { nextLease, RowsWritten } from "../test/e2e/takeover.js";
import { type ClusterJob, NAMESPACE, withClusterJob } from "./cluster-job.js";
import { percentile, round } from "./embedded-job.js";

const CHAINS = 2;
const INTERVAL_MS = 1_000;
const STEADY_MS = 4_000;
const TAKEOVER_MS_MAX = 60_000;
const OUTPUT = "out/takeover";
/** Rows for each run, and once more: the job must outlast all of them, also where processes start slowly. */
const ROWS_OF_RUN = 60_000;

interface Takeover {
  readonly leaseMs: number;
  readonly committedMs: number;
  /** Rows a second until then, over those before. */
  readonly ratio: number;
  readonly load: number;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const count = ROWS_OF_RUN * (options.runs + 1);
  const params = { count, bytes: 64, paceMs: 50, callMs: 5, chains: CHAINS, intervalMs: INTERVAL_MS, output: OUTPUT };
  return withClusterJob(["w0", "w1"], "bench/topologies/numbers.ts", params, async (job) => {
    await job.cluster.up("coordinator");
    const rows = await RowsWritten.watch(job.bus, NAMESPACE);
    const turns: Takeover[] = [];
    for (let turn = 1; turn <= options.runs; turn++) {
      await allCommit(job);
      await pause(STEADY_MS);
      const done = await killLeader(job, rows);
      turns.push(done);
      options.log(
        `run ${turn}: lease after ${done.leaseMs.toFixed(0)} ms, every region committed after ${done.committedMs.toFixed(0)} ms, ` +
          `${done.ratio.toFixed(2)} of the rows/s meanwhile, load ${done.load.toFixed(1)}`,
      );
      await job.cluster.up("coordinator");
    }
    await job.handle.ended();
    const numbers = (await job.cluster.rows<{ readonly n: number }>(OUTPUT)).map(({ n }) => n);
    const middle = (values: readonly number[]) => round(percentile([...values], 0.5));
    const seconds = turns.map(({ committedMs }) => committedMs / 1_000);
    return {
      name: "takeover",
      seconds: middle(seconds),
      seconds_max: round(Math.max(...seconds)),
      lease_seconds: middle(turns.map(({ leaseMs }) => leaseMs / 1_000)),
      lease_seconds_max: round(Math.max(...turns.map(({ leaseMs }) => leaseMs / 1_000))),
      rows_ratio: middle(turns.map(({ ratio }) => ratio)),
      rows: numbers.length,
      rows_lost: count - new Set(numbers).size,
      rows_doubled: numbers.length - new Set(numbers).size,
      attempts_begun_anew: [...rows.attempts.values()].reduce((sum, attempts) => sum + attempts.size - 1, 0),
      load: turns.map(({ load }) => round(load)),
    };
  });
}

/** Every region has committed under the present leader: `checkpointMs` is of its own commits. */
async function allCommit({ handle }: ClusterJob): Promise<void> {
  for (const untilMs = performance.now() + TAKEOVER_MS_MAX; ; await pause(50)) {
    const report = await handle.report().catch(() => undefined); // nobody leads
    const { regions = [] } = report ?? {};
    if (regions.length > 0 && regions.every(({ checkpointMs }) => checkpointMs > 0)) return;
    if (performance.now() > untilMs) throw new Error(`no commit of every region after ${TAKEOVER_MS_MAX} ms`);
  }
}

async function killLeader(job: ClusterJob, rows: RowsWritten): Promise<Takeover> {
  const { bus, cluster } = job;
  const { lease } = (await new LeaseBucket(bus, NAMESPACE).read())!;
  const load = loadavg()[0]!;
  const killedMs = performance.now();
  leaderOf(cluster.processes).kill("SIGKILL");
  const next = await nextLease(bus, NAMESPACE, lease, TAKEOVER_MS_MAX);
  await allCommit(job);
  const committedMs = performance.now() - killedMs;
  if ((await job.handle.report()).state === "FINISHED")
    throw new Error("the job had ended before its coordinator was killed");
  await pause(500); // until hosts have reported what they did
  const rate = (fromMs: number, toMs: number) => rows.between(fromMs, toMs) / (toMs - fromMs);
  const ratio = rate(killedMs, killedMs + committedMs) / rate(killedMs - STEADY_MS, killedMs);
  return { leaseMs: next.ms, committedMs, ratio, load };
}

/** The one that said so last. */
function leaderOf(processes: readonly MillraceProcess[]): MillraceProcess {
  const term = ({ said }: MillraceProcess) =>
    Number(/leads namespace \S+, term (\d+)\n(?!.*leads)/s.exec(said)?.[1] ?? 0);
  return [...processes].sort((a, b) => term(b) - term(a))[0]!;
}
