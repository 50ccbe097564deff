/**
 * Text detection around the PaddleOCR v4 detector: pixels to its input, its probability map to boxes.
 *
 * The model (a "differentiable binarization" net, Liao et al. 2019, arXiv:1911.08947) answers, per pixel, how likely
 * it belongs to the shrunken core of a line of text. A connected core becomes its smallest rectangle at any angle,
 * is judged by the mean probability inside, and grown back to the size of the text. Differs from PaddleOCR: the core's
 * pixels are labelled directly instead of tracing contours, and the rectangle is grown analytically, which gives the
 * same rectangle as growing its outline with round joints and taking the smallest rectangle again.
 *
 *   B1  A quad is four corners x,y clockwise from top-left, in pixels of the page, inside the page.
 *   B2  Boxes come in the order of their cores' first pixels: the same map always gives the same list.
 */
import { components } from "./components.js";
import { grown, type Point, type Quad, type Rectangle, rectangleCorners, smallestRectangle } from "./rectangles.js";
import { textSettings } from "./settings.js";

const MEAN = [0.485, 0.456, 0.406] as const;
const DEVIATION = [0.229, 0.224, 0.225] as const;

/** Keeps one input buffer and reuses it: allocating 8 MB anew costs more than filling it. */
export class DetectionInput {
  #buffer = new Float32Array(0);

  /**
   * The model's input [1, 3, height, width] for RGB pixels whose sides are multiples of 32.
   * @returns a view of a buffer that the next call overwrites
   */
  prepare(rgb: Uint8Array, width: number, height: number): Float32Array {
    const plane = width * height;
    if (this.#buffer.length < plane * 3) this.#buffer = new Float32Array(plane * 3);
    const to = this.#buffer.subarray(0, plane * 3);
    const [r, g, b] = MEAN.map((mean, c) => ({ times: 1 / (255 * DEVIATION[c]!), plus: -mean / DEVIATION[c]! }));
    const [rTimes, rPlus, gTimes, gPlus, bTimes, bPlus] = [r!.times, r!.plus, g!.times, g!.plus, b!.times, b!.plus];
    for (let at = 0, from = 0; at < plane; at++, from += 3) {
      to[at] = rgb[from]! * rTimes + rPlus;
      to[at + plane] = rgb[from + 1]! * gTimes + gPlus;
      to[at + 2 * plane] = rgb[from + 2]! * bTimes + bPlus;
    }
    return to;
  }
}

/** Where text was found on a page. */
export interface TextBox {
  readonly quad: Quad;
  /** Mean probability inside the box, 0..1. */
  readonly score: number;
}

/**
 * The boxes of text in one probability map.
 *
 * @param map     [height, width] of the model's output, each 0..1
 * @param page    width and height of the page that the quads refer to
 */
export function findBoxes(
  map: Float32Array,
  width: number,
  height: number,
  page: { readonly width: number; readonly height: number },
): TextBox[] {
  const boxes: TextBox[] = [];
  for (const core of components(map, width, height, textSettings.detectionThreshold)) {
    const rectangle = smallestRectangle(core);
    if (rectangle === undefined || Math.min(rectangle.width, rectangle.height) < textSettings.detectionSideMin)
      continue;
    const score = meanInside(map, width, height, rectangle);
    if (score < textSettings.detectionScoreMin) continue;
    const box = grown(rectangle, textSettings.detectionUnclipRatio);
    boxes.push({ quad: onPage(rectangleCorners(box), page.width / width, page.height / height, page), score });
  }
  return boxes;
}

function onPage(
  corners: readonly Point[],
  scaleX: number,
  scaleY: number,
  page: { width: number; height: number },
): Quad {
  return corners.flatMap(([x, y]) => [
    Math.max(0, Math.min(page.width, x * scaleX)),
    Math.max(0, Math.min(page.height, y * scaleY)),
  ]) as unknown as Quad;
}

/** Mean of the map over the pixels whose middle lies inside the rectangle, row by row. */
function meanInside(map: Float32Array, width: number, height: number, rectangle: Rectangle): number {
  const corners = rectangleCorners(rectangle);
  const ys = corners.map((corner) => corner[1]);
  const top = Math.max(0, Math.floor(Math.min(...ys)));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(...ys)));
  let sum = 0;
  let count = 0;
  for (let y = top; y <= bottom; y++) {
    let left = Number.POSITIVE_INFINITY;
    let right = Number.NEGATIVE_INFINITY;
    for (let side = 0; side < 4; side++) {
      const [x1, y1] = corners[side]!;
      const [x2, y2] = corners[(side + 1) % 4]!;
      const middle = y + 0.5;
      if (y1 === y2 || (middle < y1 && middle < y2) || (middle > y1 && middle > y2)) continue;
      const x = x1 + ((middle - y1) / (y2 - y1)) * (x2 - x1);
      left = Math.min(left, x);
      right = Math.max(right, x);
    }
    const last = Math.min(width - 1, Math.ceil(right - 0.5) - 1);
    for (let x = Math.max(0, Math.ceil(left - 0.5)); x <= last; x++) {
      sum += map[y * width + x]!;
      count++;
    }
  }
  return count === 0 ? 0 : sum / count;
}
