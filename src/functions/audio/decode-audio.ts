/** `decodeAudio`: encoded audio, or the sound of a video, to samples. */
import { MillraceError } from "../../base/errors.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { type ColumnType, t } from "../../types/columns.js";
import type { Content, ObjectRef } from "../../types/content-types.js";
import { failingWith } from "../fatal.js";
import { ffmpeg, tooLarge } from "../ffmpeg.js";
import { withMediaFile } from "../media-file.js";
import { checkNumber, type MediaOptions, mediaSettings } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { mixed, resample } from "./resample.js";
import { type SamplesType, type Sound, samplesValue } from "./samples.js";
import { type WavLayout, wavLayout, wavSamples } from "./wav.js";

/** Options of `decodeAudio`. See docs/functions/decodeAudio.md. */
export interface DecodeAudioOptions<F extends string, I extends string> extends StepOptions, MediaOptions {
  /** Column with encoded audio, a video, or a reference to either. */
  readonly from: F;
  /** Column for the samples. */
  readonly into: I;
  /** Samples of one channel in a second. Default: as they are. */
  readonly sampleRate?: number;
  /** Default: as they are. 1 from many is their mean. */
  readonly channels?: number;
}

/** Adds the samples of encoded audio, or of the sound of a video. */
export function decodeAudio<F extends string, I extends string>(
  options: DecodeAudioOptions<F, I>,
): Step<Named<F, ColumnType<ObjectRef>>, Named<I, SamplesType>> {
  return step(decodeAudioFunction(options), options);
}

export const SAMPLE_RATE_MIN = 1_000;
export const SAMPLE_RATE_MAX = 384_000;
export const CHANNELS_MAX = 64;
/** Bytes of a file that must be in memory to be read as WAV here; larger ones go through ffmpeg. */
const WAV_BYTES_MAX = 64 * 1024 * 1024;

export function checkSound(name: string, { sampleRate, channels }: Wanted) {
  if (sampleRate !== undefined) {
    checkNumber(name, "sampleRate", sampleRate, { min: SAMPLE_RATE_MIN, max: SAMPLE_RATE_MAX, whole: true });
  }
  if (channels !== undefined) checkNumber(name, "channels", channels, { min: 1, max: CHANNELS_MAX, whole: true });
}

/** @internal */
export function decodeAudioFunction<F extends string, I extends string>(options: DecodeAudioOptions<F, I>) {
  const { from, into } = options;
  checkSound("decodeAudio", options);
  const settings = { ...mediaSettings("decodeAudio", options), ...wanted(options) };
  const to = named(into, t.samples("float32"));
  return failingWith(
    "MILL_FFMPEG_MISSING",
    rowFunction({
      name: "decodeAudio",
      reads: { [from]: encodedAudio },
      to,
      concurrency: settings.concurrency,
      async rows(row, context) {
        const sound = await decode(row[from] as ObjectRef | Content, settings, context);
        return [namedValue(to, samplesValue(sound))];
      },
    }),
  );
}

const ACCEPTED: ReadonlySet<string> = new Set(["audio", "video", "object_ref"]);
export const encodedAudio = {
  says: "encoded audio (t.audio), a video (t.video) or an object reference",
  fits: ({ name }: { readonly name: string }) => ACCEPTED.has(name.replace(/\?$/, "")),
};

type Wanted = Partial<Pick<Sound, "sampleRate" | "channels">>;
type Settings = Required<MediaOptions> & Wanted;

function wanted({ sampleRate, channels }: Wanted): Wanted {
  return { ...(sampleRate === undefined ? {} : { sampleRate }), ...(channels === undefined ? {} : { channels }) };
}

async function decode(value: ObjectRef | Content, settings: Settings, context: OperatorContext): Promise<Sound> {
  const small = value.sizeBytes >= 0n && value.sizeBytes <= Math.min(WAV_BYTES_MAX, settings.bytesMax);
  if (small) {
    const bytes = await context.content.bytes(value, context.signal);
    const layout = wavLayout(bytes);
    const sound = layout && (await decodeWav(bytes, layout, settings, context.signal));
    if (sound !== undefined) return sound;
  }
  return withMediaFile(value, settings.bytesMax, context, (file) => decodeOther(file, settings, context.signal));
}

/** @returns undefined: its channels are mixed by ffmpeg, which knows what each is */
async function decodeWav(
  bytes: Uint8Array,
  layout: WavLayout,
  settings: Settings,
  signal: AbortSignal,
): Promise<Sound | undefined> {
  const { sampleRate = layout.sampleRate, channels = layout.channels } = settings;
  const unusual = layout.sampleRate < SAMPLE_RATE_MIN || layout.sampleRate > SAMPLE_RATE_MAX;
  if (unusual || (channels !== layout.channels && channels !== 1 && layout.channels !== 1)) return undefined;
  const frames = layout.dataBytes / layout.frameBytes;
  checkLength(frames, layout, settings);
  const outputBytes = frames * (sampleRate / layout.sampleRate) * channels * Float32Array.BYTES_PER_ELEMENT;
  if (outputBytes > settings.outputBytesMax)
    throw tooLarge(`its samples have more than ${settings.outputBytesMax} bytes`);
  const own = mixed(wavSamples(bytes, layout), layout.channels, channels)!;
  return { samples: await resample(own, channels, layout.sampleRate, sampleRate, signal), sampleRate, channels };
}

async function decodeOther(file: number, settings: Settings, signal: AbortSignal): Promise<Sound> {
  const { sampleRate, channels, durationMsMax, timeoutMs, outputBytesMax } = settings;
  const output = await ffmpeg(settings.ffmpeg, {
    file,
    args: [
      ...["-map", "0:a:0", "-vn", "-sn", "-dn", "-filter_threads", "1"],
      ...["-t", String(durationMsMax / 1000 + 1)], // enough to see that there is more
      ...(sampleRate === undefined ? [] : ["-ar", String(sampleRate)]),
      // What is mixed stays within -1 and 1, and is the mean of two: ffmpeg alone would make it louder.
      ...(channels === undefined ? [] : ["-ac", String(channels), "-rematrix_maxval", "1"]),
      // As WAV: then the output says which rate and how many channels it has.
      ...["-c:a", "pcm_f32le", "-f", "wav"],
    ],
    outputBytesMax,
    timeoutMs,
    signal,
  });
  const layout = wavLayout(output);
  if (layout === undefined || layout.dataBytes === 0) {
    throw new MillraceError(
      "MILL_MEDIA_INVALID",
      "no sound could be decoded from it. Check the file, or convert it first.",
    );
  }
  checkLength(layout.dataBytes / layout.frameBytes, layout, settings);
  return { samples: wavSamples(output, layout), sampleRate: layout.sampleRate, channels: layout.channels };
}

function checkLength(frames: number, layout: WavLayout, { durationMsMax }: Settings): void {
  if ((frames / layout.sampleRate) * 1000 <= durationMsMax) return;
  throw tooLarge(`it is longer than ${durationMsMax} ms`);
}
