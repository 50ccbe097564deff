/**
 * Makes the videos, runs the topology over them with `millrace run`, and writes the report:
 * `node dist/examples/video-frames/demo.js [folder]`.
 */
import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeVideos } from "./make-videos.js";
import { findPrograms } from "./programs.js";
import { type FrameRow, type SceneRow, writeReport } from "./report.js";

const output = process.argv[2] ?? "millrace-output/video-frames";
const { ffmpeg, ffprobe } = findPrograms();
const videos = await makeVideos(join(output, "videos"), ffmpeg);

const command = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
const params = { input: `${output}/videos/*`, output, ffmpeg, ffprobe };
const startedMs = performance.now();
const run = spawnSync(
  process.execPath,
  [
    ...[command, "run", "examples/video-frames/topology.ts", "--overwrite"],
    ...Object.entries(params).flatMap(([name, value]) => ["--param", `${name}=${value}`]),
  ],
  { stdio: "inherit" },
);
if (run.status !== 0) process.exit(run.status ?? 1);
const seconds = (performance.now() - startedMs) / 1000;

const frames = await readRows<FrameRow>("frames");
const scenes = await readRows<SceneRow>("jsonl");
const report = await writeReport(join(output, "report"), frames, scenes, {
  seconds,
  outputs: [`${output}/parquet`, `${output}/jsonl`, `${output}/frames`],
});
process.stdout.write(`
  scenes     ${frames.length} in ${videos.length} videos
  different  ${scenes.length}
  texts      ${scenes.reduce((sum, { texts }) => sum + texts.length, 0)} lines
  seconds    ${seconds.toFixed(1)}, from the command to the end
  report     ${report}
`);

async function readRows<Row>(folder: string): Promise<Row[]> {
  const names = (await readdir(join(output, folder))).filter((name) => name.endsWith(".jsonl"));
  const texts = await Promise.all(names.sort().map((name) => readFile(join(output, folder, name), "utf8")));
  return texts.flatMap((text) => text.split("\n").filter((line) => line !== "")).map((line) => JSON.parse(line) as Row);
}
