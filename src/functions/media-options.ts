/** Options of the functions of audio, video and text: what they have in common, and the check of numbers. */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { FfmpegPrograms } from "./ffmpeg.js";

/** Limits for content that nobody vouches for. Content over one is a bad record with `MILL_MEDIA_TOO_LARGE`. */
export interface MediaLimits {
  /** Encoded bytes of one sound or video. Default 4 GiB. */
  readonly bytesMax?: number;
  /** Default 4 hours. */
  readonly durationMsMax?: number;
  /** Bytes that are made of one. Default 256 MiB. */
  readonly outputBytesMax?: number;
  /** Wall time of one run of ffmpeg, ms. Default 120,000. */
  readonly timeoutMs?: number;
}

export interface MediaOptions extends MediaLimits, FfmpegPrograms {
  /** Sounds or videos of one actor that are worked on at a time. Default 1. */
  readonly concurrency?: number;
}

/** The options, with defaults in place of what was not said. @throws {MillraceError} `MILL_CONFIG` */
export function mediaSettings(name: string, options: MediaOptions): Required<MediaOptions> {
  const numbers = {
    bytesMax: options.bytesMax ?? limits.mediaBytesMax,
    durationMsMax: options.durationMsMax ?? limits.mediaDurationMsMax,
    outputBytesMax: options.outputBytesMax ?? limits.mediaOutputBytesMax,
    timeoutMs: options.timeoutMs ?? limits.mediaTimeoutMs,
    concurrency: options.concurrency ?? 1,
  };
  for (const [option, value] of Object.entries(numbers)) checkNumber(name, option, value, { min: 1, whole: true });
  return { ...numbers, ffmpeg: options.ffmpeg ?? "ffmpeg", ffprobe: options.ffprobe ?? "ffprobe" };
}

export interface NumberRange {
  readonly min?: number;
  readonly max?: number;
  readonly whole?: boolean;
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkNumber(name: string, option: string, value: unknown, range: NumberRange): void {
  const { min = -Number.MAX_VALUE, max = Number.MAX_SAFE_INTEGER, whole = false } = range;
  const fits = typeof value === "number" && value >= min && value <= max && (!whole || Number.isInteger(value));
  if (fits) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `${name}: ${option} is ${String(value)}; give a ${whole ? "whole " : ""}number from ${min} to ${max}.`,
    { function: name, option },
  );
}
