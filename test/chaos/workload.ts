/**
 * The jobs of a chaos run: what they read, what a run without failures gives (embedded, in one process), and what is published.
 *
 * Compared is every column but two. The confidence of a reading: which strips share a call of the model is not fixed, and its last
 * digits depend on that. The longest word among those counted so far: their order is not fixed.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import sharp from "sharp";
import { pagesFolder } from "../../examples/document-ocr/places.js";
import type { MillraceProcess } from "../e2e/millrace-process.js";
import type { ChaosCluster } from "./chaos-cluster.js";

export type WorkloadName = "ocr" | "words" | "counts";

export interface Workload {
  readonly name: WorkloadName;
  /** Rows of a run without failures, of all outputs. */
  readonly expected: readonly string[];
  submit(output: string): MillraceProcess;
  published(output: string): Promise<string[]>;
  deadLetters(output: string): Promise<string[]>;
}

interface Kind {
  readonly file: string;
  /** Parameters beside `input` and `output`; those of the run without failures, which need not last, come after. */
  readonly params: Readonly<Record<string, string>>;
  readonly quick: Readonly<Record<string, string>>;
  readonly parallelism: number;
  readonly deadLetters: string;
  /** @returns the parameters that depend on the folder */
  makeInput(folder: string): Promise<Readonly<Record<string, string>>>;
  rowsOf(key: string, bytes: Uint8Array): Promise<string[]>;
}

export async function prepareWorkload(name: WorkloadName, cluster: ChaosCluster): Promise<Workload> {
  const kind = KINDS[name];
  const folder = join(cluster.folder, name);
  await mkdir(folder);
  const params = { ...kind.params, ...(await kind.makeInput(folder)) };
  const embedded = join(folder, "embedded");
  const { status, stderr } = await cluster.run(
    "run",
    kind.file,
    ...flags({ ...params, ...kind.quick, output: embedded }),
  ).ended;
  if (status !== 0) throw new Error(`${name}: the run without failures failed\n${stderr}`);
  const files = await readdir(embedded, { recursive: true, withFileTypes: true });
  const contents = files
    .filter((file) => file.isFile())
    .map(async (file) =>
      kind.rowsOf(join(file.parentPath, file.name), await readFile(join(file.parentPath, file.name))),
    );
  const stored = async (prefix: string, leaveOut: string) => {
    const rows: string[] = [];
    for await (const { key } of cluster.store.list(prefix)) {
      // What begins with "_" is staged: readers of a folder leave it out.
      if (key.includes("/_") || (leaveOut !== "" && key.startsWith(leaveOut))) continue;
      rows.push(...(await kind.rowsOf(key, await cluster.store.get(key))));
    }
    return rows;
  };
  return {
    name,
    expected: (await Promise.all(contents)).flat(),
    submit: (output) =>
      cluster.run("submit", kind.file, "--parallelism", String(kind.parallelism), ...flags({ ...params, output })),
    published: (output) => stored(`${output}/`, `${output}${kind.deadLetters}`),
    deadLetters: (output) => stored(`${output}${kind.deadLetters}/`, ""),
  };
}

function flags(params: Readonly<Record<string, string>>): string[] {
  return Object.entries(params).flatMap(([key, value]) => ["-p", `${key}=${value}`]);
}

const COPIES = 2;
const PAGE_WIDTH = 320;
const TEXTS = 40;
const WORDS = 60;

const KINDS: Readonly<Record<WorkloadName, Kind>> = {
  ocr: {
    file: "examples/document-ocr/topology.ts",
    params: { detectors: "2", recognisers: "2" },
    quick: {},
    parallelism: 3,
    deadLetters: "/dead-letters",
    async makeInput(folder) {
      const pages = join(folder, "pages");
      await mkdir(pages);
      for (const name of (await readdir(pagesFolder())).filter((file) => /\.(png|jpg)$/.test(file))) {
        const small = await sharp(join(pagesFolder(), name)).resize({ width: PAGE_WIDTH }).png().toBuffer();
        for (let copy = 0; copy < COPIES; copy++) await writeFile(join(pages, `${copy}-${name}.png`), small);
      }
      return { input: join(pages, "*.png") };
    },
    async rowsOf(key, bytes) {
      const sink = key.endsWith(".parquet") ? "parquet" : "jsonl";
      const rows =
        sink === "parquet"
          ? await parquetReadObjects({ file: new Uint8Array(bytes).buffer, compressors })
          : linesOf(bytes).map((line) => JSON.parse(line) as Record<string, unknown>);
      return rows.map(
        (row) => `${sink} ${JSON.stringify(row, (column, value) => (column === "confidence" ? 0 : value))}`,
      );
    },
  },
  words: {
    file: "test/fixtures/slow-words.ts",
    params: { keyed: "yes" },
    quick: { workMs: "0" },
    parallelism: 3,
    deadLetters: "-dead-letters",
    makeInput: makeTexts,
    rowsOf: async (_, bytes) => linesOf(bytes),
  },
  counts: {
    file: "test/fixtures/count-words.ts",
    // Each count is a row: one that is lost or done twice shows, whatever comes after.
    params: { emit: "changes", pauseMs: "1500" },
    quick: { pauseMs: "0" },
    parallelism: 3,
    deadLetters: "-dead-letters",
    makeInput: makeTexts,
    rowsOf: async (_, bytes) => linesOf(bytes).map((line) => JSON.stringify({ ...JSON.parse(line), longest: "" })),
  },
};

async function makeTexts(folder: string): Promise<Record<string, string>> {
  for (let text = 0; text < TEXTS; text++) {
    const words = Array.from({ length: WORDS }, (_, i) => `${"abcdefghij"[(text + i) % 10]}${text}-${i}`);
    await writeFile(join(folder, `text-${text}.txt`), words.join("\n"));
  }
  await mkdir(join(folder, "marks"));
  return { input: join(folder, "text-*.txt"), marks: join(folder, "marks") };
}

function linesOf(bytes: Uint8Array): string[] {
  return Buffer.from(bytes)
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "");
}
