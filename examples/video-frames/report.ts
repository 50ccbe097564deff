/**
 * Writes what was found as one HTML file that needs nothing else: for each video its scenes in the order of time, with the text in them outlined;
 * a scene that was there before is shown as a copy of the first.
 *
 * No outside resource is loaded (the page's own policy forbids it), there is no script, and names are escaped.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { escapeHtml, REPORT_STYLE, reportPage } from "../document-ocr/report-look.js";

export interface Place {
  readonly name: string;
  readonly timestampMs: number;
}

/** A frame that begins a scene. */
export interface FrameRow extends Place {
  /** A number of 64 bits, in decimal. */
  readonly hash: string;
  /** The frame that this one is a copy of. */
  readonly first: Place | null;
}

/** A frame that is no copy. */
export interface SceneRow extends Place {
  /** Base64. */
  readonly frame: { readonly bytes: string; readonly mediaType: string };
  readonly width: number;
  readonly height: number;
  readonly texts: readonly { readonly quad: readonly number[] }[];
}

export interface Summary {
  readonly seconds: number;
  /** Where the rows are: paths or addresses. */
  readonly outputs: readonly string[];
}

/** @returns the path of `index.html` in `folder`, which is made if needed */
export async function writeReport(
  folder: string,
  frames: readonly FrameRow[],
  scenes: readonly SceneRow[],
  summary: Summary,
): Promise<string> {
  const known = new Map(scenes.map((scene) => [keyOf(scene), scene]));
  const videos = [...new Set(frames.map(({ name }) => name))].sort();
  const sections = videos.map((video) => section(video, frames, known));
  await mkdir(folder, { recursive: true });
  const path = join(folder, "index.html");
  await writeFile(
    path,
    reportPage(
      { title: "Video frames", style: STYLE },
      header(videos.length, frames, scenes, summary),
      sections.join("\n"),
    ),
  );
  return path;
}

function keyOf({ name, timestampMs }: Place): string {
  return `${timestampMs} ${name}`;
}

function header(videos: number, frames: readonly FrameRow[], scenes: readonly SceneRow[], summary: Summary): string {
  const copies = frames.filter(({ first }) => first !== null).length;
  const texts = scenes.reduce((sum, scene) => sum + scene.texts.length, 0);
  const written = scenes.filter((scene) => scene.texts.length > 0).length;
  const tiles: [value: string, label: string, note: string][] = [
    [String(videos), videos === 1 ? "video" : "videos", `${frames.length} scenes in all`],
    [String(scenes.length), "different scenes", `${copies} more are copies`],
    [String(texts), "lines of text", `in ${written} of them`],
    [`${summary.seconds.toFixed(1)} s`, "time", "from the command to the end"],
  ];
  const shown = tiles.map(([value, label, note]) => {
    return `<div><dt>${label}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`;
  });
  const outputs = summary.outputs.map((place) => `<code>${escapeHtml(place)}</code>`).join(" ");
  return `<header><h1>Video frames</h1><dl class="tiles">${shown.join("")}</dl><p class="outputs">${outputs}</p></header>`;
}

function section(video: string, frames: readonly FrameRow[], scenes: ReadonlyMap<string, SceneRow>): string {
  const own = frames.filter(({ name }) => name === video).sort((a, b) => a.timestampMs - b.timestampMs);
  const copies = own.filter(({ first }) => first !== null).length;
  const note = `${own.length} scenes${copies === 0 ? "" : `, ${copies} of them seen before`}`;
  return `<section class="page"><h2>${escapeHtml(video)} <small>${note}</small></h2>
<div class="scenes">${own.map((frame) => card(frame, scenes)).join("\n")}</div></section>`;
}

function card(frame: FrameRow, scenes: ReadonlyMap<string, SceneRow>): string {
  const scene = scenes.get(keyOf(frame.first ?? frame));
  const time = `<b>${clock(frame.timestampMs)}</b>`;
  const said = frame.first === null ? textsIn(scene) : copyOf(frame);
  const hash = BigInt.asUintN(64, BigInt(frame.hash)).toString(16).padStart(16, "0");
  return `<article${frame.first === null ? "" : " data-copy"}>${scene === undefined ? "" : picture(scene)}
<p>${time} ${said}</p><p><code title="perceptual hash">${hash}</code></p></article>`;
}

function textsIn(scene: SceneRow | undefined): string {
  const lines = scene?.texts.length ?? 0;
  return lines === 0 ? "no text" : `${lines} ${lines === 1 ? "line" : "lines"} of text`;
}

function copyOf({ name, first }: FrameRow): string {
  const where = first!.name === name ? "" : `${escapeHtml(first!.name)}, `;
  return `copy of ${where}${clock(first!.timestampMs)}`;
}

function picture({ frame, width, height, texts }: SceneRow): string {
  const outlines = texts.map(({ quad }) => `<polygon points="${quad.map((value) => value.toFixed(1)).join(" ")}"/>`);
  return `<figure><img alt="" src="data:${escapeHtml(frame.mediaType)};base64,${escapeHtml(frame.bytes)}" width="${width}" height="${height}">
<svg viewBox="0 0 ${width} ${height}" aria-hidden="true">${outlines.join("")}</svg></figure>`;
}

/** Minutes, seconds and tenths. */
function clock(ms: number): string {
  const tenths = Math.round(ms / 100);
  const seconds = (tenths % 600) / 10;
  return `${Math.floor(tenths / 600)}:${seconds.toFixed(1).padStart(4, "0")}`;
}

const STYLE = `${REPORT_STYLE}
.scenes { display: grid; grid-template-columns: repeat(auto-fill, minmax(250px, 1fr)); gap: 16px; }
article p { margin: 6px 0 0; } article p + p { margin: 0; }
article code { color: var(--dim); font-size: 12px; }
article b { font-variant-numeric: tabular-nums; margin-right: 6px; }
.scenes figure { position: relative; top: 0; }
.scenes img { display: block; width: 100%; aspect-ratio: 16 / 9; object-fit: contain; background: #000; }
.scenes polygon { cursor: default; color: #ff3b8d; stroke-width: 2px; }
article[data-copy] figure { opacity: .45; } article[data-copy] p:first-of-type { color: var(--dim); }
`;
