/**
 * `npm run sim -- --seeds N [--from S]`: simulates seeds S to S+N-1 and ends with one line of JSON. Exit status 1: a seed
 * failed. `docs/testing.md`, "Simulation", says how to read a failure and how to replay it.
 */
import { availableParallelism } from "node:os";
import cliProgress from "cli-progress";
import { Command, InvalidArgumentError } from "commander";
import { commitOf } from "./commit.js";
import { FAULT_PROFILES, type ProfileName } from "./faults.js";
import { briefFailure, describeFailure, summaryOf } from "./report.js";
import { runSeeds } from "./seed-pool.js";
import { DEFAULT_PROFILE, type SimResult, simulate } from "./simulate.js";

interface Options {
  readonly seeds: number;
  readonly from: number;
  readonly jobs: number;
  readonly profile: ProfileName;
  readonly trace: boolean;
  readonly brief: boolean;
  readonly stopAtFirst: boolean;
}

/** A thousand seeds that fail alike do not need a thousand reports. */
const REPORTS_MAX = 5;

const program = new Command("sim")
  .option("--seeds <count>", "how many seeds", whole, 100)
  .option("--from <seed>", "the first seed", whole, 1)
  .option("--jobs <count>", "seeds at a time, each in a process", whole, availableParallelism())
  .option("--profile <name>", `what may fail: ${Object.keys(FAULT_PROFILES).join(", ")}`, profile, DEFAULT_PROFILE)
  .option("--trace", "print everything that happens (with one seed)", false)
  .option("--brief", "one line per failure", false)
  .option("--stop-at-first", "end at the first seed that fails", false);
const options: Options = program.parse().opts<Options>();
const { seeds, from } = options;
console.log(`commit ${commitOf()}, seeds ${from} to ${from + seeds - 1}, profile ${options.profile}`);

const startedMs = performance.now();
const results: SimResult[] = [];
const bar = new cliProgress.SingleBar({
  format: "  {bar} {value}/{total} seeds  {failed} failed  {eta_formatted} left",
  hideCursor: true,
  stream: process.stderr,
  noTTYOutput: false,
});
const failed = () => results.filter(({ findings }) => findings.length > 0).length;
if (process.stderr.isTTY === true && !options.trace) bar.start(seeds, 0, { failed: 0 });
const take = (result: SimResult): boolean => {
  results.push(result);
  bar.update(results.length, { failed: failed() });
  if (result.findings.length > 0 && options.brief) console.log(briefFailure(result));
  else if (result.findings.length > 0 && failed() <= REPORTS_MAX) console.log(describeFailure(result, options.profile));
  return options.stopAtFirst && result.findings.length > 0;
};

if (options.trace || options.jobs === 1) {
  for (let seed = from; seed < from + seeds; seed++) {
    const echo = options.trace ? { echo: (line: string) => console.log(line) } : {};
    if (take(await simulate(seed, { profile: options.profile, ...echo }))) break;
  }
} else {
  await runSeeds({ from, seeds, jobs: options.jobs, profile: options.profile, onResult: take });
}
bar.stop();
console.log(summaryOf(results, performance.now() - startedMs));
process.exitCode = failed() > 0 ? 1 : 0;

function whole(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("Give a whole number from 1 on.");
  return value;
}

function profile(text: string): ProfileName {
  if (Object.hasOwn(FAULT_PROFILES, text)) return text as ProfileName;
  throw new InvalidArgumentError(`Give one of: ${Object.keys(FAULT_PROFILES).join(", ")}.`);
}
