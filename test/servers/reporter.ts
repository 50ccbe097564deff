/**
 * Mocha's spec output, then what was not run and why, then one last line: `N passed, N failed, N skipped`.
 *
 * Invariants:
 *   R1  The last line is made from mocha's own counts, and nothing is printed after it.
 *   R2  With `CI=true` a run that skipped anything, or ran nothing, does not exit with 0.
 */
import Mocha from "mocha";
import { inCi } from "./find.js";
import { reasonOf } from "./not-run.js";

const UNEXPLAINED = "marked as skipped in the test";

export default class Reporter extends Mocha.reporters.Spec {
  readonly #notRun: Mocha.Test[] = [];

  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    runner.on(Mocha.Runner.constants.EVENT_TEST_PENDING, (test) => this.#notRun.push(test));
  }

  override epilogue(): void {
    super.epilogue();
    this.#listNotRun();
    const { passes, failures, pending } = this.stats;
    console.log(`${passes} passed, ${failures} failed, ${pending} skipped`);
  }

  /** `failures` becomes the exit status. */
  override done(failures: number, fn?: (failures: number) => void): void {
    const { passes, pending } = this.stats;
    const emptyRun = passes + failures === 0 ? 1 : 0;
    fn?.(inCi() ? failures + pending + emptyRun : failures);
  }

  #listNotRun(): void {
    if (this.#notRun.length === 0) return;
    const byReason = new Map<string, Mocha.Test[]>();
    for (const test of this.#notRun) {
      const reason = reasonOf(test) ?? UNEXPLAINED;
      byReason.set(reason, [...(byReason.get(reason) ?? []), test]);
    }
    console.log("Not run:");
    for (const [reason, tests] of byReason) {
      console.log(`  ${reason}`);
      for (const test of tests) console.log(`    - ${test.fullTitle()}`);
    }
    console.log("");
  }
}
