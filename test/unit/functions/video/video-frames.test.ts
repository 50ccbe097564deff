import assert from "node:assert/strict";
import {
  type FramePick,
  type VideoFramesOptions,
  videoFramesFunction,
} from "../../../../src/functions/video/video-frames.js";
import { videoMetadataFunction } from "../../../../src/functions/video/video-metadata.js";
import { t } from "../../../../src/types/columns.js";
import { applyTo, fileRef } from "../functions-support.js";
import { MediaFolder, media } from "../programs.js";

const columns = { ref: t.objectRef };

describe("functions/video: videoMetadata and videoFrames", function () {
  this.timeout(60_000);
  let folder: MediaFolder;
  /** 4 s of 25 frames: red, then blue from 2 s on, and a tone. */
  let cut: string;

  before(() => {
    folder = new MediaFolder();
    cut = folder.make(
      "cut.mp4",
      ...["-f", "lavfi", "-i", "color=red:size=64x48:rate=25:duration=2"],
      ...["-f", "lavfi", "-i", "color=blue:size=64x48:rate=25:duration=2"],
      ...["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=22050:duration=4"],
      ...["-filter_complex", "[0:v][1:v]concat=n=2[v]", "-map", "[v]", "-map", "2:a", "-c:v", "mpeg4", "-q:v", "2"],
    );
  });
  after(() => folder.remove());

  type Options = Partial<VideoFramesOptions<"ref", "frame", "jpeg">>;
  const names = { from: "ref", into: "frame", ...media } as const;
  const frames = (pick: FramePick, options: Options = {}) =>
    applyTo(videoFramesFunction({ ...names, pick, ...options }), columns, [{ ref: fileRef(cut) }]);
  const pixels = (pick: FramePick, file = cut) =>
    applyTo(videoFramesFunction({ ...names, pick, output: "pixels" }), columns, [{ ref: fileRef(file) }]);
  const times = async (pick: FramePick, options?: Options) =>
    (await frames(pick, options)).rows.map(({ timestampMs }) => timestampMs);

  it("metadata: duration, size, rate, codec, rotation, and the streams of sound", async () => {
    const { rows } = await applyTo(
      videoMetadataFunction({ from: "ref" as const, into: "facts" as const, ...media }),
      columns,
      [{ ref: fileRef(cut) }],
    );
    const { durationMs, audio, ...facts } = rows[0]!.facts;
    assert.ok(Math.abs(durationMs! - 4000) < 60, `${durationMs}`);
    assert.deepEqual(facts, { width: 64, height: 48, fps: 25, codec: "mpeg4", rotation: 0 });
    assert.deepEqual(audio, [{ codec: "aac", sampleRate: 22_050, channels: 1 }]);
  });

  it("metadata and frames are those of the picture as shown, when players turn it", async () => {
    // What ffmpeg's "rotate" writes is the turn counter-clockwise.
    const turned = folder.make("turned.mp4", "-i", cut, "-c", "copy", "-metadata:s:v:0", "rotate=90");
    const { rows } = await applyTo(
      videoMetadataFunction({ from: "ref" as const, into: "facts" as const, ...media }),
      columns,
      [{ ref: fileRef(turned) }],
    );
    const { width, height, rotation } = rows[0]!.facts;
    assert.deepEqual({ width, height, rotation }, { width: 48, height: 64, rotation: 270 });
    const [frame] = (await pixels({ count: 1 }, turned)).rows;
    assert.deepEqual([frame!.frame.width, frame!.frame.height], [48, 64]);
  });

  it("everyMs: the first frame of each stretch, with its own time and number", async () => {
    const { rows } = await frames({ everyMs: 700 });
    assert.deepEqual(
      rows.map(({ frameIndex, timestampMs }) => [frameIndex, timestampMs]),
      [...[[0, 0]], ...[[1, 720]], ...[[2, 1400]], ...[[3, 2120]], ...[[4, 2800]], ...[[5, 3520]]],
    );
  });

  it("count: as many frames, evenly over the video", async () => {
    assert.deepEqual(await times({ count: 4 }), [0, 1000, 2000, 3000]);
  });

  it("scene: the first frame and each cut", async () => {
    assert.deepEqual(await times({ scene: 0.3 }), [0, 2000]);
  });

  it("pixels: three bytes each, of the frame's colour", async () => {
    const { rows } = await pixels({ scene: 0.3 });
    const colours = rows.map(({ frame }) => {
      assert.deepEqual([frame.width, frame.height, frame.channels, frame.bytes!.length], [64, 48, 3, 64 * 48 * 3]);
      return [...frame.bytes!.subarray(0, 3)].map((value) => value > 128);
    });
    assert.deepEqual(colours, [
      [true, false, false],
      [false, false, true],
    ]);
  });

  it("jpeg: one whole image a frame; sideMax makes it smaller and keeps its shape", async () => {
    const { rows } = await frames({ everyMs: 1000 }, { sideMax: 32 });
    assert.equal(rows.length, 4);
    for (const { frame } of rows) {
      assert.equal(frame.mediaType, "image/jpeg");
      const bytes = Buffer.from(frame.bytes!);
      assert.deepEqual([bytes.readUInt16BE(0), bytes.readUInt16BE(bytes.length - 2)], [0xffd8, 0xffd9]);
      const header = bytes.indexOf(Buffer.from([0xff, 0xc0]));
      assert.deepEqual([bytes.readUInt16BE(header + 5), bytes.readUInt16BE(header + 7)], [24, 32]);
    }
  });

  for (const [limit, options] of Object.entries({
    durationMsMax: { durationMsMax: 3_000 },
    framesMax: { framesMax: 3 },
    pixelsMax: { pixelsMax: 64 * 48 - 1 },
    bytesMax: { bytesMax: 1_000 },
    outputBytesMax: { outputBytesMax: 1_000 },
    timeoutMs: { timeoutMs: 1 },
  })) {
    it(`a video over ${limit} is refused with MILL_MEDIA_TOO_LARGE`, async () => {
      const { rows, refused } = await frames({ everyMs: 1000 }, options);
      assert.deepEqual(rows, []);
      assert.equal(refused.get(0)?.code, "MILL_MEDIA_TOO_LARGE", refused.get(0)?.message);
    });
  }
});
