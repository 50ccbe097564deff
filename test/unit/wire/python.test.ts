import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PYTHON_INSTALL_MS_MAX, pythonFor } from "../../servers/python.js";
import { framesFolder, packageRoot, schemas } from "./hex-file.js";

describe("wire: a reader that shares no code with us (fastavro, pyarrow)", () => {
  let python = "";

  before(async function () {
    this.timeout(PYTHON_INSTALL_MS_MAX);
    python = await pythonFor(this, "test/python/requirements.txt");
  });

  it("finds every schema's fingerprint, and in every golden frame the header and rows that went in", function () {
    this.timeout(60_000);
    const { status, output } = readFrames(framesFolder);
    assert.equal(status, 0, output);
    const count = readdirSync(framesFolder).filter((file) => file.endsWith(".hex")).length;
    assert.match(output, new RegExp(`read ${count} frames and ${schemas.kinds.length} schemas`));
  });

  it("is not satisfied with other values than those in the frame", function () {
    this.timeout(60_000);
    const folder = mkdtempSync(join(tmpdir(), "millrace-frames-"));
    try {
      copyFileSync(join(framesFolder, "data.hex"), join(folder, "data.hex"));
      const expected = readFileSync(join(framesFolder, "data.json"), "utf8");
      writeFileSync(join(folder, "data.json"), expected.replace('"mill"', '"mall"'));
      const { status, output } = readFrames(folder);
      assert.equal(status, 1, output);
      assert.match(output, /FAILED data: AssertionError: rows/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  function readFrames(folder: string): { status: number | null; output: string } {
    const script = join(packageRoot, "test", "python", "read_frames.py");
    const run = spawnSync(python, [script, join(packageRoot, "schemas"), folder], {
      input: JSON.stringify(fingerprints()),
      encoding: "utf8",
      timeout: 50_000,
    });
    return { status: run.status, output: `${run.stdout}${run.stderr}${run.error ?? ""}` };
  }
});

/** As the eight bytes stand in a frame. */
function fingerprints(): Record<string, string> {
  return Object.fromEntries(
    schemas.kinds.map((kind) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(schemas.current(kind).fingerprint);
      return [kind, bytes.toString("hex")];
    }),
  );
}
