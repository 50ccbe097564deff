import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { decodeAudioFunction } from "../../../src/functions/audio/decode-audio.js";
import { videoFramesFunction } from "../../../src/functions/video/video-frames.js";
import { videoMetadataFunction } from "../../../src/functions/video/video-metadata.js";
import type { ColumnFunction } from "../../../src/topology/column-function.js";
import type { Columns } from "../../../src/types/columns.js";
import { t } from "../../../src/types/columns.js";
import { inline, type Pixels, type Samples } from "../../../src/types/content-types.js";
import { withOwnTemporaries } from "../cli/folders.js";
import { applyTo, type Outcome } from "./functions-support.js";
import { type Mutant, mediaMutants } from "./media-mutations.js";
import { MediaFolder, media } from "./programs.js";

const SEED = Number(process.env.MILLRACE_SEED ?? 20_260_731);
const EACH = 50;
const columns = { media: t.video };
const LIMITS = {
  ...media,
  concurrency: 4,
  bytesMax: 4_000_000,
  durationMsMax: 20_000,
  outputBytesMax: 8_000_000,
  timeoutMs: 10_000,
};
/** In this process: outputs of all lanes and the results. What a program may have is its own limit. */
const MEMORY_BYTES_MAX = 256 * 1024 * 1024;

const TONE = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=22050:duration=1"];
const PICTURE = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=12:duration=1"];
const SOUNDS = { wav: [], mp3: [], flac: [], ogg: ["-c:a", "libvorbis"], m4a: ["-c:a", "aac"] };
const VIDEOS = {
  mp4: ["-c:v", "libx264", "-c:a", "aac"],
  mkv: ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
  webm: ["-c:v", "libvpx", "-c:a", "libvorbis"],
  avi: ["-c:v", "mjpeg", "-c:a", "pcm_s16le"],
  ts: ["-c:v", "mpeg2video", "-c:a", "mp2"],
};

describe(`functions: ${2 * EACH} damaged sounds and videos, seed ${SEED}`, function () {
  this.timeout(180_000);
  const good: { sounds: Record<string, Uint8Array>; videos: Record<string, Uint8Array> } = { sounds: {}, videos: {} };

  before(() => {
    const folder = new MediaFolder();
    try {
      for (const [format, codec] of Object.entries(SOUNDS)) {
        good.sounds[format] = readFileSync(folder.make(`good.${format}`, ...TONE, ...codec));
      }
      for (const [format, codec] of Object.entries(VIDEOS)) {
        good.videos[format] = readFileSync(folder.make(`good.${format}`, ...TONE, ...PICTURE, ...codec));
      }
    } finally {
      folder.remove();
    }
  });

  /** @returns what was made and what was refused, after both were found to be whole, with reasons, and within their bounds */
  async function judged<O extends Columns>(fn: ColumnFunction<O>, mutants: readonly Mutant[]): Promise<Outcome<O>> {
    const rows = mutants.map(({ bytes }) => ({ media: inline(bytes, "") }));
    const before = process.memoryUsage().rss;
    let most = before;
    const look = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 5);
    const outcome = await withOwnTemporaries(async (temporaries) => {
      const applied = await applyTo(fn, columns, rows).finally(() => clearInterval(look));
      assert.deepEqual(readdirSync(temporaries), []);
      return applied;
    });
    assert.ok(most - before < MEMORY_BYTES_MAX, `${Math.round((most - before) / 1e6)} MB more than before`);
    const made = new Set(outcome.from);
    for (const [i, { what }] of mutants.entries()) {
      const { code, message } = outcome.refused.get(i) ?? {};
      assert.ok(made.has(i) !== outcome.refused.has(i), `${what}: either made or refused`);
      if (code === undefined) continue;
      assert.match(code, /^MILL_MEDIA_(INVALID|TOO_LARGE)$/, `${what}: ${message}`);
      assert.match(message!, /.{20,}/, what);
    }
    return outcome;
  }

  it("decodeAudio: each is refused with a reason, or has the samples that the codec accepted", async () => {
    const mutants = mediaMutants(good.sounds, EACH, SEED);
    const fn = decodeAudioFunction({
      from: "media",
      into: "sound" as const,
      sampleRate: 16_000,
      channels: 1,
      ...LIMITS,
    });
    const { rows, refused } = await judged(fn, mutants);
    for (const row of rows) {
      const { sampleRate, channels, bytes } = row.sound as Samples;
      assert.deepEqual([sampleRate, channels, bytes!.length % 4], [16_000, 1, 0]);
      assert.ok(bytes!.length <= LIMITS.outputBytesMax && bytes!.length / 64 <= LIMITS.durationMsMax);
    }
    assert.ok(refused.size >= EACH / 10 && rows.length >= EACH / 5, `${refused.size} refused, ${rows.length} made`);
  });

  it("videoFrames: each is refused with a reason, or has frames that the codec accepted", async () => {
    const mutants = mediaMutants(good.videos, EACH, SEED + 1);
    const names = { from: "media", into: "frame" } as const;
    const how = { pick: { everyMs: 250 }, output: "pixels", pixelsMax: 1_000_000, framesMax: 100 } as const;
    const { rows, refused } = await judged(videoFramesFunction({ ...names, ...how, ...LIMITS }), mutants);
    for (const row of rows) {
      const { width, height, channels, bytes } = row.frame as Pixels;
      assert.equal(bytes!.length, width * height * channels);
      assert.ok(width * height <= how.pixelsMax && row.timestampMs <= LIMITS.durationMsMax);
    }
    assert.ok(refused.size >= EACH / 10 && rows.length >= EACH / 5, `${refused.size} refused, ${rows.length} made`);
  });

  it("videoMetadata: each is refused with a reason, or has numbers that can be", async () => {
    const mutants = mediaMutants(good.videos, EACH, SEED + 1);
    const { rows } = await judged(videoMetadataFunction({ from: "media", into: "facts" as const, ...LIMITS }), mutants);
    for (const { facts } of rows) {
      assert.ok(facts.width > 0 && facts.height > 0 && facts.fps >= 0 && facts.audio.length <= 64);
      assert.ok(facts.durationMs === null || facts.durationMs > 0);
    }
  });
});
