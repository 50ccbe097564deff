/** `examples/audio-segments`, as its README section promises it: real sounds, the real model, and segments where somebody speaks. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";
import { makeSounds, type TrueSound } from "../../examples/audio-segments/make-sounds.js";
import { wavLayout, wavSamples } from "../../src/functions/audio/wav.js";
import { packageRoot } from "../servers/find.js";
import { MediaFolder, media } from "../unit/functions/programs.js";
import { filesBelow, rowsBelow } from "./bad-input-support.js";
import { finished } from "./cluster.js";
import { millrace } from "./millrace-process.js";

interface Segment {
  readonly name: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly confidence: number;
  readonly ref: { readonly uri: string; readonly offset: bigint; readonly sizeBytes: bigint };
  /** Missing where the reference is the whole file. */
  readonly pcm?: {
    readonly encoding: "int" | "float";
    readonly bitsPerSample: number;
    readonly sampleRate: number;
    readonly channels: number;
  };
}

const VOICE = join(packageRoot(), "examples/audio-segments/voice.wav");

async function segmentsBelow(folder: string): Promise<Segment[]> {
  const rows: Segment[] = [];
  for (const path of await filesBelow(folder)) {
    const file = Uint8Array.from(readFileSync(path)).buffer;
    rows.push(...((await parquetReadObjects({ file, compressors })) as unknown as Segment[]));
  }
  return rows.sort((a, b) => (a.name === b.name ? a.startMs - b.startMs : a.name < b.name ? -1 : 1));
}

async function run(output: string, params: Readonly<Record<string, string>> = {}): Promise<Segment[]> {
  const given = Object.entries({ output, ...params }).flatMap(([name, value]) => ["-p", `${name}=${value}`]);
  finished(await millrace(["run", "examples/audio-segments/topology.ts", ...given]));
  return segmentsBelow(join(output, "parquet"));
}

/** The bytes that a reference denotes. */
function read({ uri, offset, sizeBytes }: Segment["ref"]): Uint8Array {
  return readFileSync(fileURLToPath(uri)).subarray(Number(offset), Number(offset + sizeBytes));
}

describe("e2e: examples/audio-segments", function () {
  this.timeout(120_000);
  let folder: string;
  let truth: TrueSound[];
  let found: Segment[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "millrace-audio-"));
    truth = await makeSounds(join(folder, "sounds"));
    // WAV needs no ffmpeg.
    found = await run(join(folder, "out"), { input: `${folder}/sounds/*.wav`, ffmpeg: "no-such-program" });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("finds a segment for each sentence where it is, in every format, and none in tones and noise", async () => {
    for (const { file, speech } of truth) {
      const segments = found.filter(({ name }) => name === file);
      assert.equal(segments.length, speech.length, file);
      for (const [i, { startMs, endMs }] of speech.entries()) {
        const off = [segments[i]!.startMs - startMs, segments[i]!.endMs - endMs];
        assert.ok(
          off.every((ms) => Math.abs(ms) < 300),
          `${file}: ${off} ms beside the sentence`,
        );
        assert.ok(segments[i]!.confidence > 0.6, `${file}: ${segments[i]!.confidence}`);
      }
    }
    assert.deepEqual(await filesBelow(join(folder, "out/dead-letters")), []);
  });

  it("the bytes that a segment's reference denotes are the samples of its time, and of nothing else", () => {
    for (const { name, startMs, endMs, ref, pcm } of found) {
      const file = readFileSync(join(folder, "sounds", name));
      const layout = wavLayout(file)!;
      const { encoding, bitsPerSample, sampleRate, channels } = layout;
      assert.deepEqual(pcm, { encoding, bitsPerSample, sampleRate, channels }, name);
      const [first, last] = [
        Math.floor((startMs / 1000) * sampleRate) * channels,
        Math.ceil((endMs / 1000) * sampleRate) * channels,
      ];
      const expected = wavSamples(file, layout).subarray(first, last);
      const bytes = read(ref);
      const samples = wavSamples(bytes, { ...layout, dataOffset: 0, dataBytes: bytes.length });
      assert.deepEqual(samples, expected, name);
      assert.ok(
        samples.some((value) => Math.abs(value) > 0.1),
        `${name}: nobody is heard`,
      );
    }
  });

  it("of a compressed sound, the reference is the whole file; what is no sound becomes a dead letter with the reason", async () => {
    const sounds = new MediaFolder();
    try {
      const flac = sounds.make("voice.flac", "-i", VOICE);
      await symlink(join(packageRoot(), "package.json"), join(sounds.path, "no-sound.json"));
      const segments = await run(join(folder, "more"), { input: `${sounds.path}/*`, ffmpeg: media.ffmpeg });
      assert.deepEqual(
        segments.map(({ name, ref, pcm }) => [name, basename(ref.uri), ref.offset, read(ref).length, pcm]),
        [0, 1].map(() => ["voice.flac", "voice.flac", 0n, readFileSync(flac).length, undefined]),
      );
      const letters = await rowsBelow<{ operator: string; code: string; message: string }>(
        join(folder, "more/dead-letters"),
      );
      assert.deepEqual(
        letters.map(({ operator, code }) => [operator, code]),
        [["decode", "MILL_MEDIA_INVALID"]],
      );
      assert.match(letters[0]!.message, /cannot read it: .*Invalid data/);
    } finally {
      sounds.remove();
    }
  });

  it("without parameters it reads the sound that ships: two sentences", async () => {
    const segments = await run(join(folder, "shipped"));
    assert.deepEqual(
      segments.map(({ name }) => name),
      ["voice.wav", "voice.wav"],
    );
  });
});
