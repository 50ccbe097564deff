/**
 * What the runtime costs on the demo's own work: the document-ocr topology in embedded mode against
 * `examples/document-ocr/bare-loop.ts`, in turn. Both decode, detect, crop, recognise and order the same pages with the
 * same functions, models, settings and one thread a session, and start their clock when their models are loaded.
 *
 * The sides differ in shape: the loop runs every stage in each of two processes; the topology decodes and crops in one
 * process and has its models in service instances. Its clock starts when the last model is READY, by when it has
 * decoded the first pages: a head start of under 0.1 s. Not measured: start-up, and the commit of the output.
 */
import { copyFile, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { demoFiles, runBareLoop } from "../examples/document-ocr/bare-loop.js";
import { realPorts } from "../src/base/real/ports.js";
import { runEmbedded } from "../src/cli/embedded.js";
import { packageRoot } from "../src/cli/packages.js";
import { readSubmission } from "../src/cli/submission.js";

/** Each page is read this often in one run, so that the ends, where a process idles, weigh little. */
const REPEATS = 2;
const PROCESSES = 2;

export async function run(options: {
  readonly runs: number;
  readonly log: (line: string) => void;
}): Promise<Record<string, unknown>> {
  const folder = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  try {
    return await compare(await copyPages(join(folder, "pages")), folder, options);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function copyPages(folder: string): Promise<string[]> {
  await mkdir(folder);
  const copies: string[] = [];
  for (let turn = 0; turn < REPEATS; turn++) {
    for (const file of await demoFiles()) {
      const copy = join(folder, `${turn}-${basename(file)}`);
      await copyFile(file, copy);
      copies.push(copy);
    }
  }
  return copies;
}

async function compare(
  files: readonly string[],
  folder: string,
  options: { readonly runs: number; readonly log: (line: string) => void },
): Promise<Record<string, unknown>> {
  const ours: number[] = [];
  const bare: number[] = [];
  for (let turn = 1; turn <= options.runs; turn++) {
    const bareRun = await runBareLoop({ files, processes: PROCESSES, threads: 1 });
    bare.push(bareRun.pages / bareRun.seconds);
    ours.push(files.length / (await runTopology(files.length, folder)));
    options.log(`run ${turn}: bare ${bare.at(-1)!.toFixed(2)} pages/s, ours ${ours.at(-1)!.toFixed(2)} pages/s`);
  }
  const [oursMedian, bareMedian] = [median(ours), median(bare)];
  return {
    name: "pipeline-overhead",
    ours_pages_per_s: round(oursMedian),
    bare_pages_per_s: round(bareMedian),
    ratio: round(oursMedian / bareMedian),
    ours_runs: ours.map(round),
    bare_runs: bare.map(round),
  };
}

/** @returns seconds from the moment when every model is READY to the last row at the sinks */
async function runTopology(pages: number, folder: string): Promise<number> {
  const submission = await readSubmission(join(packageRoot, "examples/document-ocr/topology.ts"), {
    params: { input: join(folder, "pages/*.{png,jpg}"), output: join(folder, "output") },
    parallelism: 0,
    cache: join(folder, "cache"),
  });
  const job = await runEmbedded(submission, { outputRoot: folder, s3: {}, ports: realPorts() });
  const sinks = submission.topology.operators.filter((node) => node.kind === "sink").length;
  let readyMs = 0;
  let doneMs = 0;
  try {
    await job.ended((report) => {
      const ready = report.instances.length > 0 && report.instances.every((instance) => instance.state === "READY");
      if (ready && readyMs === 0) readyMs = performance.now();
      if (Number(report.rowsWritten) / sinks >= pages && doneMs === 0) doneMs = performance.now();
    });
  } finally {
    await job.close();
  }
  if (readyMs === 0) throw new Error("the job ended before its models were seen READY; give it more pages");
  return ((doneMs === 0 ? performance.now() : doneMs) - readyMs) / 1000;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
