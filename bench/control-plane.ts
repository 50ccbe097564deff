/**
 * What a coordinator costs that has 10,000 actors and 200 services, and one with a tenth of both: a real process, NATS and MinIO, and one
 * process that plays all workers, hosts and instances (`control-plane-host.ts`). The longest time for which it answered nobody while it
 * deployed, and how often it lost its lease; its memory; its processor share while nothing happens but reports; lists over HTTP, one after the
 * other; and the time from the request for a checkpoint of every region to the last host that was told to begin its own, median of three. Once as one
 * job, once as a hundred; the worse counts.
 *
 * Hosts of 100 actors, one to each worker and job. `list_cpu_ms` is the coordinator's own processor time for one list, which tells
 * more than the time on a machine that does much else. Not measured: services that report because their queues move, checkpoints
 * whose snapshots have to be stored, jobs that come and go.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { MillraceError } from "../src/base/errors.js";
import { id, type JobId } from "../src/base/ids.js";
import { realPorts } from "../src/base/real/ports.js";
import type { Bus } from "../src/bus/bus.js";
import { connectNats } from "../src/bus/nats-bus.js";
import { clusterSubjects } from "../src/bus/subjects.js";
import { packageRoot } from "../src/cli/packages.js";
import type { JobSummary } from "../src/coordinator/describe.js";
import { jobKeys } from "../src/storage/keys.js";
import { acknowledgementFrame, jobSpecFrame, submitJobFrame } from "../src/wire/control.js";
import { Cluster } from "../test/e2e/cluster.js";
import { NAMESPACE } from "./cluster-job.js";
import type { Triggers } from "./control-plane-cluster.js";
import { type Shape, specOf } from "./control-plane-job.js";
import { percentile, round } from "./embedded-job.js";

const ACTORS_OF_WORKER = 100;
const IDLE_MS = 20_000;
const LISTS = 100;
/** Checkpoints of all regions, one after the other; the median counts. */
const TRIGGER_ROUNDS = 3;
const SETTLED_MS_MAX = 120_000;
/** Clock ticks of /proc in a second. */
const TICKS = 100;

interface Cost {
  readonly memory_mb: number;
  readonly heartbeat_cpu_share: number;
  readonly list_p99_ms: number;
  /** Of /healthz, meanwhile. */
  readonly list_bare_p99_ms: number;
  readonly list_cpu_ms: number;
  readonly trigger_ms: number;
  /** Until every actor runs and every instance is READY; the longest answer to /healthz meanwhile. */
  readonly deploy_s: number;
  readonly deploy_silent_ms: number;
  /** From its start to its end. */
  readonly leases_lost: number;
}

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const measured: Record<string, Cost> = {};
  for (const scale of [1, 10]) {
    const shapes: Readonly<Record<string, Shape>> = {
      [`${scale}000-one`]: { jobs: 1, actors: 1_000 * scale, services: 20 * scale },
      [`${scale}000-many`]: { jobs: 10 * scale, actors: 100, services: 2 },
    };
    for (const [name, shape] of Object.entries(shapes)) {
      measured[name] = await costOf(shape, options.log);
      options.log(`${name}: ${JSON.stringify(measured[name])}, load ${loadavg()[0]!.toFixed(1)}`);
    }
  }
  const worst = (field: keyof Cost) => Math.max(measured["10000-one"]![field], measured["10000-many"]![field]);
  const least = (name: string, field: keyof Cost) => Math.max(measured[name]![field], LEAST[field] ?? 0);
  const growth = (field: keyof Cost) =>
    round(Math.max(...["one", "many"].map((kind) => least(`10000-${kind}`, field) / least(`1000-${kind}`, field))));
  const grown = Object.fromEntries(GROWS.map((field) => [field, growth(field)]));
  return {
    name: "control-plane",
    ...Object.fromEntries(FIELDS.map((field) => [field, worst(field)])),
    growth: Math.max(...Object.values(grown)),
    growth_of: grown,
    measured,
    load: round(loadavg()[0]!),
  };
}

/** Below that a cost is what clock ticks and other work of the machine make of it: it does not grow from there. */
const LEAST: Readonly<Partial<Record<keyof Cost, number>>> = { list_cpu_ms: 1, list_p99_ms: 5 };
/** What has to stay linear. */
const GROWS = ["memory_mb", "heartbeat_cpu_share", "list_p99_ms", "list_cpu_ms", "trigger_ms"] as const;
const FIELDS = [...GROWS, "list_bare_p99_ms", "deploy_s", "deploy_silent_ms", "leases_lost"] as const;

async function costOf(shape: Shape, log: (line: string) => void): Promise<Cost> {
  const cluster = await Cluster.start();
  const workers = (shape.jobs * shape.actors) / ACTORS_OF_WORKER;
  const file = join(packageRoot, "dist/bench/control-plane-cluster.js");
  const players = fork(file, [cluster.nats.url, NAMESPACE, String(workers)]);
  try {
    await once(players, "message");
    const coordinator = cluster.processes[0]!;
    await coordinator.says("leads", SETTLED_MS_MAX);
    const [url] = /http:\/\/\S+/.exec(coordinator.said)!;
    const silence = new Silence(url);
    const jobs = await submit(cluster, shape);
    const tookMs = await settled(url, shape);
    const deploy = { deploy_s: round(tookMs / 1_000), deploy_silent_ms: round(await silence.end()) };
    log(`${shape.jobs} jobs of ${shape.actors} actors: ${JSON.stringify(deploy)}`);
    const cost = await measure(coordinator.pid, url, jobs, players, log);
    const leases_lost = coordinator.said.split("\nleads namespace").length - 2; // not: knows nobody who leads
    if (leases_lost > 0) log(`the lease ran out ${leases_lost} times`);
    return { ...cost, ...deploy, leases_lost };
  } finally {
    players.disconnect();
    await cluster.stop();
  }
}

async function submit(cluster: Cluster, shape: Shape): Promise<JobId[]> {
  const bus = await connectNats({ servers: cluster.nats.url, name: "bench" }, realPorts());
  try {
    const jobs = Array.from({ length: shape.jobs }, (_, i) => id<JobId>("job", `job-${i}`));
    for (const job of jobs) {
      await cluster.store.put(jobKeys(job).spec, jobSpecFrame.encode(specOf(job, shape)));
      await ask(bus, submitJobFrame.encode({ job }));
    }
    return jobs;
  } finally {
    await bus.close();
  }
}

/** A leader that loses its lease meanwhile does not answer: the next one is asked. */
async function ask(bus: Bus, command: Uint8Array): Promise<void> {
  const { coordinatorCommand } = clusterSubjects(NAMESPACE);
  for (const lateMs = performance.now() + SETTLED_MS_MAX; ; await pause(500)) {
    try {
      const answer = await bus.request(coordinatorCommand, command, { timeoutMs: 10_000 });
      const { code, message } = acknowledgementFrame.decode(answer.payload).header;
      if (code === "") return;
      throw new Error(`${code}: ${message}`);
    } catch (error) {
      if (!MillraceError.is(error) || performance.now() > lateMs) throw error;
    }
  }
}

/** Every actor runs, every instance is READY. */
async function settled(url: string, { jobs, actors, services }: Shape): Promise<number> {
  const fromMs = performance.now();
  for (;;) {
    const { items } = (await get(`${url}/v1/jobs?limit=1000`)) as { readonly items: readonly JobSummary[] };
    const works = items.filter(
      ({ counts }) => counts.actorsRunning === actors && counts.instancesReady === services,
    ).length;
    if (works === jobs) return performance.now() - fromMs;
    if (performance.now() - fromMs > SETTLED_MS_MAX)
      throw new Error(`${works} of ${jobs} jobs run after ${SETTLED_MS_MAX} ms: ${JSON.stringify(items[0])}`);
    await pause(500);
  }
}

async function measure(
  pid: number,
  url: string,
  jobs: readonly JobId[],
  players: ChildProcess,
  log: (line: string) => void,
): Promise<Omit<Cost, "deploy_s" | "deploy_silent_ms" | "leases_lost">> {
  await pause(IDLE_MS / 4); // until what the start has left is done
  const [fromCpu, fromMs] = [cpuMsOf(pid), performance.now()];
  await pause(IDLE_MS);
  const share = (cpuMsOf(pid) - fromCpu) / (performance.now() - fromMs);
  const lists = await measureLists(pid, url, jobs[0]!, share, log);
  const triggers: number[] = [];
  for (let round = 0; round < TRIGGER_ROUNDS; round++) triggers.push(await measureTrigger(url, jobs, players));
  log(`  checkpoint: last host told after ${triggers.join(", ")} ms`);
  return {
    memory_mb: round(memoryOf(pid)),
    heartbeat_cpu_share: round(share),
    ...lists,
    trigger_ms: percentile(triggers, 0.5),
  };
}

/** The worst of the lists. @param share of a processor that is used meanwhile for other things */
async function measureLists(
  pid: number,
  url: string,
  job: JobId,
  share: number,
  log: (line: string) => void,
): Promise<Pick<Cost, "list_p99_ms" | "list_bare_p99_ms" | "list_cpu_ms">> {
  const worst = { list_p99_ms: 0, list_bare_p99_ms: 0, list_cpu_ms: 0 };
  for (const path of ["jobs?limit=100", `jobs/${job}`, `jobs/${job}/actors?limit=100`, "workers?limit=100"]) {
    await get(`${url}/v1/${path}`);
    const [times, bare]: [number[], number[]] = [[], []];
    const [fromCpu, fromMs] = [cpuMsOf(pid), performance.now()];
    for (let i = 0; i < LISTS; i++) {
      times.push(await timeOf(`${url}/v1/${path}`));
      bare.push(await timeOf(`${url}/healthz`));
    }
    const cpuMs = cpuMsOf(pid) - fromCpu - share * (performance.now() - fromMs);
    const [p50, p99, bareP99] = [percentile(times, 0.5), percentile(times, 0.99), percentile(bare, 0.99)].map(round);
    log(
      `  ${path}: p50 ${p50} ms, p99 ${p99} ms (of /healthz ${bareP99} ms), processor ${round(cpuMs / LISTS)} ms each`,
    );
    worst.list_p99_ms = Math.max(worst.list_p99_ms, p99!);
    worst.list_bare_p99_ms = Math.max(worst.list_bare_p99_ms, bareP99!);
    worst.list_cpu_ms = Math.max(worst.list_cpu_ms, round(cpuMs / LISTS));
  }
  return worst;
}

/** From the request to the last host that was told. */
async function measureTrigger(url: string, jobs: readonly JobId[], players: ChildProcess): Promise<number> {
  const before = (await triggersOf(players)).count;
  const beginMs = Date.now();
  await Promise.all(
    jobs.map((job) =>
      fetch(`${url}/v1/jobs/${job}/checkpoints`, { method: "POST" }).then(async (answer) => {
        if (answer.status !== 202) throw new Error(await answer.text());
      }),
    ),
  );
  // Nothing tells how many there will be; that none has come for a while, and all that have begun have ended, does.
  for (;;) {
    await pause(1_000);
    const { count, completed, lastMs } = await triggersOf(players);
    if (count > before && completed === count && Date.now() - lastMs > 2_000) return lastMs - beginMs;
    if (Date.now() - beginMs > SETTLED_MS_MAX)
      throw new Error(`no checkpoint began and ended within ${SETTLED_MS_MAX} ms`);
  }
}

async function triggersOf(players: ChildProcess): Promise<Triggers> {
  const answer = once(players, "message");
  players.send("triggers");
  const [triggers] = (await answer) as [Triggers];
  return triggers;
}

/** Where nobody leads for a moment, it is asked again: on a machine that does much else, a lease may run out. */
async function get(url: string): Promise<unknown> {
  for (let left = 20; ; left--) {
    const answer = await fetch(url);
    if (answer.ok) return answer.json();
    const said = await answer.text();
    if (answer.status !== 503 || left === 0) throw new Error(`${url}: ${answer.status} ${said}`);
    await pause(500);
  }
}

/** Asks again and again, and keeps how long the longest answer took. */
class Silence {
  #longestMs = 0;
  #ended = false;
  #asking: Promise<void>;

  constructor(url: string) {
    this.#asking = this.#ask(url);
    this.#asking.catch(() => {}); // `end` tells
  }

  async end(): Promise<number> {
    this.#ended = true;
    await this.#asking;
    return this.#longestMs;
  }

  async #ask(url: string): Promise<void> {
    while (!this.#ended) {
      this.#longestMs = Math.max(this.#longestMs, await timeOf(`${url}/healthz`));
      await pause(20);
    }
  }
}

async function timeOf(url: string): Promise<number> {
  const beginMs = performance.now();
  await get(url);
  return performance.now() - beginMs;
}

/** Processor time that a process has used. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)!.split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1_000) / TICKS;
}

function memoryOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1_024;
}
