import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { packageRoot } from "../../servers/find.js";

// Method: the real script with an `npm` of our own first on the PATH.
describe(".ci/run: what it ends with", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-ci-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  async function runWith(npmTest: string, npmLint = "exit 0") {
    const npm = join(folder, "npm");
    const calls = join(folder, "calls");
    writeFileSync(
      npm,
      `#!/bin/sh
echo "$* CI=$CI" >>"${calls}"
[ "$1" = ci ] && exit 0
[ "$1" = run ] && { ${npmLint}; }
${npmTest}
`,
    );
    chmodSync(npm, 0o755);
    const child = spawn("bash", [join(packageRoot(), ".ci", "run")], {
      env: { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}`, TMPDIR: folder },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
    const lastLine = output.trimEnd().split("\n").at(-1);
    return { status, lastLine, calls: readFileSync(calls, "utf8").trim().split("\n") };
  }

  it("installs, lints and tests, with CI=true, and leaves no temporary file", async () => {
    const { status, lastLine, calls } = await runWith("echo '3 passed, 0 failed, 0 skipped'");
    assert.deepEqual(calls, ["ci CI=true", "run lint CI=true", "test CI=true"]);
    assert.equal(lastLine, "3 passed, 0 failed, 0 skipped");
    assert.equal(status, 0);
    assert.deepEqual(readdirSync(folder).sort(), ["calls", "npm"]);
  });

  it("the count is the last line even if something is printed after it, and a failure is the exit status", async () => {
    const { status, lastLine } = await runWith("echo '2 passed, 1 failed, 0 skipped'; echo npm error; exit 7");
    assert.equal(lastLine, "2 passed, 1 failed, 0 skipped");
    assert.equal(status, 7);
  });

  it("tests that end before they are counted are a failure", async () => {
    const { status } = await runWith("echo crash; exit 0");
    assert.notEqual(status, 0);
  });

  it("a lint error ends it before the tests", async () => {
    const { status, calls } = await runWith("echo '3 passed, 0 failed, 0 skipped'", "exit 1");
    assert.equal(calls.length, 2);
    assert.notEqual(status, 0);
  });

  it("the tests get no standard input", async () => {
    const { lastLine } = await runWith(
      "read -r line && echo '0 passed, 1 failed, 0 skipped' || echo '1 passed, 0 failed, 0 skipped'",
    );
    assert.equal(lastLine, "1 passed, 0 failed, 0 skipped");
  });
});
