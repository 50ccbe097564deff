/**
 * Makes videos of which it is known where their scenes are, which scenes they share, and what is written in them. The pictures are ffmpeg's own
 * sources (`lavfi`); nothing is downloaded.
 *
 * The videos differ in size, rate, codec and container, so that a scene that two of them share is not the same bytes in both.
 */
import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export interface TrueScene {
  readonly scene: string;
  readonly startMs: number;
  /** Lines of text in it. */
  readonly lines: number;
}

export interface TrueVideo {
  readonly file: string;
  readonly scenes: readonly TrueScene[];
}

interface Scene {
  /** A source of ffmpeg's, without its size, rate and duration. */
  readonly source: string;
  readonly filter?: string;
  /** Filled rectangles, as `drawbox` has them: what makes one slide look different from the next. */
  readonly shapes?: readonly string[];
  readonly ink?: string;
  /** The first is a heading. */
  readonly lines?: readonly string[];
}

const SCENES = {
  opening: {
    source: "color=c=0x1d3557",
    shapes: ["x=iw*0.7:y=0:w=iw*0.3:h=ih:color=0xe63946"],
    ink: "white",
    lines: ["Village weekly", "News from the mill"],
  },
  prices: {
    source: "color=c=0xf1faee",
    shapes: ["x=iw*0.75:y=ih*0.25:w=iw*0.15:h=ih*0.5:color=0x457b9d"],
    ink: "black",
    lines: ["Prices", "Wheat flour 1.20", "Rye flour 0.95", "Oats 0.80"],
  },
  notice: {
    source: "color=c=0xffd166",
    shapes: ["x=0:y=ih*0.7:w=iw:h=ih*0.3:color=0x9c2c13"],
    ink: "black",
    lines: ["Closed on Friday", "The wheel is mended"],
  },
  thanks: {
    source: "color=c=0x2a9d8f",
    shapes: ["x=0:y=ih*0.6:w=iw*0.5:h=ih*0.4:color=0x123f3a"],
    ink: "white",
    lines: ["Thank you", "See you next week"],
  },
  fractal: { source: "mandelbrot=start_scale=0.5:end_scale=0.45:end_pts=500" },
  evening: { source: "color=c=black", filter: "geq=r='255*(1-Y/H)':g='90*(1-Y/H)+40*X/W':b='60+120*Y/H'" },
  hills: {
    source: "color=c=black",
    filter: "geq=r='60':g='if(gt(Y,H*(0.6+0.2*sin(6*X/W))),150,90)':b='if(gt(Y,H*(0.6+0.2*sin(6*X/W))),60,220)'",
  },
} as const satisfies Record<string, Scene>;

interface Video {
  readonly file: string;
  readonly size: readonly [width: number, height: number];
  readonly rate: number;
  readonly codec: readonly string[];
  readonly scenes: readonly (keyof typeof SCENES)[];
}

const SECONDS = 1;

const PLAN: readonly Video[] = [
  {
    file: "week-1.mp4",
    size: [640, 360],
    rate: 25,
    codec: ["-c:v", "mpeg4", "-q:v", "3"],
    scenes: ["opening", "fractal", "prices", "thanks"],
  },
  {
    file: "week-2.mkv",
    size: [960, 540],
    rate: 30,
    codec: ["-c:v", "mpeg4", "-q:v", "5"],
    scenes: ["opening", "evening", "notice", "thanks"],
  },
  {
    file: "week-3.avi",
    size: [480, 270],
    rate: 24,
    codec: ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "4"],
    scenes: ["opening", "prices", "hills", "fractal"],
  },
];

/** @param ffmpeg with the filter `drawtext`, as most have it */
export async function makeVideos(folder: string, ffmpeg: string): Promise<TrueVideo[]> {
  await mkdir(folder, { recursive: true });
  const font = join(
    dirname(createRequire(import.meta.url).resolve("dejavu-fonts-ttf/package.json")),
    "ttf/DejaVuSans.ttf",
  );
  for (const video of PLAN) {
    const { file, size, rate, codec, scenes } = video;
    const inputs = scenes.flatMap((name) => ["-f", "lavfi", "-i", sourceOf(SCENES[name], size, rate)]);
    const drawn = scenes.map((name, i) => `[${i}:v]${filtersOf(SCENES[name], video, font)}[s${i}]`);
    const graph = [...drawn, `${scenes.map((_, i) => `[s${i}]`).join("")}concat=n=${scenes.length}[v]`].join(";");
    const output = ["-filter_complex", graph, "-map", "[v]", ...codec, join(folder, file)];
    await promisify(execFile)(ffmpeg, ["-nostdin", "-v", "error", "-y", ...inputs, ...output]);
  }
  return PLAN.map(({ file, scenes }) => ({
    file,
    scenes: scenes.map((scene, i) => ({ scene, startMs: i * SECONDS * 1000, lines: linesOf(SCENES[scene]).length })),
  }));
}

function sourceOf({ source }: Scene, [width, height]: Video["size"], rate: number): string {
  return `${source}${source.includes("=") ? ":" : "="}size=${width}x${height}:rate=${rate},trim=duration=${SECONDS}`;
}

function filtersOf(scene: Scene, { size: [, height], rate }: Video, font: string): string {
  const lines = linesOf(scene).map((line, i) => {
    const [fontSize, y] = [i === 0 ? height / 8 : height / 12, height * (0.2 + 0.18 * i)];
    return `drawtext=fontfile=${font}:text='${line}':fontcolor=${scene.ink}:fontsize=${Math.round(fontSize)}:x=w/10:y=${Math.round(y)}`;
  });
  // What is computed for each pixel is computed for one frame, which then stands still.
  const drawn =
    scene.filter === undefined ? [] : ["trim=end_frame=1", scene.filter, `loop=loop=${SECONDS * rate - 1}:size=1`];
  const shapes = (scene.shapes ?? []).map((shape) => `drawbox=${shape}:t=fill`);
  return [...drawn, ...shapes, ...lines, "setpts=N/FRAME_RATE/TB", "format=yuv420p", "setsar=1"].join(",");
}

function linesOf({ lines = [] }: Scene): readonly string[] {
  return lines;
}
