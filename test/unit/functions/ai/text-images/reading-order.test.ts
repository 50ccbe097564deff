import assert from "node:assert/strict";
import fc from "fast-check";
import {
  plainText,
  type ReadBox,
  readingOrder,
  skew,
} from "../../../../../src/functions/ai/text-images/reading-order.js";
import { type Quad, rectangleCorners } from "../../../../../src/functions/ai/text-images/rectangles.js";

/** A box with its left end at x and its middle at y, 24 high and as wide as its text in a common font. */
function box(x: number, y: number, text: string, width = text.length * 13): ReadBox {
  const quad = rectangleCorners({ x: x + width / 2, y, width, height: 24, angle: 0 }).flat() as unknown as Quad;
  return { quad, text, confidence: 0.9 };
}

/** The boxes turned around the middle of a page. */
function turned(boxes: readonly ReadBox[], degrees: number): ReadBox[] {
  const angle = (degrees * Math.PI) / 180;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return boxes.map((one) => {
    const quad: number[] = [];
    for (let at = 0; at < 8; at += 2) {
      const [dx, dy] = [one.quad[at]! - 600, one.quad[at + 1]! - 700];
      quad.push(600 + dx * cos - dy * sin, 700 + dx * sin + dy * cos);
    }
    return { ...one, quad: quad as unknown as Quad };
  });
}

const texts = (boxes: readonly ReadBox[]): string[] => readingOrder(boxes).map((line) => line.text);

const TABLE = [
  box(90, 100, "Description"),
  box(600, 100, "Qty"),
  box(800, 100, "Amount"),
  ...["Ring binder, blue", "Desk lamp with clamp", "Packing tape, brown", "Label printer ribbon", "USB cable"].flatMap(
    (name, row) => [
      box(90, 150 + row * 50, name),
      box(610, 150 + row * 50, `${row + 2}`),
      box(800, 150 + row * 50, `${row}4.50`),
    ],
  ),
];

const COLUMNS = [
  box(300, 60, "A headline over both of the columns", 600),
  ...[1, 2, 3, 4, 5, 6].map((row) => box(90, 100 + row * 38, `left column line number ${row}`)),
  ...[1, 2, 3, 4, 5].map((row) => box(650, 112 + row * 38, `right column line number ${row}`)),
  box(400, 600, "Printed by a company at the bottom", 460),
];
const COLUMNS_READ = [
  "A headline over both of the columns",
  ...[1, 2, 3, 4, 5, 6].map((row) => `left column line number ${row}`),
  ...[1, 2, 3, 4, 5].map((row) => `right column line number ${row}`),
  "Printed by a company at the bottom",
];

describe("functions/ai/text-images/reading-order: boxes to lines", () => {
  it("reads the rows of a table across, one line a row", () => {
    assert.deepEqual(texts(TABLE).slice(0, 3), [
      "Description Qty Amount",
      "Ring binder, blue 2 04.50",
      "Desk lamp with clamp 3 14.50",
    ]);
    assert.equal(texts(TABLE).length, 6);
  });

  it("reads two columns of prose one after the other, between headline and foot", () => {
    assert.deepEqual(texts(COLUMNS), COLUMNS_READ);
  });

  for (const degrees of [-5, -2, 3, 5]) {
    it(`measures a skew of ${degrees} degrees and reads as if there were none`, () => {
      assert.ok(Math.abs(skew(turned(TABLE, degrees)) - (degrees * Math.PI) / 180) < 1e-6);
      assert.deepEqual(texts(turned(TABLE, degrees)), texts(TABLE));
      assert.deepEqual(texts(turned(COLUMNS, degrees)), COLUMNS_READ);
    });
  }

  it("does not depend on the order of the boxes (O2)", () => {
    const shuffled = fc.shuffledSubarray(COLUMNS, { minLength: COLUMNS.length });
    fc.assert(
      fc.property(shuffled, (boxes) => assert.deepEqual(texts(boxes), COLUMNS_READ)),
      { seed: 11, numRuns: 50 },
    );
  });

  it("puts every box with text into exactly one line (O1)", () => {
    const anywhere = fc.array(
      fc.tuple(fc.integer({ min: 0, max: 1000 }), fc.integer({ min: 0, max: 1200 }), fc.integer({ min: 5, max: 500 })),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(anywhere, (places) => {
        const words = texts(places.map(([x, y, width], at) => box(x, y, `w${at}`, width))).flatMap((line) =>
          line.split(" "),
        );
        assert.deepEqual(words.sort(), places.map((_, at) => `w${at}`).sort());
      }),
      { seed: 12, numRuns: 200 },
    );
  });

  it("joins the words of a line from left to right, weighing confidence by length", () => {
    const [line, ...rest] = readingOrder([
      { ...box(300, 50, "six"), confidence: 0.4 },
      { ...box(100, 53, "twentyone"), confidence: 0.8 },
    ]);
    assert.equal(rest.length, 0);
    assert.equal(line!.text, "twentyone six");
    assert.ok(Math.abs(line!.confidence - 0.7) < 1e-9);
    const [x0, y0, x1, , , y2] = line!.quad;
    assert.deepEqual([x0, y0, x1, y2].map(Math.round), [100, 38, 339, 65]);
  });

  it("leaves out boxes in which nothing was read, and an empty page is an empty text", () => {
    assert.deepEqual(texts([box(0, 0, "", 50)]), []);
    assert.equal(plainText(readingOrder([])), "");
  });
});
