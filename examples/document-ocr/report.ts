/**
 * Writes what was read as one HTML file that needs nothing else: each page with its lines outlined, the text beside
 * it, and, where the true text is known, the error rates and the lines that differ.
 *
 * No outside resource is loaded (the page's own policy forbids it), and text from images is escaped: a page that says
 * `<script>` is shown saying so.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TextLine } from "millrace/functions";
import sharp from "sharp";
import {
  type Accuracy,
  editDistance,
  measure,
  normalise,
  type PageAccuracy,
  rate,
  type TruthPage,
} from "./accuracy.js";
import type { PageResult } from "./page-result.js";
import { escapeHtml, REPORT_SCRIPT, REPORT_STYLE, reportPage } from "./report-look.js";
import { settings } from "./settings.js";

export interface ReportSummary {
  readonly seconds: number;
  /** True texts by file name; pages without one are shown without a rate. */
  readonly truth?: readonly TruthPage[];
  /** Where the rows are: paths or addresses. */
  readonly outputs?: readonly string[];
  /** Pages that were given up, with their reasons. */
  readonly failed?: readonly { readonly uri: string; readonly reason: string }[];
}

/** Longer side of the embedded pictures, in pixels. */
const PICTURE_SIDE = 1_000;

/**
 * @param readImage  bytes of a page's image by its uri; by default it is read as a file
 * @returns          the path of `index.html` in `folder`, which is made if needed
 */
export async function writeReport(
  folder: string,
  pages: readonly PageResult[],
  summary: ReportSummary,
  readImage: (uri: string) => Promise<Uint8Array> = fromFile,
): Promise<string> {
  const texts = new Map(pages.map((page) => [fileName(page.uri), page.text]));
  const truth = new Map((summary.truth ?? []).map((page) => [page.file, page]));
  const known = [...truth.values()].filter((page) => texts.has(page.file));
  const accuracy = known.length === 0 ? undefined : measure(known, texts);
  const sections: string[] = [];
  for (const page of pages) {
    const file = fileName(page.uri);
    const rates = accuracy?.pages.find((one) => one.file === file);
    sections.push(section(page, await picture(await readImage(page.uri)), rates, truth.get(file)));
  }
  await mkdir(folder, { recursive: true });
  const path = join(folder, "index.html");
  await writeFile(path, reportPage(LOOK, header(pages, summary, accuracy), [...sections, NONE_MATCHES].join("\n")));
  return path;
}

function fromFile(uri: string): Promise<Uint8Array> {
  return readFile(uri.startsWith("file:") ? fileURLToPath(uri) : uri);
}

/** The last part of a path or address. */
function fileName(uri: string): string {
  return basename(uri.startsWith("file:") ? fileURLToPath(uri) : uri);
}

async function picture(bytes: Uint8Array): Promise<string> {
  const jpeg = await sharp(bytes, { limitInputPixels: settings.pagePixelsMax })
    .autoOrient()
    .flatten({ background: "#ffffff" })
    .resize(PICTURE_SIDE, PICTURE_SIDE, { fit: "inside", withoutEnlargement: true })
    .jpeg({ quality: 62, mozjpeg: true })
    .toBuffer();
  return `data:image/jpeg;base64,${jpeg.toString("base64")}`;
}

const LOOK = { title: "Document OCR", style: REPORT_STYLE, script: REPORT_SCRIPT };
const NONE_MATCHES = '<p class="none" hidden>No page matches.</p>';

const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;

/** Bands of confidence and of error rates share three colours; the number always stands beside the colour. */
function confidenceBand(confidence: number): "good" | "fair" | "poor" {
  return confidence >= 0.95 ? "good" : confidence >= 0.85 ? "fair" : "poor";
}

function rateBand(share: number): "good" | "fair" | "poor" {
  return share <= 0.01 ? "good" : share <= 0.05 ? "fair" : "poor";
}

function header(pages: readonly PageResult[], summary: ReportSummary, accuracy: Accuracy | undefined): string {
  const words = pages.reduce((total, page) => total + (page.text.match(/\S+/gu)?.length ?? 0), 0);
  const tiles: [value: string, label: string, note: string][] = [
    [
      String(pages.length),
      pages.length === 1 ? "page" : "pages",
      `${pages.reduce((n, page) => n + page.lines.length, 0)} lines`,
    ],
    [words.toLocaleString("en"), "words", `${(words / Math.max(pages.length, 1)).toFixed(0)} a page`],
    [
      `${summary.seconds.toFixed(1)} s`,
      "time",
      `${(pages.length / Math.max(summary.seconds, 1e-9)).toFixed(2)} pages/s`,
    ],
  ];
  for (const condition of ["clean", "noisy"] as const) {
    const share = accuracy?.[condition];
    if (share === undefined || share.pages === 0) continue;
    const note = `${share.pages} pages; ${percent(share.unspaced)} without spaces`;
    tiles.push([percent(share.spaced), `character errors, ${condition}`, note]);
  }
  const outputs = (summary.outputs ?? []).map((output) => `<code>${escapeHtml(output)}</code>`).join(" ");
  const failed = (summary.failed ?? []).map(
    ({ uri, reason }) => `<li><b>${escapeHtml(fileName(uri))}</b> ${escapeHtml(reason)}</li>`,
  );
  return `<header>
<h1>Document OCR</h1>
<dl class="tiles">${tiles.map(([value, label, note]) => `<div><dt>${label}</dt><dd>${value}</dd><dd class="note">${note}</dd></div>`).join("")}</dl>
${outputs === "" ? "" : `<p class="outputs">Rows: ${outputs}</p>`}
${failed.length === 0 ? "" : `<details class="failed"><summary>${failed.length} not read</summary><ul>${failed.join("")}</ul></details>`}
</header>
${controls(pages, accuracy)}`;
}

function controls(pages: readonly PageResult[], accuracy: Accuracy | undefined): string {
  const choice = (value: string, label: string, count: number): string =>
    `<label><input type="radio" name="show" value="${value}"${value === "all" ? " checked" : ""}><span>${label} <small>${count}</small></span></label>`;
  const filter =
    accuracy === undefined
      ? ""
      : `<fieldset><legend>Show pages</legend>${choice("all", "All", pages.length)}${choice("clean", "Clean", accuracy.clean.pages)}${choice("noisy", "Noisy", accuracy.noisy.pages)}${choice("wrong", "With errors", accuracy.pages.filter((page) => page.spaced.edits > 0).length)}</fieldset>`;
  return `<nav aria-label="Filter">${filter}
<label class="find"><span>Find</span><input type="search" id="find" placeholder="text on a page" autocomplete="off"></label>
<output id="shown">${pages.length} shown</output>
<span class="legend">confidence <i class="good"></i>95 % and up <i class="fair"></i>85 to 95 % <i class="poor"></i>below</span></nav>`;
}

function section(
  page: PageResult,
  image: string,
  rates: PageAccuracy | undefined,
  truth: TruthPage | undefined,
): string {
  const file = fileName(page.uri);
  const share = rates === undefined ? undefined : rate(rates.spaced);
  const rated =
    rates === undefined || share === undefined
      ? ""
      : `<span class="chip ${rates.condition}">${rates.condition}</span><span class="rate ${rateBand(share)}" title="edits of characters, spaces count">${percent(share)} errors <small>${rates.spaced.edits} of ${rates.spaced.characters}</small></span>`;
  const expected = truth?.lines.map(normalise);
  const wrong = rates === undefined || rates.spaced.edits === 0 ? "" : " data-wrong";
  return `<section class="page" data-condition="${rates?.condition ?? ""}"${wrong} aria-label="${escapeHtml(file)}">
<h2>${escapeHtml(file)} ${rated}</h2>
<div class="sides">
<figure><img src="${image}" width="${page.width}" height="${page.height}" alt="Page image ${escapeHtml(file)}"><svg viewBox="0 0 ${page.width} ${page.height}" aria-hidden="true">${page.lines.map(outline).join("")}</svg></figure>
<ol>${page.lines.map((line, at) => item(line, at, expected)).join("")}</ol>
</div>
</section>`;
}

function outline({ quad, confidence }: TextLine, at: number): string {
  return `<polygon data-line="${at}" class="${confidenceBand(confidence)}" points="${quad.map((value) => value.toFixed(1)).join(" ")}"/>`;
}

function item({ text, confidence }: TextLine, at: number, expected: readonly string[] | undefined): string {
  const read = normalise(text);
  const differs = expected !== undefined && !expected.includes(read);
  const truth = differs ? `<span class="truth">true: ${marked(read, nearest(read, expected))}</span>` : "";
  const band = confidenceBand(confidence);
  return `<li data-line="${at}" class="${band}" tabindex="0"><span class="text">${escapeHtml(text)}</span><span class="confidence" title="confidence">${Math.floor(confidence * 100)}</span>${truth}</li>`;
}

function nearest(read: string, expected: readonly string[]): string {
  let best = "";
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const line of expected) {
    const distance = editDistance(read, line);
    if (distance < bestDistance) [best, bestDistance] = [line, distance];
  }
  return best;
}

/** The true line, with what lies between its common beginning and end with the read one set apart. */
function marked(read: string, truth: string): string {
  const [a, b] = [[...read], [...truth]];
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const part = (from: number, to: number): string => escapeHtml(b.slice(from, to).join(""));
  return `${part(0, start)}<ins>${part(start, b.length - end)}</ins>${part(b.length - end, b.length)}`;
}
