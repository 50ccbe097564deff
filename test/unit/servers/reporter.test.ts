import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { packageRoot } from "../../servers/find.js";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly lastLine: string | undefined;
}

/** Runs `fixture.ts` with mocha on a machine where NATS_SERVER_BIN and MINIO_BIN name nothing. */
function runFixture(fixture: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const mocha = join(packageRoot(), "node_modules", "mocha", "bin", "mocha.js");
  const plugins = ["--require", here("../../servers/hooks.js"), "--reporter", here("../../servers/reporter.js")];
  const none = {
    NATS_SERVER_BIN: "/nowhere/nats-server",
    MINIO_BIN: "/nowhere/minio",
    CI: "",
    MILLRACE_TEST_SERVERS: "",
  };
  const child = spawn(process.execPath, [mocha, "--no-config", ...plugins, here("./fixture.js")], {
    env: { ...process.env, ...none, FIXTURE: fixture, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
  });
  return new Promise((resolve) => {
    child.once("close", (status) =>
      resolve({ status, output: output + errors, lastLine: output.trimEnd().split("\n").at(-1) }),
    );
  });
}

describe("servers/reporter: the end of a run", () => {
  it("the last line is mocha's own counts (R1)", async () => {
    const { status, lastLine } = await runFixture("passes fails marked");
    assert.equal(lastLine, "1 passed, 1 failed, 1 skipped");
    assert.equal(status, 1);
  });

  it("a failing hook counts as a failure (R1)", async () => {
    const { status, lastLine } = await runFixture("after-fails");
    assert.equal(lastLine, "1 passed, 1 failed, 0 skipped");
    assert.equal(status, 1);
  });

  it("lists what was skipped with the reason that the test gave", async () => {
    const { status, output, lastLine } = await runFixture("passes because marked");
    assert.match(output, /Not run:\n[\s\S]* {2}no such interpreter; install it\n {4}- lacks something\n/);
    assert.match(output, / {2}marked as skipped in the test\n {4}- marked\n/);
    assert.equal(lastLine, "1 passed, 0 failed, 2 skipped");
    assert.equal(status, 0);
  });

  for (const fixture of ["passes marked", "passes because"]) {
    it(`with CI=true a skipped test fails the run (R2, N1): ${fixture}`, async () => {
      const { status } = await runFixture(fixture, { CI: "true" });
      assert.notEqual(status, 0);
    });
  }

  it("with CI=true a run without tests fails (R2)", async () => {
    const { status, lastLine } = await runFixture("", { CI: "true" });
    assert.equal(lastLine, "0 passed, 0 failed, 0 skipped");
    assert.notEqual(status, 0);
  });

  it("with CI=true a run in which all passes exits with 0 (R2)", async () => {
    const { status } = await runFixture("passes", { CI: "true" });
    assert.equal(status, 0);
  });
});

describe("servers/hooks: something is left open", () => {
  it("the run ends all the same, says what it was, and fails", async () => {
    const { status, output } = await runFixture("passes hangs", { MILLRACE_TEST_GRACE_MS: "300" });
    assert.match(output, /2 passed, 0 failed, 0 skipped/);
    assert.match(output, /after 300 ms something still keeps the process: .*Timeout/);
    assert.equal(status, 1);
  });
});

describe("servers/hooks: no server to be had", () => {
  it("what needs it is not run, and listed with the reason and what gets it; after hooks do not fail", async () => {
    const { status, output, lastLine } = await runFixture("passes server");
    assert.equal(lastLine, "1 passed, 0 failed, 3 skipped", output);
    assert.match(output, /no nats server \(NATS_SERVER_BIN=\/nowhere\/nats-server: cannot be run\)/);
    assert.match(output, /to get it: correct or unset NATS_SERVER_BIN\n/);
    for (const title of ["needs a server one", "needs a server further in two", "starts one itself"]) {
      assert.ok(output.includes(`    - ${title}\n`), `not listed: ${title}\n${output}`);
    }
    assert.equal(status, 0);
  });

  it("with CI=true it is a failure that names the server", async () => {
    const { status, output } = await runFixture("passes server", { CI: "true" });
    assert.notEqual(status, 0);
    assert.match(output, /ServerUnavailableError: no nats server/);
  });
});
