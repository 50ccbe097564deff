import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packageRoot } from "../../servers/find.js";

// Method: the real script, with programs of our own in the place of mocha.
describe("scripts/test: what two runs of mocha come to", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "millrace-lanes-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  async function runLanes(...programs: string[]) {
    const args = programs.flatMap((program, i) => {
      const file = join(folder, `lane-${i}.mjs`);
      writeFileSync(file, program);
      return ["--lane", file];
    });
    const script = join(packageRoot(), "scripts", "test.mjs");
    const env = { ...process.env, CI: "" };
    return new Promise<{ status: number; lines: string[] }>((resolve) => {
      execFile(process.execPath, [script, ...args], { env }, (error, stdout) => {
        resolve({ status: Number(error?.code ?? 0), lines: stdout.trimEnd().split("\n") });
      });
    });
  }

  it("the last line is the sum, the only one of its kind, behind what each has printed (W1)", async () => {
    const { status, lines } = await runLanes(
      "setTimeout(() => console.log('one\\n3 passed, 0 failed, 1 skipped'), 200)",
      "console.log('two\\n4 passed, 0 failed, 0 skipped')",
    );
    assert.deepEqual(lines, ["one", "two", "7 passed, 0 failed, 1 skipped"]);
    assert.equal(status, 0);
  });

  it("a failure in either is one of both (W2)", async () => {
    const [good, bad] = [
      "console.log('3 passed, 0 failed, 0 skipped')",
      "console.log('4 passed, 2 failed, 0 skipped'); process.exitCode = 2",
    ];
    for (const lanes of [
      [good, bad],
      [bad, good],
    ]) {
      const { status, lines } = await runLanes(...lanes);
      assert.equal(lines.at(-1), "7 passed, 2 failed, 0 skipped");
      assert.equal(status, 2);
    }
  });

  it("what failed in the first is printed again behind the second (W3)", async () => {
    const { lines } = await runLanes(
      "console.log('one\\n  1 failing\\n  why\\n3 passed, 1 failed, 0 skipped')",
      "setTimeout(() => console.log('two\\n4 passed, 0 failed, 0 skipped'), 200)",
    );
    assert.deepEqual(lines, [
      "one",
      "  1 failing",
      "  why",
      "two",
      "  1 failing",
      "  why",
      "7 passed, 1 failed, 0 skipped",
    ]);
  });

  it("there is no sum where one ended before it could count, and that is a failure (W1, W2)", async () => {
    const { status, lines } = await runLanes(
      "console.log('3 passed, 0 failed, 0 skipped')",
      "console.log('4 passed, and then'); process.exit(0)",
    );
    assert.deepEqual(lines, ["4 passed, and then"]);
    assert.equal(status, 1);
  });
});
