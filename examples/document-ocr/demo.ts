/**
 * What `npm run demo` does: runs the topology with `millrace run`, then measures the result against the pages' true
 * text and writes the report.
 */
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { measure, type TruthPage } from "./accuracy.js";
import type { PageResult } from "./page-result.js";
import { pagesFolder } from "./places.js";
import { writeReport } from "./report.js";

const OUTPUT = "millrace-output/document-ocr";

const command = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const startedMs = performance.now();
const run = spawnSync(
  process.execPath,
  [command, "run", "examples/document-ocr/topology.ts", "--overwrite", "--param", `output=${OUTPUT}`],
  { stdio: "inherit" },
);
if (run.status !== 0) process.exit(run.status ?? 1);
const seconds = (performance.now() - startedMs) / 1000;

const truth = JSON.parse(await readFile(join(pagesFolder(), "truth.json"), "utf8")) as TruthPage[];
const rows = await readRows(join(OUTPUT, "jsonl"));
const accuracy = measure(truth, new Map(rows.map((row) => [row.name, row.text])));
const pages = rows.map((row) => ({ ...row, uri: pathToFileURL(join(pagesFolder(), row.name)).href }));
const report = await writeReport(join(OUTPUT, "report"), pages, {
  seconds,
  truth,
  outputs: [`${OUTPUT}/parquet`, `${OUTPUT}/jsonl`],
});

const percent = (share: number) => `${(share * 100).toFixed(2)} %`;
const words = rows.reduce((sum, row) => sum + row.words, 0);
process.stdout.write(`
  pages      ${rows.length}
  words      ${words}
  seconds    ${seconds.toFixed(1)}, from the command to the end
  accuracy   character error rate ${percent(accuracy.clean.spaced)} over the clean pages, ${percent(accuracy.noisy.spaced)} over the skewed and noisy ones
  report     ${relative(process.cwd(), report)}
`);

/** Clean pages that are read worse than this mean that something is broken. */
const CLEAN_ERROR_RATE_MAX = 0.05;
if (rows.length !== truth.length || accuracy.clean.spaced > CLEAN_ERROR_RATE_MAX) {
  process.stderr.write(
    `demo: expected ${truth.length} pages with at most ${percent(CLEAN_ERROR_RATE_MAX)} errors on clean ones.\n`,
  );
  process.exit(1);
}

interface OutputRow extends Omit<PageResult, "uri"> {
  readonly name: string;
  readonly words: number;
}

async function readRows(folder: string): Promise<OutputRow[]> {
  const rows: OutputRow[] = [];
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(".jsonl")).sort()) {
    const lines = (await readFile(join(folder, file), "utf8")).split("\n").filter((line) => line !== "");
    rows.push(...lines.map((line) => JSON.parse(line) as OutputRow));
  }
  return rows.sort((a, b) => (a.name < b.name ? -1 : 1));
}
