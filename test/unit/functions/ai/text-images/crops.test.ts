import assert from "node:assert/strict";
import { bucketWidth, cropQuad, cropWidth } from "../../../../../src/functions/ai/text-images/crops.js";
import { type Quad, rectangleCorners } from "../../../../../src/functions/ai/text-images/rectangles.js";
import { textSettings } from "../../../../../src/functions/ai/text-images/settings.js";
import { widthBatches } from "../../../../../src/functions/ai/text-images/width-batches.js";

/** Red grows to the right, green downwards: a crop's pixel tells where it was taken. */
function gradient(width: number, height: number) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 3) data.set([x, y, 7], at);
  }
  return { data, width, height };
}

const quadOf = (x: number, y: number, width: number, height: number, angle: number): Quad =>
  rectangleCorners({ x, y, width, height, angle }).flat() as unknown as Quad;

describe("functions/ai/text-images/crops: quad to strip", () => {
  it("takes each pixel from its place along a turned quad", () => {
    const angle = 0.3;
    const crop = cropQuad(gradient(250, 200), quadOf(120, 100, 144, 48, angle));
    assert.equal(crop.height, textSettings.cropHeight);
    assert.equal(crop.used, 144);
    for (const [column, row] of [
      [0, 0],
      [143, 0],
      [70, 24],
      [143, 47],
    ] as const) {
      const [u, v] = [column + 0.5 - 72, row + 0.5 - 24];
      const x = 120 + u * Math.cos(angle) - v * Math.sin(angle) - 0.5;
      const y = 100 + u * Math.sin(angle) + v * Math.cos(angle) - 0.5;
      const at = (row * crop.width + column) * 3;
      assert.ok(Math.abs(crop.data[at]! - x) <= 1, `red at ${column},${row}: ${crop.data[at]} for ${x}`);
      assert.ok(Math.abs(crop.data[at + 1]! - y) <= 1, `green at ${column},${row}: ${crop.data[at + 1]} for ${y}`);
      assert.equal(crop.data[at + 2], 7);
    }
  });

  it("copies an upright quad of the crop's own height exactly", () => {
    const crop = cropQuad(gradient(200, 100), quadOf(100, 50, 64, 48, 0));
    assert.deepEqual([...crop.data.subarray(0, 6)], [68, 26, 7, 69, 26, 7]);
  });

  it("pads to its own bucket, whatever the batch (K1)", () => {
    const crop = cropQuad(gradient(200, 100), quadOf(100, 50, 70, 48, 0));
    assert.equal(crop.width, 128);
    assert.equal(crop.used, 70);
    const row = crop.data.subarray(47 * 128 * 3, 48 * 128 * 3);
    assert.ok(row.subarray(70 * 3).every((value) => value === 127));
    assert.notEqual(row[69 * 3], 127);
    assert.equal(bucketWidth(64), 64);
    assert.equal(bucketWidth(65), 128);
  });

  it("is never wider than its cap nor narrower than one column", () => {
    assert.equal(cropWidth(quadOf(0, 0, 100_000, 10, 0)), textSettings.cropWidthMax);
    assert.equal(cropWidth(quadOf(0, 0, 0, 10, 0)), 1);
  });

  it("repeats the page's edge where a quad touches it", () => {
    const crop = cropQuad(gradient(50, 50), [-4, -4, 44, -4, 44, 44, -4, 44]);
    assert.deepEqual([...crop.data.subarray(0, 3)], [0, 0, 7]);
  });
});

describe("functions/ai/text-images/batches: crops of one width", () => {
  it("puts every crop into one batch of its width, at most recognitionRows together", () => {
    const widths = [64, 128, 64, 64, 64, 64, 128, 192];
    const groups = widthBatches(widths.map((width) => ({ width })));
    assert.deepEqual(groups, [[0, 2, 3, 4], [5], [1, 6], [7]]);
    assert.ok(groups.every((group) => group.length <= textSettings.recognitionRows));
  });
});
