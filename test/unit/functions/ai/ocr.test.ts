/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { characterErrors, rate, type TruthPage } from "../../../../examples/document-ocr/accuracy.js";
import { BarePages } from "../../../../examples/document-ocr/bare-page.js";
import { ocr, ocrService, type ocrType } from "../../../../src/functions/ai/ocr.js";
import { t } from "../../../../src/types/columns.js";
import { inline } from "../../../../src/types/content-types.js";
import { packageRoot } from "../../../servers/find.js";
import { errorOf } from "../../services/handlers/contexts.js";
import { built, sourceOf } from "../../topology/support.js";
import { pixelRow } from "../images/pictures.js";
import { type Running, start } from "./model-service.js";

const pagesFolder = join(packageRoot(), "examples/document-ocr/pages");
const truth = JSON.parse(readFileSync(join(pagesFolder, "truth.json"), "utf8")) as TruthPage[];
const page = (file: string) => inline(readFileSync(join(pagesFolder, file)), "");

describe("functions/ai: ocr, with the real models", function () {
  this.timeout(120_000);
  let running: Running<{ readonly text: typeof ocrType }>;

  before(async () => {
    running = await start(ocrService({ from: "image", into: "text" }, t.image));
  });
  after(() => running.stop());

  it("reads a page as the example does, line by line, in reading order", async () => {
    const file = "letter-01.png";
    const { rows } = await running.ask([{ image: page(file) }]);
    const bare = await BarePages.load(1);
    const { result } = await bare.read(join(pagesFolder, file));
    const { text, lines, width, height } = rows[0]!.text;
    assert.deepEqual([width, height], [result.width, result.height]);
    assert.equal(text, result.text);
    assert.deepEqual(
      lines.map((line) => line.quad),
      result.lines.map(({ quad }) => [...quad]),
    );
    const expected = truth.find((one) => one.file === file)!.lines.join("\n");
    assert.ok(rate(characterErrors(text, expected, "remove")) < 0.03);
  });

  it("images that hold no text are empty; those that are none are refused by themselves", async () => {
    const white = await sharp({ create: { width: 80, height: 50, channels: 3, background: "#ffffff" } })
      .png()
      .toBuffer();
    const small = await sharp({ create: { width: 1, height: 1, channels: 3, background: "#000000" } })
      .png()
      .toBuffer();
    const word = await sharp(join(pagesFolder, "letter-01.png"))
      .extract({ left: 90, top: 95, width: 430, height: 55 })
      .png()
      .toBuffer();
    const { rows, refused } = await running.ask(
      [white, Buffer.from("no image"), small, word].map((bytes) => ({ image: inline(bytes, "") })),
    );
    assert.deepEqual(rows[0]!.text, { text: "", lines: [], width: 80, height: 50 });
    assert.equal(rows[2]!.text.text, "");
    assert.match(rows[3]!.text.text.replaceAll(" ", ""), /^HalvorsenFreightAS$/);
    assert.deepEqual([...refused.keys()], [1]);
    assert.equal(refused.get(1)!.code, "MILL_IMAGE_INVALID");
  });

  it("an image with more boxes than are read is refused by itself", async () => {
    const few = await start(ocrService({ from: "image", into: "text", boxesMax: 5 }, t.image));
    const { refused } = await few.ask([{ image: page("letter-01.png") }]);
    await few.stop();
    assert.equal(refused.get(0)!.code, "MILL_IMAGE_TOO_LARGE");
    assert.match(refused.get(0)!.message, /boxes of text; at most 5 are read/);
  });

  it("takes pixels, and makes larger ones smaller first; quads are in pixels of what was read", async () => {
    const { data, info } = await sharp(join(pagesFolder, "letter-01.png"))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    const half = await start(
      ocrService<"image", "text">({ from: "image", into: "text", sideMax: info.height / 2 }, t.pixels("uint8")),
    );
    const { rows } = await half.ask([pixelRow({ data, width: info.width, height: info.height, channels: 3 })]);
    await half.stop();
    assert.deepEqual([rows[0]!.text.width, rows[0]!.text.height], [info.width / 2, info.height / 2]);
    const [first] = rows[0]!.text.lines;
    assert.ok(Math.abs(first!.quad[0]! - 97 / 2) < 8 && Math.abs(first!.quad[1]! - 102 / 2) < 8);
  });

  it("a list of characters of another model is an error before the first row", async () => {
    const models = { keys: join(pagesFolder, "truth.json") };
    const error = await errorOf(start(ocrService({ from: "image", into: "text", models }, t.image)));
    assert.equal(error.code, "MILL_MODEL_INPUTS");
    assert.match(error.message, /the recogniser knows 6625 characters, and its list has/);
  });
});

describe("functions/ai: ocr in a topology", () => {
  it("adds a struct, whose parts the next operator knows; a column that is no image is refused", () => {
    const source = sourceOf({ name: t.utf8, scan: t.optional(t.objectRef) });
    const { operators, services } = built((job) =>
      job
        .read(source)
        .pipe(ocr({ from: "scan", into: "page", service: { instances: 3 } }))
        .filter(({ page }) => page.text !== "" && page.lines.every(({ confidence }) => confidence > 0)),
    );
    assert.equal(operators[1]!.id, "ocr-1");
    assert.equal(services[0]!.instances, 3);
    assert.throws(
      // @ts-expect-error a name is no image
      () => built((job) => job.read(source).pipe(ocr({ from: "name", into: "page" }))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "ocr-1": column "name" is utf8, but ocr reads pixels/ },
    );
    assert.throws(() => ocr({ from: "scan", into: "page", sideMax: 1 }), {
      code: "MILL_CONFIG",
      message: /sideMax is 1/,
    });
  });
});
