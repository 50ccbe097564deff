import assert from "node:assert/strict";
import fc from "fast-check";
import {
  convexHull,
  grown,
  type Point,
  type Rectangle,
  rectangleCorners,
  smallestRectangle,
} from "../../../../../src/functions/ai/text-images/rectangles.js";

const close = (actual: number, expected: number, within = 1e-6): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual} is not within ${within} of ${expected}`);

describe("functions/ai/text-images/rectangles: smallest rectangle, growing, corner order", () => {
  it("keeps only the corners of the hull", () => {
    const points: Point[] = [
      [0, 0],
      [2, 0],
      [4, 0],
      [4, 3],
      [0, 3],
      [1, 1],
    ];
    assert.deepEqual(new Set(convexHull(points).map(String)), new Set(["0,0", "4,0", "4,3", "0,3"]));
  });

  it("finds a rectangle again at any angle up to a quarter turn", () => {
    const rectangles = fc.record({
      x: fc.integer({ min: -50, max: 50 }),
      y: fc.integer({ min: -50, max: 50 }),
      width: fc.integer({ min: 20, max: 200 }),
      height: fc.integer({ min: 2, max: 15 }),
      angle: fc.integer({ min: -44, max: 44 }).map((degrees) => (degrees * Math.PI) / 180),
    });
    fc.assert(
      fc.property(rectangles, (given: Rectangle) => {
        const found = smallestRectangle(rectangleCorners(given))!;
        for (const key of ["x", "y", "width", "height", "angle"] as const) close(found[key], given[key], 1e-6);
      }),
      { seed: 7, numRuns: 200 },
    );
  });

  it("is no larger than the upright rectangle around the same points", () => {
    const points: Point[] = [
      [0, 0],
      [10, 10],
      [12, 8],
      [2, -2],
    ];
    const found = smallestRectangle(points)!;
    close(found.width * found.height, Math.hypot(10, 10) * Math.hypot(2, 2));
    close(Math.abs(found.angle), Math.PI / 4);
  });

  it("has none for points on one line", () => {
    assert.equal(
      smallestRectangle([
        [0, 0],
        [1, 1],
        [2, 2],
      ]),
      undefined,
    );
  });

  it("grows every side by area * ratio / perimeter", () => {
    // 40 x 10: area 400, perimeter 100, so 1.5 gives 6 on each side.
    assert.deepEqual(grown({ x: 5, y: 6, width: 40, height: 10, angle: 0.1 }, 1.5), {
      x: 5,
      y: 6,
      width: 52,
      height: 22,
      angle: 0.1,
    });
  });

  it("names corners clockwise from top-left, also of a turned rectangle (B1)", () => {
    assert.deepEqual(rectangleCorners({ x: 10, y: 5, width: 20, height: 10, angle: 0 }), [
      [0, 0],
      [20, 0],
      [20, 10],
      [0, 10],
    ]);
    const [topLeft, topRight, bottomRight, bottomLeft] = rectangleCorners({
      x: 0,
      y: 0,
      width: 20,
      height: 4,
      angle: Math.PI / 6,
    });
    assert.ok(topRight[0] > topLeft[0] && topRight[1] > topLeft[1], "falls to the right, as a positive angle does");
    assert.ok(bottomLeft[1] > topLeft[1] && bottomRight[1] > topRight[1], "the bottom is below the top");
  });
});
