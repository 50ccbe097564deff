/** What `ffprobe` says of a video. */
import { MillraceError } from "../../base/errors.js";
import { ffprobe } from "../ffmpeg.js";

export interface AudioStream {
  readonly codec: string;
  readonly sampleRate: number;
  readonly channels: number;
}

export interface VideoFacts {
  /** null: the file does not say. */
  readonly durationMs: number | null;
  /** As shown, that is after rotation. */
  readonly width: number;
  readonly height: number;
  /** Mean frames in a second; 0: not known. */
  readonly fps: number;
  readonly codec: string;
  /** Degrees clockwise by which players turn the coded picture: 0, 90, 180 or 270. */
  readonly rotation: number;
  readonly audio: readonly AudioStream[];
}

/** Bytes of ffprobe's answer: a file may have thousands of streams, or tags of any length. */
const ANSWER_BYTES_MAX = 4 * 1024 * 1024;
const AUDIO_STREAMS_MAX = 64;

const FIELDS = [
  "format=duration",
  "stream=codec_type,codec_name,width,height,avg_frame_rate,r_frame_rate,duration,sample_rate,channels",
  "stream_disposition=attached_pic",
  "stream_tags=rotate",
  "stream_side_data=rotation",
].join(":");

export interface ProbeOptions {
  readonly ffprobe: string;
  readonly timeoutMs: number;
}

/** @throws {MillraceError} `MILL_MEDIA_INVALID`: it is no media, or has no video */
export async function probeVideo(file: number, options: ProbeOptions, signal: AbortSignal): Promise<VideoFacts> {
  const args = ["-of", "json", "-show_entries", FIELDS];
  const how = { file, args, outputBytesMax: ANSWER_BYTES_MAX, timeoutMs: options.timeoutMs, signal };
  return factsOf(JSON.parse((await ffprobe(options.ffprobe, how)).toString("utf8")) as Answer);
}

interface Stream {
  readonly codec_type?: string;
  readonly codec_name?: string;
  readonly width?: number;
  readonly height?: number;
  readonly avg_frame_rate?: string;
  readonly r_frame_rate?: string;
  readonly duration?: string;
  readonly sample_rate?: string;
  readonly channels?: number;
  readonly disposition?: { readonly attached_pic?: number };
  readonly tags?: { readonly rotate?: string };
  readonly side_data_list?: readonly { readonly rotation?: number }[];
}
interface Answer {
  readonly format?: { readonly duration?: string };
  readonly streams?: readonly Stream[];
}

function factsOf({ format, streams = [] }: Answer): VideoFacts {
  // The cover of a music album is a "video" of one picture.
  const video = streams.find((stream) => stream.codec_type === "video" && stream.disposition?.attached_pic !== 1);
  if (video === undefined || !(video.width! > 0) || !(video.height! > 0)) {
    throw new MillraceError(
      "MILL_MEDIA_INVALID",
      "it has no video in it. Leave it out, or use the functions of audio.",
    );
  }
  const rotation = rotationOf(video);
  const [width, height] = rotation % 180 === 0 ? [video.width!, video.height!] : [video.height!, video.width!];
  const seconds = [format?.duration, video.duration].map(Number).find((value) => value > 0);
  return {
    durationMs: seconds === undefined ? null : seconds * 1000,
    width,
    height,
    fps: rate(video.avg_frame_rate) || rate(video.r_frame_rate),
    codec: video.codec_name ?? "",
    rotation,
    audio: streams
      .filter((stream) => stream.codec_type === "audio")
      .slice(0, AUDIO_STREAMS_MAX)
      .map(({ codec_name = "", sample_rate, channels = 0 }) => ({
        codec: codec_name,
        sampleRate: whole(sample_rate),
        channels: whole(channels),
      })),
  };
}

/** Newer programs say the turn of the display matrix, which is counter-clockwise; older ones a tag, clockwise. */
function rotationOf({ tags, side_data_list: sideData }: Stream): number {
  const matrix = sideData?.find(({ rotation }) => rotation !== undefined)?.rotation;
  const degrees = matrix === undefined ? Number(tags?.rotate ?? 0) : -matrix;
  if (!Number.isFinite(degrees)) return 0;
  return (((Math.round(degrees / 90) * 90) % 360) + 360) % 360;
}

function rate(text = ""): number {
  const [count, seconds] = text.split("/").map(Number);
  const value = count! / seconds!;
  return Number.isFinite(value) ? value : 0;
}

function whole(value: unknown): number {
  const number = Number(value);
  return Number.isInteger(number) && number >= 0 && number <= 0x7fff_ffff ? number : 0;
}
