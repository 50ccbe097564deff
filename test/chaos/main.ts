/**
 * `npm run chaos [-- --seed S --faults N --only ocr|words --logs FOLDER]`: real processes, a real nats-server, a real MinIO, and
 * faults while jobs run. Ends with one line of JSON; exit status 1 unless every job FINISHED with exactly the rows of a run
 * without failures. `docs/testing.md`, "Chaos".
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { commitOf } from "../sim/commit.js";
import { ChaosCluster } from "./chaos-cluster.js";
import { compareRows } from "./compare.js";
import { Nemesis } from "./nemesis.js";
import { drawSchedule } from "./schedule.js";
import { prepareWorkload, type Workload, type WorkloadName } from "./workload.js";

const JOBS: Readonly<Record<"ocr" | "words", readonly WorkloadName[]>> = { ocr: ["ocr"], words: ["words", "counts"] };

interface Options {
  readonly seed: number;
  readonly faults: number;
  readonly only?: keyof typeof JOBS;
  readonly logs: string;
}

// As the command does: the locked version of the SDK supports this Node.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const WORKERS = ["w1", "w2", "w3"];
/** Time after the last fault in which what is under way must finish. */
const CALM_MS_MAX = 300_000;
const SHOWN_MAX = 5;

const options = new Command("chaos")
  .option("--seed <seed>", "decides the faults and when they strike", whole, Math.floor(Math.random() * 1_000_000))
  .option("--faults <count>", "how many faults", whole, 20)
  .addOption(new Option("--only <job>", "run only one kind of job").choices(Object.keys(JOBS)))
  .option("--logs <folder>", "where to write what every process said", "")
  .parse()
  .opts<Options>();
const startedMs = performance.now();
const stop = new AbortController();
const totals = { faults: 0, rows: 0, lost: 0, doubled: 0 };
let failed = false;
console.log(`commit ${commitOf()}, seed ${options.seed}`);

function say(what: string, about: string): void {
  if (what === "ENDED" || what === "LEFT") failed = true;
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  process.stderr.write(`${seconds.padStart(7)} s  ${what.padEnd(18)} ${about}\n`);
}

/** One job after another until the faults are over, so that there is always one to disturb. */
async function keepBusy(workload: Workload, nemesis: Nemesis, isOver: () => boolean): Promise<void> {
  for (let round = 1; round === 1 || !isOver(); round++) {
    const output = `${workload.name}-${round}`;
    const job = await nemesis.calmly(async () => {
      const submitted = workload.submit(output);
      await submitted.says("submitted", 60_000);
      return submitted;
    });
    say(output, "submitted");
    const ended = await job.ended;
    stop.signal.throwIfAborted();
    // Faults go on: what was published can be read when the store is there.
    const [published, refused] = await nemesis.calmly(() =>
      Promise.all([workload.published(output), workload.deadLetters(output)]),
    );
    const { lost, doubled } = compareRows(workload.expected, published);
    totals.rows += published.length;
    totals.lost += lost.length;
    totals.doubled += doubled.length;
    const finished = ended.status === 0;
    if (!finished || lost.length + doubled.length > 0) failed = true;
    const verdict = finished
      ? "finished"
      : `FAILED (${ended.signal ?? ended.status}): ${ended.stderr.trim().slice(-1_000)}`;
    say(output, `${verdict}; ${published.length} rows, ${lost.length} lost, ${doubled.length} doubled`);
    for (const row of lost.slice(0, SHOWN_MAX)) say(output, `lost     ${row.slice(0, 200)}`);
    for (const row of doubled.slice(0, SHOWN_MAX)) say(output, `doubled  ${row.slice(0, 200)}`);
    for (const row of refused.slice(0, SHOWN_MAX)) say(output, `refused  ${row.slice(0, 400)}`);
  }
}

/** Hosts and instances end with their jobs. */
async function nobodyLeft(cluster: ChaosCluster): Promise<void> {
  const left = () => cluster.processes.list().filter(({ kind }) => kind === "host" || kind === "instance");
  const untilMs = performance.now() + 40_000;
  while (left().length > 0 && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 200));
  if (left().length === 0) return;
  say(
    "LEFT",
    left()
      .map(({ kind, pid }) => `${kind} ${pid}`)
      .join(", "),
  );
}

async function run(cluster: ChaosCluster): Promise<void> {
  await cluster.start(WORKERS);
  say("cluster", `coordinator, ${WORKERS.join(", ")}, nats-server, MinIO`);
  const names = options.only === undefined ? Object.values(JOBS).flat() : JOBS[options.only];
  const workloads: Workload[] = [];
  for (const name of names) {
    const workload = await prepareWorkload(name, cluster);
    say(name, `a run without failures gives ${workload.expected.length} rows`);
    workloads.push(workload);
  }
  const nemesis = new Nemesis(cluster, say, stop.signal);
  let over = false;
  const jobs = workloads.map((workload) => keepBusy(workload, nemesis, () => over));
  const strikes = nemesis.run(drawSchedule(options.seed, options.faults)).finally(() => {
    over = true;
    totals.faults = nemesis.faults;
  });
  await Promise.race([strikes, Promise.all(jobs).then(() => strikes)]);
  say("calm", `${nemesis.faults} faults are over`);
  if (nemesis.faults < options.faults) {
    failed = true;
    say("TOO FEW", `${options.faults} were asked for; the others found nothing to strike`);
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`not finished ${CALM_MS_MAX / 1000} s after the last fault`)),
      CALM_MS_MAX,
    );
  });
  await Promise.race([Promise.all(jobs), late]).finally(() => clearTimeout(timer));
  await nobodyLeft(cluster);
}

const cluster = new ChaosCluster(options.logs, say);
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
}
const stopped = new Promise<never>((_, reject) => {
  stop.signal.addEventListener("abort", () => reject(stop.signal.reason));
});
const running = run(cluster);
running.catch(() => {}); // after a signal nobody waits for it
try {
  await Promise.race([running, stopped]);
} catch (error) {
  failed = true;
  say("FAILED", error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  stop.abort(new Error("over"));
  await cluster.stop();
}
console.log(JSON.stringify(totals));
process.exit(failed || totals.lost > 0 || totals.doubled > 0 ? 1 : 0);

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw new InvalidArgumentError("Give a whole number.");
  return value;
}
