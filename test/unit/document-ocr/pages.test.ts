import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { measure, type TruthPage } from "../../../examples/document-ocr/accuracy.js";
import { BarePages } from "../../../examples/document-ocr/bare-page.js";
import { planPages } from "../../../examples/document-ocr/make-pages.js";
import { modelFiles, pagesFolder } from "../../../examples/document-ocr/places.js";
import { parseKeys } from "../../../src/functions/ai/text-images/recognition.js";

const readTruth = async (): Promise<TruthPage[]> =>
  JSON.parse(await readFile(join(pagesFolder(), "truth.json"), "utf8")) as TruthPage[];

describe("document-ocr/pages: what is checked in", () => {
  it("is at least 28 pages, JPEG and PNG, a third of them noisy, under 6 MB, each with its truth", async () => {
    const truth = await readTruth();
    const files = (await readdir(pagesFolder())).filter((name) => name !== "truth.json").sort();
    assert.deepEqual(truth.map((page) => page.file).sort(), files);
    assert.ok(files.length >= 28);
    assert.ok(files.some((name) => name.endsWith(".png")) && files.some((name) => name.endsWith(".jpg")));
    const noisy = truth.filter((page) => page.condition === "noisy").length / truth.length;
    assert.ok(noisy > 0.3 && noisy < 0.4, `${noisy} noisy`);
    const sizes = await Promise.all(files.map((name) => stat(join(pagesFolder(), name))));
    assert.ok(sizes.reduce((total, { size }) => total + size, 0) < 6_000_000);
  });

  it("has the truth that its maker plans from the seed", async () => {
    const planned = planPages().map(({ file, kind, condition, lines }) => ({ file, kind, condition, lines }));
    assert.deepEqual(await readTruth(), planned);
  });

  it("asks only for characters that the recogniser knows", async () => {
    const known = new Set(parseKeys(await readFile(modelFiles().keys, "utf8")));
    const unknown = (await readTruth()).flatMap((page) =>
      [...page.lines.join("")].filter((letter) => !known.has(letter)),
    );
    assert.deepEqual(unknown, []);
  });
});

describe("document-ocr/bare-page: whole pages from file to text", () => {
  // One page of each kind of difficulty; the bound is the 5 %, the clean ones are in fact below 1 %.
  const chosen = ["newsletter-01.png", "invoice-02.jpg", "receipt-04.jpg", "form-06.jpg"];

  it("reads clean, two-column, tabular and skewed pages with at most 5 % wrong characters each", async function () {
    this.timeout(60_000);
    const truth = (await readTruth()).filter((page) => chosen.includes(page.file));
    const pages = await BarePages.load(1);
    // Together, to show that pages under way beside each other do not disturb each other.
    const read = await Promise.all(truth.map((page) => pages.read(join(pagesFolder(), page.file))));
    const texts = new Map(truth.map((page, at) => [page.file, read[at]!.result.text]));
    for (const page of measure(truth, texts).pages) {
      const { edits, characters } = page.spaced;
      assert.ok(edits <= characters * 0.05, `${page.file}: ${edits} of ${characters}`);
    }
    for (const { result } of read) {
      for (const { quad, confidence } of result.lines) {
        assert.equal(quad.length, 8);
        assert.ok(confidence > 0.5 && confidence <= 1);
      }
    }
  });
});
