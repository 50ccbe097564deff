/** What a run says: a failure as a person needs it, and the summary as one line of JSON. */
import type { SimResult } from "./simulate.js";

export function describeFailure(result: SimResult, profile: string): string {
  return [
    `\nFAILED seed ${result.seed} in the ${result.phase} phase, at ${(result.virtualMs / 1000).toFixed(3)} s of virtual time`,
    `  scenario  ${result.scenario}`,
    `  faults    ${result.faultsOn}`,
    `  bounds    ${result.knobs}`,
    `  struck    ${[...result.counts].map(([kind, count]) => `${kind} ${count}`).join(", ") || "none"}`,
    `  job       ${result.outcome}`,
    ...result.findings.flatMap(({ checker, expected, seen }) => [
      `  checker   ${checker}`,
      `    expected  ${expected}`,
      `    seen      ${seen}`,
    ]),
    `  the last ${result.lastLines.length} lines of ${result.hash}:`,
    ...result.lastLines.map((line) => `    ${line}`),
    `  replay: npm run sim -- --from ${result.seed} --seeds 1 --profile ${profile} --trace`,
  ].join("\n");
}

export function briefFailure({ seed, phase, scenario, findings }: SimResult): string {
  const name = scenario.slice(0, scenario.indexOf(":"));
  const { checker, expected, seen } = findings[0]!;
  return `FAILED seed ${seed} (${name}, ${phase}) ${checker}: expected ${expected}; seen ${seen}`;
}

/** The last line of a run. */
export function summaryOf(results: readonly SimResult[], wallMs: number): string {
  const faults = new Map<string, number>();
  for (const { counts } of results) {
    for (const [kind, count] of counts) faults.set(kind, (faults.get(kind) ?? 0) + count);
  }
  return JSON.stringify({
    seeds: results.length,
    failures: results.filter(({ findings }) => findings.length > 0).length,
    faults: Object.fromEntries([...faults].sort(([a], [b]) => (a < b ? -1 : 1))),
    virtual_s: Math.round(results.reduce((sum, { virtualMs }) => sum + virtualMs, 0) / 1000),
    wall_s: Math.round(wallMs / 100) / 10,
  });
}
