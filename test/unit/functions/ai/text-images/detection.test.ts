import assert from "node:assert/strict";
import { components } from "../../../../../src/functions/ai/text-images/components.js";
import { DetectionInput, findBoxes } from "../../../../../src/functions/ai/text-images/detection.js";
import { grown, type Rectangle } from "../../../../../src/functions/ai/text-images/rectangles.js";

/** A map with `value` inside the rectangles and 0 outside. */
function mapOf(width: number, height: number, rectangles: readonly Rectangle[], value = 0.9): Float32Array {
  const map = new Float32Array(width * height);
  for (const { x, y, width: w, height: h, angle } of rectangles) {
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const [dx, dy] = [column + 0.5 - x, row + 0.5 - y];
        if (Math.abs(dx * cos + dy * sin) <= w / 2 && Math.abs(dy * cos - dx * sin) <= h / 2)
          map[row * width + column] = value;
      }
    }
  }
  return map;
}

const art = (rows: readonly string[]): [Float32Array, number, number] => [
  Float32Array.from(rows.join(""), (mark) => (mark === "#" ? 1 : 0)),
  rows[0]!.length,
  rows.length,
];

describe("functions/ai/text-images/components: connected regions of a map", () => {
  it("joins pixels that touch at a corner, and runs that meet only further down", () => {
    const regions = components(...art(["#...#", "#...#", ".###.", "....."]), 0.5);
    assert.equal(regions.length, 1);
  });

  it("keeps apart what does not touch, in the order of first pixels (B2)", () => {
    const regions = components(...art(["..##", "....", "#...", "...#"]), 0.5);
    assert.deepEqual(
      regions.map((points) => points[0]),
      [
        [2, 0],
        [0, 2],
        [3, 3],
      ],
    );
  });

  it("unites a comb whose teeth were numbered before its back", () => {
    assert.equal(components(...art(["#.#.#.#", "#.#.#.#", "#######"]), 0.5).length, 1);
  });
});

describe("functions/ai/text-images/detection: probability map to boxes", () => {
  const page = { width: 640, height: 320 };

  it("finds a turned core, grown, in pixels of the page", () => {
    const core = { x: 160, y: 80, width: 120, height: 12, angle: 0.08 };
    const [box, ...rest] = findBoxes(mapOf(320, 160, [core]), 320, 160, page);
    assert.equal(rest.length, 0);
    const [x0, y0, x1, y1, , , x3, y3] = box!.quad;
    const expected = grown(core, 1.5);
    assert.ok(Math.abs(Math.atan2(y1 - y0, x1 - x0) - core.angle) < 0.02);
    assert.ok(Math.abs(Math.hypot(x1 - x0, y1 - y0) / 2 - expected.width) < 4);
    assert.ok(Math.abs(Math.hypot(x3 - x0, y3 - y0) / 2 - expected.height) < 4);
    assert.ok(box!.score > 0.8 && box!.score <= 0.9);
  });

  it("drops a core whose mean probability is low", () => {
    const weak = mapOf(320, 160, [{ x: 100, y: 50, width: 80, height: 12, angle: 0 }], 0.5);
    assert.deepEqual(findBoxes(weak, 320, 160, page), []);
  });

  it("drops a core thinner than the least side", () => {
    const thin = mapOf(320, 160, [{ x: 100, y: 50, width: 80, height: 2, angle: 0 }]);
    assert.deepEqual(findBoxes(thin, 320, 160, page), []);
  });

  it("keeps quads inside the page (B1)", () => {
    const corner = mapOf(320, 160, [{ x: 40, y: 6, width: 80, height: 12, angle: 0 }]);
    const [box] = findBoxes(corner, 320, 160, page);
    assert.ok(box!.quad.every((value, at) => value >= 0 && value <= (at % 2 === 0 ? page.width : page.height)));
  });

  it("finds nothing on an empty map", () => {
    assert.deepEqual(findBoxes(new Float32Array(320 * 160), 320, 160, page), []);
  });
});

describe("functions/ai/text-images/detection: pixels to input", () => {
  it("puts colours into planes, normalised by mean and deviation", () => {
    const input = new DetectionInput().prepare(Uint8Array.of(255, 0, 128, 0, 255, 128), 2, 1);
    const expected = [(1 - 0.485) / 0.229, -0.485 / 0.229, -0.456 / 0.224, (1 - 0.456) / 0.224];
    for (const [at, value] of expected.entries()) assert.ok(Math.abs(input[at]! - value) < 1e-5);
    assert.equal(input[4], input[5]);
  });

  it("returns a view of the right length after a larger page", () => {
    const input = new DetectionInput();
    input.prepare(new Uint8Array(64 * 32 * 3), 64, 32);
    assert.equal(input.prepare(new Uint8Array(32 * 32 * 3), 32, 32).length, 32 * 32 * 3);
  });
});
