/** `resampleAudio`: samples at another rate, or with other channels. */
import { MillraceError } from "../../base/errors.js";
import { type ColumnType, t } from "../../types/columns.js";
import type { Samples } from "../../types/content-types.js";
import { tooLarge } from "../ffmpeg.js";
import { type MediaOptions, mediaSettings } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { checkSound, SAMPLE_RATE_MAX, SAMPLE_RATE_MIN } from "./decode-audio.js";
import { mixed, resample } from "./resample.js";
import { readSamples, type SamplesType, samplesValue } from "./samples.js";

/** Options of `resampleAudio`. See docs/functions/resampleAudio.md. */
export interface ResampleAudioOptions<F extends string, I extends string>
  extends StepOptions,
    Pick<MediaOptions, "outputBytesMax"> {
  /** Column with samples of float32. */
  readonly from: F;
  /** Column for the new samples; it may be the same. */
  readonly into: I;
  /** Samples of one channel in a second. Default: as they are. */
  readonly sampleRate?: number;
  /** 1: the mean of all. More: only from one, copies. Default: as they are. */
  readonly channels?: number;
}

/** Adds the samples at another rate, or with other channels. */
export function resampleAudio<F extends string, I extends string>(
  options: ResampleAudioOptions<F, I>,
): Step<Named<F, ColumnType<Samples>>, Named<I, SamplesType>> {
  return step(resampleAudioFunction(options), options);
}

export const floatSamples = {
  says: "samples<float32> (decodeAudio makes them)",
  fits: ({ name }: { readonly name: string }) => name.replace(/\?$/, "") === "samples<float32>",
};

/** @internal */
export function resampleAudioFunction<F extends string, I extends string>(options: ResampleAudioOptions<F, I>) {
  const { from, into } = options;
  checkSound("resampleAudio", options);
  const { outputBytesMax, concurrency } = mediaSettings("resampleAudio", options);
  const to = named(into, t.samples("float32"));
  return rowFunction({
    name: "resampleAudio",
    reads: { [from]: floatSamples },
    to,
    concurrency,
    async rows(row, { content, signal }) {
      const value = row[from] as Samples;
      const { sampleRate = value.sampleRate, channels = value.channels } = options;
      const samples = await readSamples(value, content, signal);
      if (value.sampleRate < SAMPLE_RATE_MIN || value.sampleRate > SAMPLE_RATE_MAX) {
        throw new MillraceError("MILL_MEDIA_INVALID", `its sample rate is ${value.sampleRate}; that cannot be right.`);
      }
      const outputBytes = (samples.byteLength / value.channels) * channels * (sampleRate / value.sampleRate);
      if (outputBytes > outputBytesMax) throw tooLarge(`its samples would have more than ${outputBytesMax} bytes`);
      const own = mixed(samples, value.channels, channels);
      if (own === undefined) {
        throw new MillraceError(
          "MILL_MEDIA_INVALID",
          `it has ${value.channels} channels, and there is no one way to make ${channels} of them. Ask decodeAudio for ${channels}, or for 1 here.`,
        );
      }
      const made = await resample(own, channels, value.sampleRate, sampleRate, signal);
      return [namedValue(to, samplesValue({ samples: made, sampleRate, channels }))];
    },
  });
}
