/** `examples/video-frames`, as its README section promises it: real videos, the real detector, and a report. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeVideos, type TrueVideo } from "../../examples/video-frames/make-videos.js";
import type { FrameRow, SceneRow } from "../../examples/video-frames/report.js";
import { packageRoot } from "../servers/find.js";
import { media } from "../unit/functions/programs.js";
import { rowsBelow } from "./bad-input-support.js";
import { finished } from "./cluster.js";
import { millrace } from "./millrace-process.js";

/** A frame's time in a container is its number at a rate, rounded to milliseconds. */
const FRAME_MS = 45;

describe("e2e: examples/video-frames", function () {
  this.timeout(180_000);
  let folder: string;
  let truth: TrueVideo[];
  let printed = "";
  let frames: FrameRow[];
  let scenes: SceneRow[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-video-"));
    const child = spawn(process.execPath, [join(packageRoot(), "dist/examples/video-frames/demo.js"), folder], {
      cwd: packageRoot(),
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => (printed += text));
    }
    assert.equal(await new Promise((resolve) => child.once("close", resolve)), 0, printed);
    frames = await rowsBelow(join(folder, "frames"));
    scenes = await rowsBelow(join(folder, "jsonl"));
    truth = await makeVideos(join(folder, "again"), media.ffmpeg);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What the makers of a frame's video put there. */
  function sceneAt({ name, timestampMs }: { readonly name: string; readonly timestampMs: number }) {
    const all = truth.find(({ file }) => file === name)?.scenes ?? [];
    const found = all.find(({ startMs }) => Math.abs(startMs - timestampMs) < FRAME_MS);
    assert.ok(found !== undefined, `${name} has no scene that begins at ${timestampMs} ms`);
    return found;
  }

  it("takes one frame of each scene, where it begins", () => {
    const expected = truth.flatMap(({ file, scenes }) => scenes.map(({ scene }) => `${file} ${scene}`));
    assert.deepEqual(frames.map((frame) => `${frame.name} ${sceneAt(frame).scene}`).sort(), expected.sort());
  });

  it("knows a scene again in another video, size and codec, and takes no two for one", () => {
    for (const frame of frames) {
      if (frame.first !== null) assert.equal(sceneAt(frame.first).scene, sceneAt(frame).scene);
    }
    const different = new Set(truth.flatMap(({ scenes }) => scenes.map(({ scene }) => scene)));
    assert.deepEqual(scenes.map((scene) => sceneAt(scene).scene).sort(), [...different].sort());
  });

  it("finds the lines of text in each scene, and none in pictures", () => {
    for (const scene of scenes) {
      const { scene: name, lines } = sceneAt(scene);
      assert.equal(scene.texts.length, lines, name);
      for (const { quad } of scene.texts) {
        assert.equal(quad.length, 8);
        assert.ok(quad.every((value, i) => value >= 0 && value <= (i % 2 === 0 ? scene.width : scene.height)));
      }
    }
  });

  it("says where the output is, and leaves a report with every scene that needs nothing from outside", async () => {
    assert.match(printed, /scenes +12 in 3 videos\n +different +7\n +texts +10 lines\n/);
    const html = await readFile(join(folder, "report/index.html"), "utf8");
    assert.equal(html.match(/<article/g)!.length, 12);
    assert.equal(html.match(/<article data-copy/g)!.length, 5);
    assert.doesNotMatch(html, /(?:src|href)="(?!data:)|url\(|@import|https?:|<script/);
    assert.match(html, /default-src 'none'/);
  });

  it("a file that is no video becomes a dead letter with the reason, and the videos come out", async () => {
    await writeFile(join(folder, "videos/notes.avi"), "no video at all");
    const output = join(folder, "with-bad");
    const params = { input: `${folder}/videos/*`, output, ...media };
    const given = Object.entries(params).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
    finished(await millrace(["run", "examples/video-frames/topology.ts", ...given]));
    assert.equal((await rowsBelow(join(output, "frames"))).length, 12);
    const letters = await rowsBelow<{ operator: string; code: string }>(join(output, "dead-letters"));
    assert.deepEqual(
      letters.map(({ operator, code }) => [operator, code]),
      [["frames", "MILL_MEDIA_INVALID"]],
    );
  });
});
