/**
 * Videos to their scenes: files -> a frame of each scene -> perceptual hash -> copies set apart -> text detection (service) -> Parquet and
 * JSON Lines.
 *
 *     millrace run examples/video-frames/topology.ts
 *     millrace submit examples/video-frames/topology.ts
 *
 * Where `input` is not given, it reads the videos that the demo makes (demo.ts).
 *
 * Parameters: `input` (pattern of files), `output` (folder or s3:// prefix), `detectors` (instances), `ffmpeg` and `ffprobe` (the programs).
 */
import { files, jsonl, parquet, t, topology } from "millrace";
import { hammingDistance, imageHash, videoFrames } from "millrace/functions";
import { decodeImage, detectionPixels } from "../document-ocr/decode.js";
import { detector, detectorInput, quad } from "../document-ocr/detector.js";

const OUTPUT = "millrace-output/video-frames";

/** A frame that differs from the one before by more than this begins a scene. */
const SCENE = 0.2;
const FRAME_SIDE_MAX = 640;
/** Frames whose hashes differ in at most so many of 64 bits are copies. */
const COPY_BITS_MAX = 8;

const frame = { name: t.utf8, timestampMs: t.float64, hash: t.int64, frame: t.image };
/** All frames meet at one key, because a copy may be anywhere. */
const grouped = { ...frame, group: t.int32 };
/** `first` is the video and the time of the first that looked so; null: this one. */
const place = t.struct({ name: t.utf8, timestampMs: t.float64 });
const known = { ...frame, first: t.optional(place) };
const seen = { scenes: t.list(t.struct({ hash: t.int64, place })) };
const pixels = { ...frame, ...detectorInput };
const scene = { ...frame, width: t.int32, height: t.int32, texts: t.list(t.struct({ quad })) };

export default topology(
  "video-frames",
  (job) => {
    const output = job.param("output", OUTPUT);
    const all = job
      .read(files(job.param("input", `${OUTPUT}/videos/*.{mp4,mkv,avi}`)), { id: "videos" })
      .pipe(
        videoFrames({
          ...{ id: "frames", from: "ref", into: "frame", pick: { scene: SCENE }, sideMax: FRAME_SIDE_MAX },
          ...{ ffmpeg: job.param("ffmpeg", "ffmpeg"), ffprobe: job.param("ffprobe", "ffprobe") },
        }),
      )
      .pipe(imageHash({ id: "hash", from: "frame", into: "hash", kind: "phash" }))
      .mapRows({ id: "group", to: grouped }, ({ name, timestampMs, hash, frame }) => {
        return { name, timestampMs, hash, frame, group: 0 };
      })
      .keyBy("group")
      .process({ id: "copies", to: known, state: seen }, ({ name, timestampMs, hash, frame }, state) => {
        const scenes = state.get()?.scenes ?? [];
        const original = scenes.find((other) => hammingDistance(other.hash, hash) <= COPY_BITS_MAX);
        if (original === undefined) state.set({ scenes: [...scenes, { hash, place: { name, timestampMs } }] });
        return [{ name, timestampMs, hash, frame, first: original?.place ?? null }];
      });
    all.select("name", "timestampMs", "hash", "first").to(jsonl(`${output}/frames`), { id: "all-frames" });

    const scenes = all
      .filter(({ first }) => first === null, { id: "scenes" })
      .mapRows({ id: "prepare", to: pixels }, async ({ first: _, ...row }, { content, signal }) => {
        const name = `${row.name} at ${row.timestampMs} ms`;
        const bytes = await content.bytes(row.frame, signal);
        const page = await decodeImage(bytes, { maxSide: FRAME_SIDE_MAX, multiple: 1, pixelsMax: 1_000_000, name });
        const small = await detectionPixels(page);
        return {
          ...row,
          width: page.width,
          height: page.height,
          pixels: small.data,
          pixelsWidth: small.width,
          pixelsHeight: small.height,
        };
      })
      .infer(detector(Number(job.param("detectors", "1"))), { id: "detect" })
      .mapRows({ id: "found", to: scene }, ({ name, timestampMs, hash, frame, width, height, quads }) => {
        return { name, timestampMs, hash, frame, width, height, texts: quads };
      });
    scenes.to(parquet(`${output}/parquet`), { id: "parquet" });
    scenes.to(jsonl(`${output}/jsonl`), { id: "jsonl" });
  },
  ({ output = OUTPUT }) => ({
    unit: "videos",
    deadLetters: `${output}/dead-letters`,
    inlineLimitBytes: 1024 * 1024, // small frames stay in their rows, so that the output stands alone
  }),
);
