/** One seed: builds the world it describes, runs it through both phases, and says what was found. */
import { boundsChecker } from "./checkers/bounds.js";
import type { CheckedRun, Checker } from "./checkers/checker.js";
import { commandChecker } from "./checkers/commands.js";
import { contentChecker } from "./checkers/content.js";
import { isolationChecker } from "./checkers/isolation.js";
import { memoryChecker } from "./checkers/memory.js";
import { outputChecker } from "./checkers/output.js";
import { paidChecker } from "./checkers/paid.js";
import { progressChecker } from "./checkers/progress.js";
import { regionLogChecker } from "./checkers/region-log.js";
import { retentionChecker } from "./checkers/retention.js";
import { FAULT_PROFILES, type FaultKind, Faults, type ProfileName } from "./faults.js";
import { describeKnobs, drawKnobs, turn } from "./knobs.js";
import { Nemesis } from "./nemesis.js";
import { SharedStore } from "./shared-store.js";
import { SimClient } from "./sim-client.js";
import { type Finding, SimWorld } from "./sim-clock.js";
import { SimCluster } from "./sim-cluster.js";
import { SimNetwork } from "./sim-network.js";
import { SimRandom } from "./sim-random.js";
import { chains } from "./topologies/chains.js";
import { content } from "./topologies/content.js";
import { durable } from "./topologies/durable.js";
import { exchange } from "./topologies/exchange.js";
import { keyed } from "./topologies/keyed.js";
import { takeovers } from "./topologies/takeovers.js";
import { Trace } from "./trace.js";

export interface SimOptions {
  readonly profile: ProfileName;
  /** Called with every line of the trace as it comes. */
  readonly echo?: (line: string) => void;
}

export interface SimResult {
  readonly seed: number;
  readonly scenario: string;
  /** Whether a second job went on from a savepoint of the first. */
  readonly restarted: boolean;
  readonly faultsOn: string;
  /** Bounds that the seed has changed. */
  readonly knobs: string;
  readonly outcome: string;
  readonly phase: "faults" | "calm";
  readonly findings: readonly Finding[];
  readonly counts: ReadonlyMap<FaultKind, number>;
  readonly virtualMs: number;
  readonly steps: number;
  readonly hash: string;
  /** The trace up to the finding, or to the end of the job. */
  readonly lastLines: readonly string[];
}

export const DEFAULT_PROFILE: ProfileName = "recovery";

const CHECKERS = [
  ...[outputChecker, commandChecker, boundsChecker, memoryChecker, paidChecker],
  contentChecker,
  ...[regionLogChecker, retentionChecker, isolationChecker, progressChecker],
];
/** Chains are the only ones that call services, where most kinds of processes meet. */
const SCENARIOS = [chains, chains, exchange, keyed, durable] as const;
/** Part of the seeds of these: drawn apart, so that the others stay what they are. */
const APART = [
  { name: "content", scenario: content, share: 0.1 },
  { name: "takeovers", scenario: takeovers, share: 0.05 },
] as const;
/** After the job has ended: long enough for whoever was thought dead to try something. */
const AFTERMATH_MS = 60_000;
const LINES_REPORTED = 60;
/** Part of the seeds whose event loops have much to do, and what a turn of them takes at most, in milliseconds. */
const BUSY_LOOPS = 0.5;
const TURN_MS: readonly [number, number] = [20, 2_000];

export async function simulate(seed: number, options: SimOptions): Promise<SimResult> {
  const random = new SimRandom(`seed ${seed}`);
  const trace = new Trace(options.echo);
  const world = new SimWorld(random, trace);
  const faults = new Faults(FAULT_PROFILES[options.profile], random, () => world.nowMs);
  const knobs = drawKnobs(random.fork("knobs"), faults.isLean);
  const turnBack = turn(knobs);
  try {
    return await run(seed, { world, faults, trace }, describeKnobs(knobs));
  } finally {
    turnBack();
  }
}

interface Ground {
  readonly world: SimWorld;
  readonly faults: Faults;
  readonly trace: Trace;
}

async function run(seed: number, { world, faults, trace }: Ground, knobs: string): Promise<SimResult> {
  const { random } = world;
  const network = new SimNetwork(world, faults);
  const shared = new SharedStore(world, faults);
  const drawn = random.pick(SCENARIOS);
  const apart = APART.find(({ name, share }) => random.fork(name).chance(share));
  const scenario = (apart?.scenario ?? drawn)(random.fork("scenario"));
  const turnBack = turn(scenario.bounds ?? {});
  world.turnMsMax = scenario.turnMsMax ?? drawTurns(random.fork("busy loops"));
  if (scenario.isClear === true) faults.clear();
  if (scenario.isContested === true) faults.contest();
  if (scenario.isSlowlyStored !== undefined) shared.slowDown(scenario.isSlowlyStored);
  const cluster = new SimCluster(world, network, shared, faults, scenario);
  const checked: CheckedRun = {
    world,
    store: shared,
    scenario,
    felt: () => [...faults.felt],
    struckMs: () => faults.struckMs,
    mayFail: () => faults.excuseFailure,
  };
  const checkers = watch(checked, network);
  const { turnMsMax } = world;
  try {
    const { client, phase, lastLines } = await bothPhases(cluster, checkers, trace);
    const { report, restarted } = client;
    return {
      seed,
      scenario: `${scenario.name}: ${scenario.describe}${cluster.hasStandby ? ", a coordinator stands by" : ""}`,
      restarted: restarted !== undefined,
      faultsOn: faults.describe(),
      knobs: `${knobs}${describeTurns(turnMsMax)}`,
      outcome: report === undefined ? "no report" : `${report.state} ${report.code}`.trim(),
      phase,
      findings: world.findings,
      counts: faults.counts,
      virtualMs: world.nowMs,
      steps: world.steps,
      hash: trace.hash,
      lastLines,
    };
  } finally {
    for (const checker of checkers) checker.release?.();
    cluster.actorCrashes.release();
    turnBack();
  }
}

async function bothPhases(cluster: SimCluster, checkers: readonly Checker[], trace: Trace) {
  const { world, scenario } = cluster;
  await cluster.prepare();
  const needsTime = scenario.isRestless === true || cluster.faults.isUnfelt;
  const faultsMs = world.random.fork("phases").logBetween(needsTime ? 30_000 : 10_000, 180_000);
  const nemesis = new Nemesis(cluster, faultsMs);
  cluster.startCoordinators();
  for (let i = 0; i < scenario.workers; i++) cluster.startWorker(`machine-${i}`);
  const client = new SimClient(cluster, cluster.startClient());
  client.start();

  let phase: SimResult["phase"] = "faults";
  let lastLines: string[] = [];
  await world.runUntil(() => client.hasEnded, faultsMs);
  if (world.findings.length === 0) {
    phase = "calm";
    world.turnMsMax = 0;
    nemesis.calm();
    await world.runUntil(() => client.hasEnded, world.nowMs + scenario.calmMs);
    lastLines = trace.last(LINES_REPORTED);
    await world.runUntil(() => false, world.nowMs + (scenario.aftermathMs ?? AFTERMATH_MS));
  }
  if (world.findings.length > 0) lastLines = trace.last(LINES_REPORTED);
  else for (const checker of checkers) checker.atEnd?.(client.report);
  return { client, phase, lastLines };
}

function drawTurns(random: SimRandom): number {
  return random.chance(BUSY_LOOPS) ? random.logBetween(...TURN_MS) : 0;
}

function describeTurns(turnMsMax: number): string {
  return turnMsMax === 0 ? "" : `, turns of up to ${turnMsMax.toFixed(0)} ms`;
}

function watch(run: CheckedRun, network: SimNetwork): Checker[] {
  const checkers = CHECKERS.map((make) => make(run));
  for (const checker of checkers) {
    if (checker.onStore !== undefined) run.store.watchers.push((change) => checker.onStore?.(change));
    if (checker.onMessage !== undefined) network.taps.push((message, from) => checker.onMessage?.(message, from));
  }
  return checkers;
}
