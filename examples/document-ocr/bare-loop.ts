/**
 * The whole job without Millrace: a parent that hands out file numbers and N forked children that each read, decode,
 * detect, crop, recognise and order, with onnxruntime-node directly. It is what the runtime is measured against, so it
 * uses the same functions and the same settings, keeps two pages under way per child, and does nothing it need not.
 *
 * `node dist/examples/document-ocr/bare-loop.js [processes]` runs it over the demo's pages and prints speed,
 * accuracy and where the time goes.
 */
import { fork } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { measure, type TruthPage } from "./accuracy.js";
import type { FromChild, ToChild } from "./bare-loop-child.js";
import { addTimes, noTimes, type StageTimes } from "./bare-page.js";
import type { PageResult } from "./page-result.js";
import { pagesFolder } from "./places.js";

export interface BareLoopOptions {
  readonly files: readonly string[];
  readonly processes: number;
  /** Threads of one inference session. */
  readonly threads: number;
}

export interface BareLoopOutcome {
  readonly pages: number;
  /** From the first page handed out to the last result, all children loaded before. */
  readonly seconds: number;
  /** In the order of `files`. */
  readonly results: readonly PageResult[];
  /** Summed over the children, so it may exceed `seconds`. */
  readonly times: StageTimes;
}

/** Pages under way per child: while the model runs on one, the next is read and decoded. */
const IN_FLIGHT = 2;

/** @throws the first error of a child, naming its file; the other children are stopped */
export async function runBareLoop(options: BareLoopOptions): Promise<BareLoopOutcome> {
  const { files } = options;
  const children = Array.from({ length: options.processes }, () =>
    fork(fileURLToPath(new URL("./bare-loop-child.js", import.meta.url)), [String(options.threads)], {
      serialization: "advanced",
    }),
  );
  try {
    await Promise.all(
      children.map(
        (child) =>
          new Promise((resolve, reject) => {
            child.once("message", resolve);
            child.once("exit", (code) =>
              reject(new Error(`a bare-loop child ended with status ${code} while it loaded`)),
            );
          }),
      ),
    );
    const results = new Array<PageResult>(files.length);
    let times = noTimes();
    let next = 0;
    let open = files.length;
    const started = performance.now();
    await new Promise<void>((resolve, reject) => {
      if (open === 0) return resolve();
      for (const child of children) {
        const hand = (): void => {
          if (next < files.length) child.send({ index: next, file: files[next++]! } satisfies ToChild);
        };
        child.on("message", (message: FromChild) => {
          if (message.kind !== "page") return reject(new Error(`${files[message.index]}: ${message.message}`));
          results[message.index] = message.result;
          times = addTimes(times, message.times);
          if (--open === 0) resolve();
          else hand();
        });
        child.once("exit", (code) => reject(new Error(`a bare-loop child ended with status ${code}`)));
        for (let page = 0; page < IN_FLIGHT; page++) hand();
      }
    });
    return { pages: files.length, seconds: (performance.now() - started) / 1000, results, times };
  } finally {
    for (const child of children) child.kill("SIGKILL");
  }
}

/** The demo's page images, in the order of their names. */
export async function demoFiles(): Promise<string[]> {
  const names = await readdir(pagesFolder());
  return names
    .filter((name) => /\.(png|jpe?g)$/.test(name))
    .sort()
    .map((name) => join(pagesFolder(), name));
}

if (process.argv[1] === import.meta.filename) {
  const files = await demoFiles();
  const outcome = await runBareLoop({ files, processes: Number(process.argv[2] ?? 2), threads: 1 });
  const truth = JSON.parse(await readFile(join(pagesFolder(), "truth.json"), "utf8")) as TruthPage[];
  const accuracy = measure(truth, new Map(outcome.results.map((page) => [basename(page.uri), page.text])));
  const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
  for (const page of accuracy.pages) {
    console.log(
      `${page.file.padEnd(20)} ${page.condition}  edits ${page.spaced.edits} of ${page.spaced.characters}, without spaces ${page.unspaced.edits} of ${page.unspaced.characters}`,
    );
  }
  console.log(`clean: ${percent(accuracy.clean.spaced)}, without spaces ${percent(accuracy.clean.unspaced)}`);
  console.log(`noisy: ${percent(accuracy.noisy.spaced)}, without spaces ${percent(accuracy.noisy.unspaced)}`);
  console.log(
    `${outcome.pages} pages in ${outcome.seconds.toFixed(2)} s: ${(outcome.pages / outcome.seconds).toFixed(2)} pages/s`,
  );
  for (const [stage, ms] of Object.entries(outcome.times))
    console.log(`${stage.padEnd(18)} ${(ms / outcome.pages).toFixed(1)} ms a page`);
}
