/**
 * Makes the demo's page images and their true text: `node dist/examples/document-ocr/make-pages.js [folder]`.
 *
 * The pages are checked in; run this only to change them. The same seed and the same versions of sharp and of the
 * font package give the same bytes. The only fonts it can see are those of `dejavu-fonts-ttf`.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp from "sharp";
import type { TruthPage } from "./accuracy.js";
import { damage, drawDamage } from "./page-making/damage.js";
import { Draws } from "./page-making/draws.js";
import { KINDS, type Kind } from "./page-making/kinds.js";
import type { Sheet } from "./page-making/sheet.js";
import { pagesFolder } from "./places.js";

const SEED = 20_260_731;

/** Per kind: how many clean pages, then how many noisy ones. Clean ones are PNG and JPEG in turn; noisy ones are JPEG. */
const PLAN: readonly (readonly [Kind, clean: number, noisy: number])[] = [
  ["invoice", 5, 3],
  ["letter", 4, 2],
  ["receipt", 4, 2],
  ["form", 4, 2],
  ["newsletter", 3, 2],
];

/** A fontconfig that knows one folder, so that no machine's own fonts change the pages. */
async function useOnlyDejaVu(folder: string): Promise<void> {
  const fonts = join(dirname(createRequire(import.meta.url).resolve("dejavu-fonts-ttf/package.json")), "ttf");
  const file = join(folder, "fonts.conf");
  await writeFile(
    file,
    `<?xml version="1.0"?><fontconfig><dir>${fonts}</dir><cachedir>${folder}/cache</cachedir></fontconfig>`,
  );
  process.env.FONTCONFIG_FILE = file;
}

export interface PlannedPage extends TruthPage {
  readonly sheet: Sheet;
  /** The page's own draws, used up as far as its content: its damage is drawn next. */
  readonly draws: Draws;
}

/** Content and truth of every page, nothing rendered yet. Each page has draws of its own: one more changes no other. */
export function planPages(): PlannedPage[] {
  const planned: PlannedPage[] = [];
  for (const [kind, clean, noisy] of PLAN) {
    for (let at = 0; at < clean + noisy; at++) {
      const draws = new Draws(SEED + planned.length * 7919);
      const sheet = KINDS[kind](draws);
      const condition = at < clean ? "clean" : "noisy";
      const ending = condition === "clean" && at % 2 === 0 ? "png" : "jpg";
      const file = `${kind}-${String(at + 1).padStart(2, "0")}.${ending}`;
      planned.push({ file, kind, condition, lines: sheet.lines, sheet, draws });
    }
  }
  return planned;
}

/** The n-th noisy page is turned by up to 5 degrees, or damaged, or both: every one is at least one of them. */
async function noisyImage({ sheet, draws }: PlannedPage, n: number): Promise<Buffer> {
  const degrees = n % 3 === 1 ? 0 : draws.between(1.2, 5) * draws.pick([-1, 1]);
  const svg = sheet.svg(Number(degrees.toFixed(2)), "#fbfaf6");
  if (n % 3 === 2) return sharp(Buffer.from(svg)).removeAlpha().jpeg({ quality: 80 }).toBuffer();
  return damage(svg, drawDamage(draws), draws);
}

function cleanImage({ file, sheet }: PlannedPage): Promise<Buffer> {
  const image = sharp(Buffer.from(sheet.svg(0, "#ffffff"))).removeAlpha();
  return (file.endsWith(".png") ? image.png({ palette: true, colours: 32 }) : image.jpeg({ quality: 82 })).toBuffer();
}

export async function makePages(folder: string): Promise<number> {
  const scratch = await mkdtemp(join(tmpdir(), "millrace-fonts-"));
  try {
    await useOnlyDejaVu(scratch);
    await mkdir(folder, { recursive: true });
    const planned = planPages();
    let noisy = 0;
    for (const page of planned) {
      await writeFile(
        join(folder, page.file),
        await (page.condition === "clean" ? cleanImage(page) : noisyImage(page, noisy++)),
      );
    }
    const truth: TruthPage[] = planned.map(({ file, kind, condition, lines }) => ({ file, kind, condition, lines }));
    await writeFile(join(folder, "truth.json"), `${JSON.stringify(truth, null, 1)}\n`);
    return truth.length;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

if (process.argv[1] === import.meta.filename) {
  const folder = process.argv[2] ?? pagesFolder();
  const count = await makePages(folder);
  console.log(`${count} pages and truth.json written to ${folder}`);
}
