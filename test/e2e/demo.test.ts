/** `npm run demo`, as the README promises it: real pages through real models, with what it prints and leaves. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../../src/cli/packages.js";

describe("e2e: the demo", function () {
  this.timeout(120_000);
  let printed = "";
  let status: number | null = null;

  before(async () => {
    const child = spawn(process.execPath, [join(packageRoot, "dist/examples/document-ocr/demo.js")], {
      cwd: packageRoot,
    });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text) => (printed += text));
    status = await new Promise((resolve) => child.once("close", resolve));
  });

  it("ends well and says where the output is, pages, words, seconds and accuracy", () => {
    assert.equal(status, 0, printed);
    assert.match(printed, /parquet\s+\S+document-ocr\/parquet/);
    assert.match(printed, /pages\s+31\n\s+words\s+\d+\n\s+seconds\s+[\d.]+/);
    assert.match(printed, /\d+\/31 pages {2}[\d.-]+ pages\/s {2}queue \d+/);
  });

  it("reads the clean pages with at most 5 % character errors, and prints the noisy ones' rate as it is", () => {
    const rates = /error rate ([\d.]+) % over the clean pages, ([\d.]+) % over the skewed and noisy ones/.exec(printed);
    assert.ok(rates !== null, printed);
    assert.ok(Number(rates[1]) <= 5);
    assert.ok(Number(rates[2]) > Number(rates[1]), "noisy pages are harder");
  });

  it("leaves Parquet, JSON Lines and a report with every page, and no dead letters", async () => {
    const output = join(packageRoot, "millrace-output/document-ocr");
    const folders = await readdir(output);
    assert.deepEqual(folders.sort(), ["jsonl", "parquet", "report"]);
    const files = await readdir(join(output, "jsonl"));
    const texts = await Promise.all(files.map((file) => readFile(join(output, "jsonl", file), "utf8")));
    const rows = texts.flatMap((text) => text.trim().split("\n"));
    assert.equal(rows.length, 31);
    const report = await readFile(join(output, "report/index.html"), "utf8");
    for (const row of rows) assert.ok(report.includes((JSON.parse(row) as { name: string }).name));
  });
});
