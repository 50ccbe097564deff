import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { decodeAudioFunction } from "../../../../src/functions/audio/decode-audio.js";
import { resampleAudioFunction } from "../../../../src/functions/audio/resample-audio.js";
import { samplesValue } from "../../../../src/functions/audio/samples.js";
import { t } from "../../../../src/types/columns.js";
import { inline, type Samples } from "../../../../src/types/content-types.js";
import { withOwnTemporaries } from "../../cli/folders.js";
import { applyTo, contextOf, fileRef } from "../functions-support.js";
import { MediaFolder, media } from "../programs.js";
import { sine, twice, wavFile } from "./wav-file.js";

const columns = { ref: t.objectRef };
const names = { from: "ref", into: "sound", ...media } as const;

function floats({ bytes }: Samples): Float32Array {
  return new Float32Array(bytes!.slice().buffer);
}

/** Largest difference, the edges left out: there a filter hears the silence outside. */
function difference(a: Float32Array, b: Float32Array, edge = 200): number {
  let largest = 0;
  for (let i = edge; i < Math.min(a.length, b.length) - edge; i++) largest = Math.max(largest, Math.abs(a[i]! - b[i]!));
  return largest;
}

describe("functions/audio: decodeAudio and resampleAudio", function () {
  this.timeout(60_000);
  let folder: MediaFolder;
  before(() => {
    folder = new MediaFolder();
  });
  after(() => folder.remove());

  function wav(name: string, samples: ArrayLike<number>, options: Parameters<typeof wavFile>[1] = {}): string {
    const path = join(folder.path, name);
    writeFileSync(path, wavFile(samples, options));
    return path;
  }

  const decode = (path: string, options: Partial<Parameters<typeof decodeAudioFunction<"ref", "sound">>[0]> = {}) =>
    applyTo(decodeAudioFunction({ ...names, ...options }), columns, [{ ref: fileRef(path) }]);

  it("a WAV needs no ffmpeg; rate and channels are its own", async () => {
    const path = wav("stereo.wav", [0, 0.5, -0.5, 0.25], { channels: 2, sampleRate: 22_050 });
    const { rows } = await decode(path, { ffmpeg: "no-such-program" });
    assert.deepEqual([rows[0]!.sound.sampleRate, rows[0]!.sound.channels], [22_050, 2]);
    assert.deepEqual([...floats(rows[0]!.sound)], [0, 0.5, -0.5, 0.25]);
  });

  it("a WAV at another rate and mono is what ffmpeg makes of the same sound", async () => {
    const stereo = twice(sine(440, 0.5, 44_100));
    const path = wav("tone.wav", stereo, { channels: 2, sampleRate: 44_100, encoding: "float", bitsPerSample: 32 });
    const flac = folder.make("tone.flac", "-i", path, "-sample_fmt", "s32");
    const options = { sampleRate: 16_000, channels: 1 };
    const [own, others] = [(await decode(path, options)).rows[0]!.sound, (await decode(flac, options)).rows[0]!.sound];
    assert.equal(floats(own).length, 8_000);
    assert.deepEqual([others.sampleRate, others.channels], [16_000, 1]);
    assert.ok(difference(floats(own), floats(others)) < 0.002);
  });

  for (const format of ["mp3", "ogg", "m4a", "flac"]) {
    it(`decodes ${format}, and the sound of a video`, async () => {
      const tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=22050:duration=1"];
      const picture = format === "m4a" ? ["-f", "lavfi", "-i", "color=red:size=32x32:duration=1", "-f", "mp4"] : [];
      const { rows, refused } = await decode(folder.make(`tone.${format}`, ...tone, ...picture));
      assert.deepEqual([...refused], []);
      const { sampleRate, channels } = rows[0]!.sound;
      assert.deepEqual([sampleRate, channels], [22_050, 1]);
      const samples = floats(rows[0]!.sound);
      assert.ok(Math.abs(samples.length / 22_050 - 1) < 0.1, `${samples.length}`);
      const loud = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
      assert.ok(Math.abs(loud - 0.125 / Math.SQRT2) < 0.01, `${loud}`);
    });
  }

  it("content that is no file goes through a temporary one that nobody finds", async () => {
    const flac = folder.make("inline.flac", "-f", "lavfi", "-i", "sine=duration=1");
    const bytes = await contextOf().content.bytes(fileRef(flac));
    const fn = decodeAudioFunction({ ...names, from: "audio" as const });
    await withOwnTemporaries(async (temporaries) => {
      const { rows } = await applyTo(fn, { audio: t.audio }, [{ audio: inline(bytes, "audio/flac") }]);
      assert.equal(floats(rows[0]!.sound).length, 44_100);
      assert.deepEqual(readdirSync(temporaries), []);
    });
  });

  it("without ffmpeg the call fails, and says how to get it", async () => {
    const flac = folder.make("missing.flac", "-f", "lavfi", "-i", "sine=duration=1");
    await assert.rejects(decode(flac, { ffmpeg: "no-such-program" }), {
      code: "MILL_FFMPEG_MISSING",
      message: /no-such-program.*apt-get install ffmpeg/,
    });
  });

  it("a call that is aborted ends, and leaves no process", async () => {
    const flac = folder.make("long.flac", "-f", "lavfi", "-i", "sine=duration=600");
    const aborting = new AbortController();
    const fn = decodeAudioFunction({ ...names, sampleRate: 48_000 });
    const applied = applyTo(fn, columns, [{ ref: fileRef(flac) }], contextOf(aborting.signal));
    setImmediate(() => aborting.abort(new Error("enough")));
    await assert.rejects(applied, /enough/);
  });

  for (const [limit, options, code] of [
    ["durationMsMax", { durationMsMax: 900 }, "MILL_MEDIA_TOO_LARGE"],
    ["outputBytesMax", { outputBytesMax: 10_000 }, "MILL_MEDIA_TOO_LARGE"],
    ["bytesMax", { bytesMax: 1_000 }, "MILL_MEDIA_TOO_LARGE"],
    ["timeoutMs", { timeoutMs: 1 }, "MILL_MEDIA_TOO_LARGE"],
  ] as const) {
    it(`sound over ${limit} is refused with ${code}`, async () => {
      const flac = folder.make("second.flac", "-f", "lavfi", "-i", "sine=duration=1");
      const path = limit === "timeoutMs" ? [flac] : [flac, wav("second.wav", sine(440, 1, 16_000))];
      for (const file of path) {
        const { rows, refused } = await decode(file, options);
        assert.deepEqual(rows, []);
        assert.equal(refused.get(0)?.code, code, `${file}: ${refused.get(0)?.message}`);
      }
    });
  }

  it("a playlist that names other files is not read, nor is text (M1)", async () => {
    const flac = folder.make("secret.flac", "-f", "lavfi", "-i", "sine=duration=1");
    const playlists = {
      "a.m3u8": `#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://${flac}\n#EXT-X-ENDLIST\n`,
      "a.ffconcat": `ffconcat version 1.0\nfile '${flac}'\n`,
      "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
      "a.txt": "no sound",
    };
    for (const [name, text] of Object.entries(playlists)) {
      const path = join(folder.path, name);
      writeFileSync(path, text);
      const { refused } = await decode(path);
      assert.equal(refused.get(0)?.code, "MILL_MEDIA_INVALID", `${name}: ${refused.get(0)?.message}`);
    }
  });

  it("a video without sound is refused, and the message says so", async () => {
    const silent = folder.make("silent.mp4", "-f", "lavfi", "-i", "color=red:size=32x32:duration=1");
    const { refused } = await decode(silent);
    assert.equal(refused.get(0)?.code, "MILL_MEDIA_INVALID");
    assert.match(refused.get(0)!.message, /^ffmpeg cannot read it: there is no such stream in it\./);
  });

  it("a file that has changed since it was listed is refused", async () => {
    const flac = folder.make("changed.flac", "-f", "lavfi", "-i", "sine=duration=1");
    const ref = { ...fileRef(flac), sizeBytes: 5n + BigInt(64 * 1024 * 1024) };
    const { refused } = await applyTo(decodeAudioFunction(names), columns, [{ ref }]);
    assert.equal(refused.get(0)?.code, "MILL_SOURCE_CHANGED");
  });

  const resampled = async (samples: Float32Array, from: number, to: number, channels = 1) => {
    const fn = resampleAudioFunction({ from: "sound", into: "sound", sampleRate: to });
    const sound = samplesValue({ samples, sampleRate: from, channels });
    const { rows } = await applyTo(fn, { sound: t.samples("float32") }, [{ sound }]);
    return floats(rows[0]!.sound);
  };

  for (const [from, to] of [
    [44_100, 16_000],
    [16_000, 44_100],
    [48_000, 8_000],
    [22_050, 16_000],
    [16_000, 16_000],
  ] as const) {
    it(`a tone at ${from} is the same tone at ${to}, in time and in strength`, async () => {
      const made = await resampled(sine(1_000, 0.5, from), from, to);
      assert.equal(made.length, 0.5 * to);
      assert.ok(difference(made, sine(1_000, 0.5, to)) < 0.001);
    });
  }

  it("what the lower rate cannot hold is gone, and does not come back as another tone", async () => {
    const made = await resampled(sine(9_500, 0.5, 44_100), 44_100, 16_000);
    assert.ok(made.subarray(200, -200).every((value) => Math.abs(value) < 0.0002));
  });

  it("channels stay apart", async () => {
    const [left, right] = [sine(300, 0.2, 32_000), sine(700, 0.2, 32_000)];
    const both = Float32Array.from({ length: left.length * 2 }, (_, i) => (i % 2 === 0 ? left : right)[i >> 1]!);
    const made = await resampled(both, 32_000, 16_000, 2);
    const channel = (n: number) => made.filter((_, i) => i % 2 === n);
    assert.ok(difference(channel(0), sine(300, 0.2, 16_000)) < 0.001);
    assert.ok(difference(channel(1), sine(700, 0.2, 16_000)) < 0.001);
  });

  it("a rate that has nothing in common with the wanted one costs no more time than its samples", async () => {
    const path = wav("odd.wav", sine(440, 0.01, 383_999), { sampleRate: 383_999 });
    const before = process.cpuUsage(); // not the time of a clock: others have the processor, too
    const { rows } = await decode(path, { sampleRate: 16_000 });
    assert.equal(floats(rows[0]!.sound).length, 160);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 500_000, `took ${user + system} us`);
  });

  it("settings out of range are refused when the topology is built", () => {
    for (const options of [{ sampleRate: 0 }, { channels: 1.5 }, { timeoutMs: -1 }, { concurrency: 0 }]) {
      assert.throws(() => decodeAudioFunction({ ...names, ...options }), { code: "MILL_CONFIG" });
    }
  });
});
