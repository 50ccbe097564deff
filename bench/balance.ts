/**
 * Whether requests go where they are done soonest: 8 instances, one of them four times slower, Poisson arrivals at 80 % of what all can do.
 *
 *   ours         real `ServiceClient`s and `Instance`s, settings left out, on a memory bus by a virtual clock; each of the clients sees
 *                its own part of the arrivals, and of the others only what instances report
 *   oracle       each arrival goes where it will be done first: it knows all that is under way, and how long each request will take
 *   round_robin, random, two_choices (of two, the one with fewer requests at this moment): all see all arrivals
 *
 * All have the same arrivals and the same work, and the others' messages take no time either. Figures are the p99 of the time from
 * arrival to answer, the median of several seeds, after the first part of each run. The work of a request, in parts of the mean:
 * `equal`, all alike; `varied`, evenly between a half and one and a half; `exponential`, of which only the oracle can know which few take
 * long. The figure is the worse of the first two; all three are printed. Not measured: time on the way, processor, affinity, batches.
 */
import { performance } from "node:perf_hooks";
import { loadOf, type Work } from "./balance-load.js";
import { ours } from "./balance-ours.js";
import { oracle, type Policy, random, roundRobin, twoChoices } from "./balance-policies.js";
import { percentile, round } from "./embedded-job.js";

const SETTING = {
  requests: 20_000,
  clients: 4,
  slowness: [1, 1, 1, 1, 1, 1, 1, 4],
  workMs: 20,
  utilisation: 0.8,
};
/** Of each run; the clients do not know yet how fast each instance is. */
const WARM_UP_REQUESTS = 2_000;
const WORKS: readonly Work[] = ["equal", "varied", "exponential"];
const OF_FIGURE: readonly Work[] = ["equal", "varied"];
const POLICIES: Readonly<Record<string, Policy>> = {
  round_robin: roundRobin,
  random,
  two_choices: twoChoices,
  oracle,
};

interface Case {
  readonly work: Work;
  readonly ours_over_oracle: number;
  readonly ours_over_round_robin: number;
  /** Median of the seeds. */
  readonly p99_ms: Readonly<Record<string, number>>;
  /** Ours over the oracle, of each seed. */
  readonly ratios: readonly number[];
}

export async function run(options: { runs: number; log: (line: string) => void }): Promise<Record<string, unknown>> {
  const cases: Case[] = [];
  for (const work of WORKS) cases.push(await measure(work, options));
  const ofFigure = cases.filter(({ work }) => OF_FIGURE.includes(work));
  return {
    name: "balance",
    ours_over_oracle: Math.max(...ofFigure.map((one) => one.ours_over_oracle)),
    ours_over_round_robin: Math.max(...ofFigure.map((one) => one.ours_over_round_robin)),
    cases,
    seeds: options.runs,
    ...SETTING,
  };
}

async function measure(work: Work, { runs, log }: { runs: number; log: (line: string) => void }): Promise<Case> {
  const p99s: Record<string, number>[] = [];
  for (let seed = 1; seed <= runs; seed++) {
    const fromMs = performance.now();
    const load = loadOf({ ...SETTING, seed, work });
    const others = Object.entries(POLICIES).map(([name, policy]) => [name, p99(policy(load, seed))]);
    p99s.push({ ours: p99(await ours(load, seed)), ...Object.fromEntries(others) });
    const text = Object.entries(p99s.at(-1)!).map(([name, ms]) => `${name} ${ms.toFixed(1)}`);
    const took = `${((performance.now() - fromMs) / 1_000).toFixed(0)} s`;
    log(`balance ${work}, seed ${seed} (${took}): p99 in ms: ${text.join(", ")}`);
  }
  const names = Object.keys(p99s[0]!);
  const medianOf = (name: string) =>
    percentile(
      p99s.map((one) => one[name]!),
      0.5,
    );
  return {
    work,
    ours_over_oracle: round(medianOf("ours") / medianOf("oracle")),
    ours_over_round_robin: round(medianOf("ours") / medianOf("round_robin")),
    p99_ms: Object.fromEntries(names.map((name) => [name, round(medianOf(name))])),
    ratios: p99s.map((one) => round(one.ours! / one.oracle!)),
  };
}

function p99(tookMs: readonly number[]): number {
  return percentile(tookMs.slice(WARM_UP_REQUESTS), 0.99);
}
