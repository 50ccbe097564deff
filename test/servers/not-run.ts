/**
 * What was not run, and why: written by the mocha plugin and by tests, read by the reporter.
 *
 * Invariant N1: with `CI=true` nothing is skipped; asking for it is an error there.
 */
import { inCi } from "./find.js";

const reasons = new WeakMap<Mocha.Suite | Mocha.Runnable, string>();

/** Skips the test or, in a hook, what the hook prepares for, with a reason that the end of the run prints. */
export function skipBecause(context: Mocha.Context, reason: string): never {
  if (inCi()) throw new Error(`with CI=true nothing may be skipped: ${reason}`);
  const target = whatIsSkipped(context);
  if (target !== undefined) reasons.set(target, reason);
  return context.skip();
}

/** A `before` stands for its suite, a `beforeEach` for the test that would follow, a test for itself. */
function whatIsSkipped(context: Mocha.Context): Mocha.Suite | Mocha.Runnable | undefined {
  const runnable = context.runnable();
  if (runnable.title.startsWith('"before all" hook')) return runnable.parent;
  if (runnable.title.startsWith('"before each" hook')) return context.currentTest;
  return runnable;
}

/** The reason given for the test or for a suite around it. */
export function reasonOf(test: Mocha.Test): string | undefined {
  const own = reasons.get(test);
  if (own !== undefined) return own;
  for (let suite = test.parent; suite !== undefined; suite = suite.parent) {
    const reason = reasons.get(suite);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
