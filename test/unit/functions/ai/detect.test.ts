/** Each `@ts-expect-error` is a test of the compiler's: where the line below it compiles, this file does not. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import sharp from "sharp";
import { type BoxRules, iou, keptBoxes, type RawBox, yoloLayout } from "../../../../src/functions/ai/boxes.js";
import { backToImage, type DetectOptions, detect, detectService } from "../../../../src/functions/ai/detect.js";
import { cropImage } from "../../../../src/functions/images/crop-image.js";
import { decodeImage } from "../../../../src/functions/images/decode-image.js";
import { t } from "../../../../src/types/columns.js";
import { packageRoot } from "../../../servers/find.js";
import { errorOf } from "../../services/handlers/contexts.js";
import { constantModel, type TinyOutput } from "../../services/tiny-model.js";
import { built, sourceOf } from "../../topology/support.js";
import { pixelRow } from "../images/pictures.js";
import { start } from "./model-service.js";

const folder = mkdtempSync(join(tmpdir(), "millrace-detect-"));
let models = 0;
const PIXELS = t.pixels("uint8");

/** A model that finds the same in every image of 100 by 100 pixels. */
function answering(...outputs: TinyOutput[]): string {
  const model = join(folder, `model-${models++}.onnx`);
  writeFileSync(model, constantModel({ name: "input", type: "float32", dims: [1, 3, 100, 100] }, ...outputs));
  return model;
}

const blank = (width: number, height: number) =>
  pixelRow({ data: new Uint8Array(width * height * 3), width, height, channels: 3 });

type Given = Partial<DetectOptions<"image", "found">> & Pick<DetectOptions<"image", "found">, "model" | "answer">;

async function find(options: Given, size: readonly [number, number] = [100, 100]) {
  const common = { from: "image", into: "found", labels: ["cat", "dog"], image: { width: 100, height: 100 } } as const;
  const running = await start(detectService<"image", "found">({ ...common, ...options }, PIXELS));
  try {
    const { rows, refused } = await running.ask([blank(...size)]);
    assert.equal(refused.size, 0);
    return rows[0]!.found;
  } finally {
    await running.stop();
  }
}

/** Boxes as [middle x, middle y, width, height, cat, dog]; in a model's answer each number of all boxes stands together. */
const boxes = [
  [30, 40, 20, 40, 0.9, 0.1],
  [31, 41, 20, 40, 0.8, 0.2],
  [31, 41, 20, 40, 0.1, 0.7],
  [80, 80, 10, 10, 0.1, 0.3],
  [50, 50, 10, 10, 0.1, 0.2],
];
const turned = (rows: readonly number[][]) => rows[0]!.flatMap((_, i) => rows.map((row) => row[i]!));
const yolo = (rows = boxes) =>
  answering({ name: "output0", dims: [1, rows[0]!.length, rows.length], data: turned(rows) });
const near = (found: number, expected: number) =>
  assert.ok(Math.abs(found - expected) < 1e-4, `${found}, not ${expected}`);

describe("functions/ai: detect", () => {
  after(() => rmSync(folder, { recursive: true }));

  it("reads a YOLO answer: the best label of each box, the best box of those that overlap, by label", async () => {
    const found = await find({ model: yolo(), answer: { kind: "yolo" } });
    assert.deepEqual(
      found.map(({ label, score }) => [label, score.toFixed(1)]),
      [
        ["cat", "0.9"],
        ["dog", "0.7"],
        ["dog", "0.3"],
      ],
    );
    const [{ left, top, width, height }] = found as [(typeof found)[0]];
    for (const [value, expected] of [
      [left, 20],
      [top, 20],
      [width, 20],
      [height, 40],
    ] as const)
      near(value, expected);
  });

  it("reads it in either order, and with objectness", async () => {
    const other = answering({ name: "output0", dims: [1, 5, 6], data: boxes.flat() });
    const plain = await find({ model: yolo(), answer: { kind: "yolo" } });
    assert.deepEqual(await find({ model: other, answer: { kind: "yolo" } }), plain);
    const sure = boxes.map(([a, b, c, d, ...labels]) => [a!, b!, c!, d!, 0.5, ...labels]);
    const halves = await find({ model: yolo(sure), answer: { kind: "yolo" }, scoreMin: 0.1 });
    near(halves[0]!.score, 0.45);
  });

  it("boxes come back in pixels of the image, whatever was done to it, and end at its sides", async () => {
    const model = yolo([[50, 50, 20, 100, 0.9, 0]]);
    // 200 x 100 in 100 x 100: half the size, with borders of 25 above and below.
    const [wide] = await find({ model, answer: { kind: "yolo" } }, [200, 100]);
    for (const [side, value] of Object.entries({ left: 80, top: 0, width: 40, height: 100 })) {
      near(wide![side as "left"], value);
    }
    const image = { width: 100, height: 100, fit: "fill" } as const;
    const [filled] = await find({ model, answer: { kind: "yolo" }, image }, [200, 100]);
    for (const [side, value] of Object.entries({ left: 80, top: 0, width: 40, height: 100 })) {
      near(filled![side as "left"], value);
    }
    assert.equal(
      backToImage({ width: 100, height: 100 }, 200, 100)({ left: 0, top: 0, right: 50, bottom: 20 }),
      undefined,
    );
    const covered = backToImage({ width: 100, height: 100, fit: "cover" }, 200, 100);
    assert.deepEqual(covered({ left: 0, top: 0, right: 100, bottom: 100 }), {
      left: 50,
      top: 0,
      width: 100,
      height: 100,
    });
  });

  it("reads boxes, scores and classes, in any corners, relative or not", async () => {
    const scores = { name: "scores", dims: [1, 2], data: [0.4, 0.6] };
    const classes = { name: "classes", dims: [1, 2], data: [0, 1] };
    const named = { kind: "boxes", boxes: "boxes", scores: "scores", classes: "classes" } as const;
    const relative = answering(
      { name: "boxes", dims: [1, 2, 4], data: [0.1, 0.2, 0.3, 0.6, 0.5, 0.5, 1, 1] },
      scores,
      classes,
    );
    const found = await find({ model: relative, answer: { ...named, corners: "yxyx", relative: true } });
    assert.deepEqual(
      found.map(({ label }) => label),
      ["dog", "cat"],
    );
    for (const [side, value] of Object.entries({ left: 20, top: 10, width: 40, height: 20 })) {
      near(found[1]![side as "left"], value);
    }
    const each = answering(
      { name: "boxes", dims: [1, 1, 4], data: [10, 20, 30, 40] },
      { name: "scores", dims: [1, 1, 2], data: [0.1, 0.9] },
    );
    const [one] = await find({
      model: each,
      answer: { kind: "boxes", boxes: "boxes", scores: "scores", corners: "xywh" },
    });
    assert.deepEqual([one!.label, one!.left, one!.top], ["dog", 10, 20]);
    near(one!.height, 40);
    const unknown = answering({ name: "boxes", dims: [1, 2, 4], data: Array(8).fill(1) }, scores, {
      ...classes,
      data: [7, -1],
    });
    assert.deepEqual(await find({ model: unknown, answer: named }), []);
  });

  it("numbers that are none, and boxes without area, are no detections", async () => {
    const rows = [
      [Number.NaN, 10, 10, 10, 0.9, 0],
      [10, 10, 10, 10, Number.NaN, Number.NaN],
      [10, 10, -5, 10, 0.9, 0],
      [10, 10, Number.POSITIVE_INFINITY, 10, 0.9, 0],
      [500, 500, 10, 10, 0.9, 0],
    ];
    const found = await find({ model: yolo(rows), answer: { kind: "yolo" }, iouMax: 1 });
    for (const { left, width } of found) assert.ok(Number.isFinite(left) && width <= 100);
    assert.ok(found.length <= 1);
  });

  it("an answer that is none of that is an error before the first row, which says what came", async () => {
    const failing = async (options: Given) => (await errorOf(find(options))).message;
    const model = yolo();
    const many = ["a", "b", "c", "d", "e", "f", "g"];
    assert.match(await failing({ model, answer: { kind: "yolo" }, labels: many }), /\[6, 5\].* a side of 11 or 12/);
    assert.match(
      await failing({ model, answer: { kind: "yolo", output: "boxes" } }),
      /no output "boxes"; it has output0/,
    );
    const answer = { kind: "boxes", boxes: "output0", scores: "output0" } as const;
    assert.match(await failing({ model, answer }), /which are no boxes \[n, 4\] with scores of 2 each/);
  });

  it("a column that is no pixels is refused by TypeScript and by the plan; what it finds can be cut out", () => {
    const source = sourceOf({ name: t.utf8, photo: t.image });
    const text = { preset: "text", into: "found" } as const;
    const { operators } = built((job) =>
      job
        .read(source)
        .pipe(decodeImage({ from: "photo", into: "image" }))
        .pipe(detect({ ...text, from: "image" }))
        .pipe(cropImage({ from: "image", boxesColumn: "found", into: "parts" }))
        .filter(({ found, parts }) => found.length === parts.length && found.every(({ score }) => score > 0.5)),
    );
    assert.equal(operators[2]!.id, "detect-1");
    assert.throws(
      // @ts-expect-error an encoded image has no size yet
      () => built((job) => job.read(source).pipe(detect({ ...text, from: "photo" }))),
      { code: "MILL_TOPOLOGY_TYPE", message: /operator "detect-1": column "photo" is image, but detect reads pixels/ },
    );
    const bad = (more: object) => () =>
      detect({
        from: "image",
        into: "x",
        model: "m.onnx",
        labels: ["a"],
        image: { width: 1, height: 1 },
        ...more,
      } as never);
    assert.throws(bad({ answer: { kind: "ssd" } }), { code: "MILL_CONFIG", message: /answer.kind/ });
    assert.throws(bad({ answer: { kind: "yolo" }, iouMax: 2 }), { code: "MILL_CONFIG", message: /iouMax/ });
    assert.throws(bad({ answer: { kind: "yolo" }, labels: [] }), { code: "MILL_CONFIG", message: /labels/ });
  });
});

describe("functions/ai: detect, with the real text detector", function () {
  this.timeout(60_000);

  it("finds the lines of a page where they are, the surest first, no more than asked for", async () => {
    const page = join(packageRoot(), "examples/document-ocr/pages/letter-01.png");
    const { data, info } = await sharp(page).removeAlpha().raw().toBuffer({ resolveWithObject: true });
    const image = pixelRow({ data, width: info.width, height: info.height, channels: 3 });
    const all = await start(detectService<"image", "found">({ preset: "text", from: "image", into: "found" }, PIXELS));
    const grey = pixelRow({ data: new Uint8Array(64), width: 8, height: 8, channels: 1 });
    const { rows, refused } = await all.ask([image, grey]);
    await all.stop();
    const found = rows[0]!.found;
    assert.ok(found.length >= 20 && found.length <= 24, `${found.length} lines`);
    assert.ok(found.every(({ label, score }, i) => label === "text" && score <= (found[i - 1]?.score ?? 1)));
    const first = found.find(({ top }) => Math.abs(top - 102) < 8)!; // the sender's name, at 97,102 to 508,142
    assert.ok(Math.abs(first.left - 97) < 8 && Math.abs(first.width - 411) < 16 && Math.abs(first.height - 40) < 8);
    assert.match(refused.get(1)!.message, /1 channels where 3 are needed/);
    const few = await start(
      detectService<"image", "found">({ preset: "text", from: "image", into: "found", detectionsMax: 3 }, PIXELS),
    );
    assert.deepEqual((await few.ask([image])).rows[0]!.found, found.slice(0, 3));
    await few.stop();
  });
});

describe("functions/ai/boxes: non-maximum suppression", () => {
  const rules: BoxRules = {
    scoreMin: 0.1,
    iouMax: 0.45,
    detectionsMax: 300,
    candidatesMax: 4_096,
    acrossLabels: false,
  };
  const side = fc.integer({ min: 0, max: 30 });
  const box = fc.record({
    left: side,
    top: side,
    w: side,
    h: side,
    label: fc.integer({ min: 0, max: 2 }),
    score: fc.double({ min: 0, max: 1, noNaN: true }),
  });

  const kept = (given: readonly RawBox[], more: Partial<BoxRules> = {}) =>
    keptBoxes({ count: given.length, best: (i) => given[i]!, box: (i) => given[i]! }, { ...rules, ...more });

  it("keeps no two boxes of a label that overlap too much, and nothing is left out without such a one (N1)", () => {
    fc.assert(
      fc.property(fc.array(box, { maxLength: 40 }), (drawn) => {
        const given = drawn.map(({ left, top, w, h, ...rest }) => ({
          left,
          top,
          right: left + w,
          bottom: top + h,
          ...rest,
        }));
        const found = kept(given);
        for (const [i, one] of found.entries()) {
          assert.ok(one.score >= rules.scoreMin && (i === 0 || one.score <= found[i - 1]!.score));
          for (const other of found.slice(i + 1))
            assert.ok(other.label !== one.label || iou(one, other) <= rules.iouMax);
        }
        for (const one of given.filter(({ left, right, top, bottom }) => right > left && bottom > top)) {
          const known = found.some(
            (other) =>
              other.label === one.label &&
              other.score >= one.score &&
              (iou(other, one) > rules.iouMax || iou(other, one) === 1),
          );
          assert.ok(known || one.score < rules.scoreMin);
        }
      }),
    );
  });

  it("keeps the best of a million boxes in bounded time (N2)", function () {
    this.timeout(10_000);
    const count = 1_000_000;
    const found = keptBoxes(
      {
        count,
        best: (i) => ({ label: 0, score: 0.2 + i / count / 2 }),
        box: (i) => ({
          left: i % 1_000,
          top: Math.floor(i / 1_000),
          right: (i % 1_000) + 2,
          bottom: Math.floor(i / 1_000) + 2,
        }),
      },
      { ...rules, iouMax: 0.9 },
    );
    assert.equal(found.length, rules.detectionsMax);
    assert.ok(found.every(({ score }) => score > 0.69));
  });

  it("knows the layouts of YOLO answers by the number of labels", () => {
    assert.equal(yoloLayout([84, 8400], 80)!.count, 8400);
    assert.deepEqual(yoloLayout([25200, 85], 80), { count: 25200, labels: 80, objectness: true, step: 1, next: 85 });
    assert.equal(yoloLayout([84, 8400], 79)?.objectness, true);
    assert.equal(yoloLayout([8400, 3], 80), undefined);
    assert.equal(yoloLayout([1, 84, 8400], 80), undefined);
  });
});
