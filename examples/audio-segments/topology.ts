/**
 * Sounds to segments of speech: files -> decode -> voice activity (service) -> one row for each segment -> Parquet.
 *
 *     millrace run examples/audio-segments/topology.ts
 *     millrace submit examples/audio-segments/topology.ts
 *
 * Parameters: `input` (pattern of files), `output` (folder or s3:// prefix), `instances` (of the model), `ffmpeg` (the program; uncompressed WAV
 * needs none).
 */
import { files, type ObjectRef, type OperatorContext, parquet, t, topology } from "millrace";
import { decodeAudio, voiceActivity, type WavLayout, wavLayout } from "millrace/functions";

const OUTPUT = "millrace-output/audio-segments";
/** The samples of a WAV file begin within its first bytes, in all but odd ones. */
const HEAD_BYTES = 65_536;

const segment = {
  name: t.utf8,
  startMs: t.float64,
  endMs: t.float64,
  /** Mean probability of speech. */
  confidence: t.float64,
  /** The segment's samples within the file; all of the file where it is not uncompressed. */
  ref: t.objectRef,
  /** How the samples are written; null: `ref` is the whole file. */
  pcm: t.optional(t.struct({ encoding: t.utf8, bitsPerSample: t.int32, sampleRate: t.int32, channels: t.int32 })),
};

export default topology(
  "audio-segments",
  (job) => {
    job
      .read(files(job.param("input", "examples/audio-segments/*.wav")), { id: "sounds" })
      .pipe(
        decodeAudio({
          ...{ id: "decode", from: "ref", into: "sound", sampleRate: 16_000, channels: 1 },
          ffmpeg: job.param("ffmpeg", "ffmpeg"),
        }),
      )
      .pipe(
        voiceActivity({
          ...{ id: "listen", from: "sound", into: "segments" },
          service: { instances: Number(job.param("instances", "1")) },
        }),
      )
      .flatMap({ id: "segments", to: segment }, async ({ name, ref, segments }, context) => {
        const layout = segments.length === 0 ? undefined : await layoutOf(ref, context);
        return segments.map(({ startMs, endMs, confidence }) => {
          const times = { name, startMs, endMs, confidence };
          if (layout === undefined) return { ...times, ref, pcm: null };
          const { encoding, bitsPerSample, sampleRate, channels } = layout;
          const part = context.content.slice(ref, bytesOf(layout, startMs, endMs));
          return { ...times, ref: part, pcm: { encoding, bitsPerSample, sampleRate, channels } };
        });
      })
      .to(parquet(`${job.param("output", OUTPUT)}/parquet`), { id: "parquet" });
  },
  ({ output = OUTPUT }) => ({ unit: "sounds", deadLetters: `${output}/dead-letters` }),
);

async function layoutOf(ref: ObjectRef, { content, signal }: OperatorContext): Promise<WavLayout | undefined> {
  const fileBytes = Number(ref.sizeBytes);
  const head = content.slice(ref, { offset: 0, length: Math.min(HEAD_BYTES, fileBytes) });
  return wavLayout(await content.bytes(head, signal), fileBytes);
}

/** Where the samples of that time are: whole frames, and none that is not there. */
function bytesOf({ sampleRate, frameBytes, dataOffset, dataBytes }: WavLayout, startMs: number, endMs: number) {
  const frames = dataBytes / frameBytes;
  const first = Math.min(frames, Math.floor((startMs / 1000) * sampleRate));
  const last = Math.min(frames, Math.ceil((endMs / 1000) * sampleRate));
  return { offset: dataOffset + first * frameBytes, length: (last - first) * frameBytes };
}
