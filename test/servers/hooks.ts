/**
 * The mocha plugin: gets the servers first where that is allowed, turns "no such server" into "not run", and stops
 * every server at the end. A run that does not end by itself fails.
 *
 * It wraps the hooks and tests of all suites after they have been declared, because a `before` that calls `startNats()`
 * holds no mocha context to skip with.
 */
import { findServer, inCi, mayInstall, type ServerName, ServerUnavailableError, serversScript } from "./find.js";
import { skipBecause } from "./not-run.js";
import { stopAllServers } from "./running.js";

const GRACE_MS = 10_000;

/** Building MinIO takes minutes, more than any test's time limit; so it happens before the first test. */
export async function mochaGlobalSetup(): Promise<void> {
  if (!mayInstall()) return;
  const { describeServer } = await serversScript();
  for (const server of ["nats", "minio"] satisfies ServerName[]) console.log(describeServer(await findServer(server)));
}

/**
 * Something that a test left open (a connection, a timer) would let the run hang after its last test. That is a fault to
 * find, not to hide with mocha's `--exit`: the run is ended after a while, says what was open, and counts as failed.
 */
export function mochaGlobalTeardown(): void {
  const graceMs = Number(process.env.MILLRACE_TEST_GRACE_MS ?? GRACE_MS);
  const timer = setTimeout(() => {
    const open = process.getActiveResourcesInfo().join(", ");
    console.error(`the tests are over, but after ${graceMs} ms something still keeps the process: ${open}`);
    // Mocha sets the exit status in an exit handler of its own, so this one must come after it.
    process.on("exit", () => {
      process.exitCode = 1;
    });
    process.exit();
  }, graceMs);
  timer.unref();
}

export const mochaHooks: Mocha.RootHookObject = {
  beforeAll(this: Mocha.Context) {
    const root = this.runnable().parent;
    if (root !== undefined && !inCi()) wrapSuite(root);
  },
  async afterAll() {
    await stopAllServers();
  },
};

/** `getHooks` is mocha's own way to its hooks, missing in its types. */
type SuiteWithHooks = Mocha.Suite & { getHooks(name: "beforeAll" | "beforeEach" | "afterAll"): Mocha.Hook[] };

function wrapSuite(suite: Mocha.Suite): void {
  const { getHooks } = suite as SuiteWithHooks;
  const state = { notRun: false };
  const onMissing = (context: Mocha.Context, error: ServerUnavailableError): never => {
    state.notRun = true;
    return skipBecause(context, `no ${error.server} server (${error.reason}); to get it: ${error.command}`);
  };
  for (const hook of getHooks.call(suite, "beforeAll")) wrap(hook, onMissing);
  for (const hook of getHooks.call(suite, "beforeEach")) wrap(hook, onMissing);
  for (const test of suite.tests) wrap(test, onMissing);
  for (const hook of getHooks.call(suite, "afterAll")) forgive(hook, state);
  for (const inner of suite.suites) wrapSuite(inner);
}

type Callback = (this: Mocha.Context) => unknown;

function wrap(runnable: Mocha.Runnable, onMissing: (context: Mocha.Context, error: ServerUnavailableError) => never) {
  const run = runnable.fn as Callback | undefined;
  if (run === undefined || run.length > 0) return; // nothing to run, or callback style, which cannot await a server
  runnable.fn = async function (this: Mocha.Context) {
    try {
      await run.call(this);
    } catch (error) {
      if (error instanceof ServerUnavailableError) onMissing(this, error);
      throw error;
    }
  };
}

/** An `after` of a suite whose `before` found no server: what it would clean up was never made. */
function forgive(hook: Mocha.Hook, state: { readonly notRun: boolean }): void {
  const run = hook.fn as Callback | undefined;
  if (run === undefined || run.length > 0) return;
  hook.fn = async function (this: Mocha.Context) {
    try {
      await run.call(this);
    } catch (error) {
      if (!state.notRun) throw error;
    }
  };
}
