/** Plane geometry of boxes: convex hull, smallest rectangle at any angle, growing, corner order. */
export type Point = readonly [x: number, y: number];

/** x,y of four corners, clockwise from top-left. */
export type Quad = readonly [number, number, number, number, number, number, number, number];

/** A rectangle around a middle, turned by `angle` radians (clockwise on a screen) in (-pi/4, pi/4]. */
export interface Rectangle {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly angle: number;
}

/** The convex hull by Andrew's monotone chain, without points on its sides. */
export function convexHull(points: readonly Point[]): Point[] {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const half = (from: readonly Point[]): Point[] => {
    const chain: Point[] = [];
    for (const point of from) {
      while (chain.length > 1 && turn(chain.at(-2)!, chain.at(-1)!, point) <= 0) chain.pop();
      chain.push(point);
    }
    chain.pop(); // the other half begins with it
    return chain;
  };
  return [...half(sorted), ...half(sorted.reverse())];
}

/** Twice the signed area of the triangle; above zero when c lies to the left of a -> b in a right-handed frame. */
function turn(a: Point, b: Point, c: Point): number {
  return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
}

/**
 * The rectangle of least area around the points; `undefined` when they lie on one line. One of its sides contains a
 * side of the convex hull (Freeman and Shapira 1975), so every side is tried. The hull of a line of text has some
 * twenty corners, where looking at each against each is faster than moving calipers around.
 */
export function smallestRectangle(points: readonly Point[]): Rectangle | undefined {
  const hull = convexHull(points);
  if (hull.length < 3) return undefined;
  let best: Rectangle | undefined;
  let bestArea = Number.POSITIVE_INFINITY;
  for (let side = 0; side < hull.length; side++) {
    const [x1, y1] = hull[side]!;
    const [x2, y2] = hull[(side + 1) % hull.length]!;
    const length = Math.hypot(x2 - x1, y2 - y1);
    const [ux, uy] = [(x2 - x1) / length, (y2 - y1) / length];
    let [uMin, uMax, vMin, vMax] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const [x, y] of hull) {
      const u = x * ux + y * uy;
      const v = y * ux - x * uy;
      if (u < uMin) uMin = u;
      if (u > uMax) uMax = u;
      if (v < vMin) vMin = v;
      if (v > vMax) vMax = v;
    }
    const area = (uMax - uMin) * (vMax - vMin);
    if (area >= bestArea) continue;
    bestArea = area;
    const [u, v] = [(uMin + uMax) / 2, (vMin + vMax) / 2];
    best = upright(u * ux - v * uy, u * uy + v * ux, uMax - uMin, vMax - vMin, Math.atan2(uy, ux));
  }
  return best;
}

/** The same rectangle with its angle in (-pi/4, pi/4]: a quarter turn swaps width and height. */
function upright(x: number, y: number, width: number, height: number, angle: number): Rectangle {
  const quarters = Math.ceil(angle / (Math.PI / 2) - 0.5);
  const rest = angle - quarters * (Math.PI / 2);
  return quarters % 2 === 0
    ? { x, y, width, height, angle: rest }
    : { x, y, width: height, height: width, angle: rest };
}

/** Moves every side outwards by area * ratio / perimeter. */
export function grown(rectangle: Rectangle, ratio: number): Rectangle {
  const { width, height } = rectangle;
  const distance = (width * height * ratio) / (2 * (width + height));
  return { ...rectangle, width: width + 2 * distance, height: height + 2 * distance };
}

/** Clockwise from top-left, as seen by a reader whose lines run along the rectangle's angle. */
export function rectangleCorners({ x, y, width, height, angle }: Rectangle): [Point, Point, Point, Point] {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const corner = (alongX: number, alongY: number): Point => {
    const [u, v] = [(alongX * width) / 2, (alongY * height) / 2];
    return [x + u * cos - v * sin, y + u * sin + v * cos];
  };
  return [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
}
