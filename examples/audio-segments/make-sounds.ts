/**
 * Makes sounds of which it is known where somebody speaks: `node dist/examples/audio-segments/make-sounds.js <folder>`.
 *
 * Two sentences of a synthetic voice (`voice.wav`) are put between silence, tones and noise, and written as WAV with other rates, channels and
 * samples. The same bytes each time.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { wavLayout } from "millrace/functions";

export interface TrueSound {
  readonly file: string;
  /** Where somebody speaks. */
  readonly speech: readonly { readonly startMs: number; readonly endMs: number }[];
}

interface Format {
  readonly encoding: "int" | "float";
  readonly bitsPerSample: 8 | 16 | 24 | 32;
  readonly sampleRate: number;
  readonly channels: number;
}

const RATE = 16_000;
/** Where the sentences are in `voice.wav`, ms. */
const SENTENCES = { first: [0, 2_200], second: [3_020, 4_810] } as const;

/** A sentence, or so many milliseconds of something else. */
type Part = keyof typeof SENTENCES | readonly [what: "silence" | "tone" | "noise", ms: number];

const PLAIN: Format = { encoding: "int", bitsPerSample: 16, sampleRate: RATE, channels: 1 };

const PLAN: readonly { readonly file: string; readonly format: Format; readonly parts: readonly Part[] }[] = [
  { file: "two-sentences.wav", format: PLAIN, parts: [["silence", 1_000], "first", ["silence", 800], "second"] },
  {
    file: "studio.wav",
    format: { encoding: "int", bitsPerSample: 24, sampleRate: 48_000, channels: 2 },
    parts: [["silence", 700], "second", ["silence", 1_500], "first", ["silence", 400]],
  },
  {
    file: "float.wav",
    format: { encoding: "float", bitsPerSample: 32, sampleRate: 44_100, channels: 1 },
    parts: [["noise", 900], "first", ["silence", 1_200]],
  },
  {
    file: "telephone.wav",
    format: { encoding: "int", bitsPerSample: 8, sampleRate: 8_000, channels: 1 },
    parts: [["silence", 1_500], "second", ["silence", 1_000]],
  },
  {
    file: "tones.wav",
    format: PLAIN,
    parts: [["tone", 1_000], ["silence", 1_000], "first", ["silence", 600], ["tone", 800]],
  },
  {
    file: "nobody.wav",
    format: PLAIN,
    parts: [
      ["tone", 1_500],
      ["noise", 1_500],
      ["silence", 1_000],
    ],
  },
];

/** @returns where somebody speaks in each */
export async function makeSounds(folder: string): Promise<TrueSound[]> {
  const voice = await readVoice();
  await mkdir(folder, { recursive: true });
  return Promise.all(
    PLAN.map(async ({ file, format, parts }) => {
      const pieces = parts.map((part) => pieceOf(part, voice));
      await writeFile(join(folder, file), wavBytes(joined(pieces), format));
      let samples = 0;
      const speech = pieces.flatMap((piece, i) => {
        const startMs = (samples / RATE) * 1000;
        samples += piece.length;
        return typeof parts[i] === "string" ? [{ startMs, endMs: (samples / RATE) * 1000 }] : [];
      });
      return { file, speech };
    }),
  );
}

async function readVoice(): Promise<Float32Array> {
  const bytes = await readFile(join(sourceFolder(), "voice.wav"));
  const { dataOffset, dataBytes } = wavLayout(bytes)!;
  return Float32Array.from({ length: dataBytes / 2 }, (_, i) => bytes.readInt16LE(dataOffset + 2 * i) / 0x8000);
}

/** The compiled file lies in `dist`; sounds lie beside the sources only. */
function sourceFolder(): string {
  const root = resolve(import.meta.dirname, "../..");
  return root.endsWith("dist") ? join(dirname(root), relative(root, import.meta.dirname)) : import.meta.dirname;
}

function pieceOf(part: Part, voice: Float32Array): Float32Array {
  if (typeof part === "string") {
    const [startMs, endMs] = SENTENCES[part];
    return voice.slice((startMs * RATE) / 1000, (endMs * RATE) / 1000);
  }
  const [what, ms] = part;
  const made = new Float32Array((ms * RATE) / 1000);
  if (what === "tone") return made.map((_, i) => 0.4 * Math.sin((2 * Math.PI * 440 * i) / RATE));
  let seed = 1;
  if (what === "silence") return made;
  return made.map(() => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0;
    return seed / 2 ** 35;
  });
}

function joined(pieces: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** Between two samples at another rate there is a straight line: good enough for a voice. */
function wavBytes(samples: Float32Array, { encoding, bitsPerSample, sampleRate, channels }: Format): Buffer {
  const step = bitsPerSample / 8;
  const frames = Math.floor((samples.length * sampleRate) / RATE);
  const data = Buffer.alloc(frames * channels * step);
  for (let i = 0; i < frames * channels; i++) {
    const exact = (Math.floor(i / channels) * RATE) / sampleRate;
    const [before, after] = [samples[Math.floor(exact)]!, samples[Math.floor(exact) + 1] ?? 0];
    writeSample(data, i * step, before + (after - before) * (exact % 1), encoding, step);
  }
  const format = Buffer.alloc(16);
  format.writeUInt16LE(encoding === "int" ? 1 : 3, 0);
  format.writeUInt16LE(channels, 2);
  format.writeUInt32LE(sampleRate, 4);
  format.writeUInt32LE(sampleRate * channels * step, 8);
  format.writeUInt16LE(channels * step, 12);
  format.writeUInt16LE(bitsPerSample, 14);
  const title = Buffer.from("INFOINAM\u0004\0\0\0made", "latin1");
  const chunks = [chunk("fmt ", format), chunk("LIST", title), chunk("data", data)];
  return chunk("RIFF", Buffer.concat([Buffer.from("WAVE"), ...chunks]));
}

function writeSample(to: Buffer, at: number, value: number, encoding: Format["encoding"], step: number): void {
  if (encoding === "float") to.writeFloatLE(value, at);
  else if (step === 1)
    to.writeUInt8(Math.round(value * 127) + 128, at); // the only one without a sign
  else to.writeIntLE(Math.round(value * (2 ** (8 * step - 1) - 1)), at, step);
}

function chunk(name: string, bytes: Buffer): Buffer {
  const head = Buffer.alloc(8, name, "latin1");
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes, Buffer.alloc(bytes.length % 2)]);
}

if (process.argv[1] === import.meta.filename) {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error("give the folder for the sounds");
  for (const { file, speech } of await makeSounds(folder)) console.log(`${file}: ${JSON.stringify(speech)}`);
}
