/** `videoMetadata`: what a video is, without decoding it. */
import { type ColumnType, t } from "../../types/columns.js";
import type { Content, ObjectRef } from "../../types/content-types.js";
import { failingWith } from "../fatal.js";
import { tooLarge } from "../ffmpeg.js";
import { withMediaFile } from "../media-file.js";
import { type MediaOptions, mediaSettings } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { probeVideo } from "./probe.js";

/** Options of `videoMetadata`. See docs/functions/videoMetadata.md. */
export interface VideoMetadataOptions<F extends string, I extends string>
  extends StepOptions,
    Pick<MediaOptions, "bytesMax" | "timeoutMs" | "ffprobe"> {
  /** Column with a video, or a reference to one. */
  readonly from: F;
  /** Column for what it is. */
  readonly into: I;
}

/** Adds what a video is: duration, size, rate, codec, rotation, streams of sound. */
export function videoMetadata<F extends string, I extends string>(
  options: VideoMetadataOptions<F, I>,
): Step<Named<F, ColumnType<ObjectRef>>, Named<I, typeof videoMetadataType>> {
  return step(videoMetadataFunction(options), options);
}

/** The column that it adds; see `VideoFacts` for what each part means. */
export const videoMetadataType = t.struct({
  durationMs: t.optional(t.float64),
  width: t.int32,
  height: t.int32,
  fps: t.float64,
  codec: t.utf8,
  rotation: t.int32,
  audio: t.list(t.struct({ codec: t.utf8, sampleRate: t.int32, channels: t.int32 })),
});

const ACCEPTED: ReadonlySet<string> = new Set(["video", "object_ref"]);
export const encodedVideo = {
  says: "a video (t.video) or an object reference",
  fits: ({ name }: { readonly name: string }) => ACCEPTED.has(name.replace(/\?$/, "")),
};

/** @internal */
export function videoMetadataFunction<F extends string, I extends string>(options: VideoMetadataOptions<F, I>) {
  const { from, into } = options;
  const settings = mediaSettings("videoMetadata", options);
  const to = named(into, videoMetadataType);
  return failingWith(
    "MILL_FFMPEG_MISSING",
    rowFunction({
      name: "videoMetadata",
      reads: { [from]: encodedVideo },
      to,
      concurrency: settings.concurrency,
      async rows(row, context) {
        const value = row[from] as ObjectRef | Content;
        return withMediaFile(value, settings.bytesMax, context, async (file) => {
          const facts = await probeVideo(file, settings, context.signal);
          return [namedValue(to, { ...facts, audio: [...facts.audio] })];
        });
      },
    }),
  );
}

/** A limit on what the file says of itself, before any of it is decoded. */
export function checkFacts(
  {
    durationMs,
    width,
    height,
  }: { readonly durationMs: number | null; readonly width: number; readonly height: number },
  { durationMsMax, pixelsMax }: { readonly durationMsMax: number; readonly pixelsMax: number },
): void {
  if (width * height > pixelsMax)
    throw tooLarge(`its frames have ${width} x ${height} pixels; at most ${pixelsMax} are read`);
  if (durationMs !== null && durationMs > durationMsMax) throw tooLarge(`it is longer than ${durationMsMax} ms`);
}
