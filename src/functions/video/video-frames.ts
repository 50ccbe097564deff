/** `videoFrames`: some frames of a video, a row each. */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { ColumnFunction } from "../../topology/column-function.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { type ColumnType, type Row, t } from "../../types/columns.js";
import { type Content, inline, type ObjectRef, type Pixels } from "../../types/content-types.js";
import { failingWith } from "../fatal.js";
import { ffmpeg, tooLarge } from "../ffmpeg.js";
import { withMediaFile } from "../media-file.js";
import { checkNumber, type MediaOptions, mediaSettings } from "../media-options.js";
import type { Named } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type MatroskaVideo, parseMatroska } from "./matroska.js";
import { probeVideo, type VideoFacts } from "./probe.js";
import { checkFacts, encodedVideo } from "./video-metadata.js";

/** Which frames. */
export type FramePick =
  /** The first of each stretch of that many milliseconds. */
  | { readonly everyMs: number }
  /** The first of each of that many stretches of equal length. A video with fewer frames gives fewer. */
  | { readonly count: number }
  /** The first frame, and each that differs from the one before by more than this, from 0 to 1: 0.3 is a cut in most films. */
  | { readonly scene: number };

type Output = "jpeg" | "pixels";

/** Options of `videoFrames`. See docs/functions/videoFrames.md. */
export interface VideoFramesOptions<F extends string, I extends string, P extends Output>
  extends StepOptions,
    MediaOptions {
  /** Column with a video, or a reference to one. */
  readonly from: F;
  /** Column for the frame. */
  readonly into: I;
  readonly pick: FramePick;
  /** `jpeg`: encoded images. `pixels`: RGB of 8 bits. Default `jpeg`. */
  readonly output?: P;
  /** Of JPEG, from 2, the best, to 31. Default 3. */
  readonly quality?: number;
  /** Frames are made smaller, so that neither side is longer. Default: as large as they are. */
  readonly sideMax?: number;
  /** Frames of one video. Default 1,000. */
  readonly framesMax?: number;
  /** Pixels of one frame, before it is made smaller. Default 40,000,000. */
  readonly pixelsMax?: number;
}

export type FrameType<P extends Output> = P extends "pixels" ? ReturnType<typeof t.pixels> : typeof t.image;

/** Frames of each video, a row each. */
export function videoFrames<F extends string, I extends string, P extends Output = "jpeg">(
  options: VideoFramesOptions<F, I, P>,
): Step<Named<F, ColumnType<ObjectRef>>, FrameColumns<I, P>> {
  return step(videoFramesFunction(options), options);
}

/** Columns that come with the frame's. */
export const frameColumns = {
  /** Of the frames that were taken of the video: 0, 1, 2. */
  frameIndex: t.int32,
  /** From the begin of the video. */
  timestampMs: t.float64,
};

export type FrameColumns<I extends string, P extends Output> = Named<I, FrameType<P>> & typeof frameColumns;

type Settings = Required<MediaOptions> & {
  readonly pick: FramePick;
  readonly output: Output;
  readonly quality: number;
  readonly sideMax: number | undefined;
  readonly framesMax: number;
  readonly pixelsMax: number;
};

/** @internal */
export function videoFramesFunction<F extends string, I extends string, P extends Output = "jpeg">(
  options: VideoFramesOptions<F, I, P>,
): ColumnFunction<FrameColumns<I, P>> {
  const { from, into } = options;
  const settings = settingsOf(options);
  const type = settings.output === "jpeg" ? t.image : t.pixels();
  const to = { [into]: type, ...frameColumns } as unknown as FrameColumns<I, P>;
  return failingWith(
    "MILL_FFMPEG_MISSING",
    rowFunction({
      name: "videoFrames",
      reads: { [from]: encodedVideo },
      to,
      concurrency: settings.concurrency,
      async rows(row, context) {
        const video = await takeFrames(row[from] as ObjectRef | Content, settings, context);
        return video.frames.map(({ timestampMs, data }, frameIndex) => {
          const frame = settings.output === "jpeg" ? inline(data, "image/jpeg") : pixelsOf(data, video);
          return { [into]: frame, frameIndex, timestampMs } as unknown as Row<typeof to>;
        });
      },
    }),
  );
}

function pixelsOf(data: Uint8Array, { width, height }: MatroskaVideo): Pixels {
  if (data.length === width * height * 3) return { ...inline(data, ""), width, height, channels: 3 };
  throw new MillraceError(
    "MILL_MEDIA_INVALID",
    'its frames change their size. Ask for output: "jpeg", or convert it first.',
  );
}

function settingsOf(options: VideoFramesOptions<string, string, Output>): Settings {
  const name = "videoFrames";
  const settings = {
    ...mediaSettings(name, options),
    pick: options.pick,
    output: options.output ?? "jpeg",
    quality: options.quality ?? 3,
    sideMax: options.sideMax,
    framesMax: options.framesMax ?? limits.mediaFramesMax,
    pixelsMax: options.pixelsMax ?? limits.mediaPixelsMax,
  };
  checkPick(name, options.pick);
  checkNumber(name, "quality", settings.quality, { min: 2, max: 31, whole: true });
  checkNumber(name, "framesMax", settings.framesMax, { min: 1, max: 1_000_000, whole: true });
  checkNumber(name, "pixelsMax", settings.pixelsMax, { min: 1, max: 0x7fff_ffff, whole: true });
  if (settings.sideMax !== undefined)
    checkNumber(name, "sideMax", settings.sideMax, { min: 2, max: 65_500, whole: true });
  if (settings.output !== "jpeg" && settings.output !== "pixels") {
    throw new MillraceError("MILL_CONFIG", `${name}: output is ${settings.output}; give "jpeg" or "pixels".`);
  }
  return settings;
}

function checkPick(name: string, pick: FramePick): void {
  if ("everyMs" in pick) checkNumber(name, "pick.everyMs", pick.everyMs, { min: 1, max: 1e9 });
  else if ("count" in pick) checkNumber(name, "pick.count", pick.count, { min: 1, max: 1e6, whole: true });
  else checkNumber(name, "pick.scene", pick?.scene, { min: 0.001, max: 1 });
}

async function takeFrames(
  value: ObjectRef | Content,
  settings: Settings,
  context: OperatorContext,
): Promise<MatroskaVideo> {
  return withMediaFile(value, settings.bytesMax, context, async (file) => {
    const facts = await probeVideo(file, settings, context.signal);
    checkFacts(facts, settings);
    const { durationMsMax, framesMax, pixelsMax, outputBytesMax, timeoutMs } = settings;
    const output = await ffmpeg(settings.ffmpeg, {
      file,
      // Both again for the decoder: a file may lie about itself.
      inputArgs: ["-max_pixels", String(pixelsMax), "-t", String(durationMsMax / 1000 + 1)],
      args: [
        ...["-map", "0:V:0", "-an", "-sn", "-dn", "-filter_threads", "1"],
        ...["-vf", filters(settings, facts), "-frames:v", String(framesMax + 1)],
        ...encoder(settings),
        ...["-f", "matroska"],
      ],
      outputBytesMax,
      timeoutMs,
      signal: context.signal,
    });
    return checked(parseMatroska(output), settings);
  });
}

function checked(video: MatroskaVideo, { framesMax, durationMsMax }: Settings): MatroskaVideo {
  const { frames } = video;
  if (frames.length > framesMax) throw tooLarge(`more than ${framesMax} frames would be taken of it`);
  if (frames.length > 0 && frames.at(-1)!.timestampMs > durationMsMax)
    throw tooLarge(`it is longer than ${durationMsMax} ms`);
  if (frames.length > 0) return video;
  throw new MillraceError(
    "MILL_MEDIA_INVALID",
    "no frame could be decoded from it. Check the file, or convert it first.",
  );
}

function encoder({ output, quality }: Settings): readonly string[] {
  if (output === "pixels") return ["-pix_fmt", "rgb24", "-c:v", "rawvideo", "-allow_raw_vfw", "1"];
  return ["-pix_fmt", "yuvj420p", "-c:v", "mjpeg", "-q:v", String(quality)];
}

function filters({ pick, sideMax }: Settings, facts: VideoFacts): string {
  const chosen = [`select=${selection(pick, facts)}`];
  if (sideMax !== undefined) {
    const side = (length: string) => `min(${length}\\,${sideMax})`;
    chosen.push(`scale=w=${side("iw")}:h=${side("ih")}:force_original_aspect_ratio=decrease:flags=area`);
  }
  return chosen.join(",");
}

function selection(pick: FramePick, { durationMs }: VideoFacts): string {
  if ("scene" in pick) return `eq(n\\,0)+gt(scene\\,${pick.scene})`;
  if ("everyMs" in pick) return firstOfEach(pick.everyMs);
  if (durationMs !== null) return firstOfEach(durationMs / pick.count);
  throw new MillraceError(
    "MILL_MEDIA_INVALID",
    "it does not say how long it is, so frames cannot be spread over it. Use pick: { everyMs }.",
  );
}

/** The first frame of each stretch; real frames with their real times, and no drift. */
function firstOfEach(stretchMs: number): string {
  const stretch = (time: string) => `floor(${time}*1000/${stretchMs})`;
  return `isnan(prev_selected_t)+gt(${stretch("t")}\\,${stretch("prev_selected_t")})`;
}
