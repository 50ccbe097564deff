/**
 * Cuts a box out of a page as an upright strip for the recogniser.
 *
 *   K1  A crop depends on its box and page alone: its padded width is chosen by its own shape, so that a
 *       result never depends on which other crops it is batched with.
 */
import type { RgbPixels } from "./pixels.js";
import type { Quad } from "./rectangles.js";
import { textSettings } from "./settings.js";

/** One line of text, cut out and turned upright, as the recogniser takes it. */
export interface Crop extends RgbPixels {
  /** Columns that show the page; the rest, up to `width`, is padding. */
  readonly used: number;
}

/** Mid-grey becomes (almost) zero after normalisation, which is what the recogniser was padded with in training. */
const PADDING = 127;

/** The width of the strip for a quad, before padding: keeps the aspect, within 1..`cropWidthMax`. */
export function cropWidth(quad: Quad): number {
  const [x0, y0, x1, y1, x2, y2, x3, y3] = quad;
  const width = (Math.hypot(x1 - x0, y1 - y0) + Math.hypot(x2 - x3, y2 - y3)) / 2;
  const height = (Math.hypot(x3 - x0, y3 - y0) + Math.hypot(x2 - x1, y2 - y1)) / 2;
  return Math.max(
    1,
    Math.min(textSettings.cropWidthMax, Math.round((width / Math.max(height, 1)) * textSettings.cropHeight)),
  );
}

export function bucketWidth(width: number): number {
  return Math.ceil(width / textSettings.cropBucket) * textSettings.cropBucket;
}

/**
 * The strip of `quad`, `cropHeight` high, bilinear. Rows are blended between the quad's left and right side and
 * columns between its ends: exact for a rectangle at any angle, and close to perspective for a quad that is nearly one.
 */
export function cropQuad(page: RgbPixels, quad: Quad): Crop {
  const used = cropWidth(quad);
  const width = bucketWidth(used);
  const height = textSettings.cropHeight;
  const to = new Uint8Array(width * height * 3);
  const from = page.data;
  const stride = page.width * 3;
  const [xLast, yLast] = [page.width - 1, page.height - 1];
  const [x0, y0, x1, y1, x2, y2, x3, y3] = quad;
  let at = 0;
  for (let row = 0; row < height; row++) {
    const v = (row + 0.5) / height;
    const [startX, startY] = [x0 + (x3 - x0) * v, y0 + (y3 - y0) * v];
    const stepX = (x1 + (x2 - x1) * v - startX) / used;
    const stepY = (y1 + (y2 - y1) * v - startY) / used;
    // Pixel (i, j) has its middle at (i + 0.5, j + 0.5).
    let x = startX + stepX / 2 - 0.5;
    let y = startY + stepY / 2 - 0.5;
    for (let column = 0; column < used; column++, x += stepX, y += stepY, at += 3) {
      const cx = Math.max(0, Math.min(x, xLast));
      const cy = Math.max(0, Math.min(y, yLast));
      const left = cx | 0;
      const top = cy | 0;
      // Weights of 8 bits keep the blend in integers.
      const fx = ((cx - left) * 256) | 0;
      const fy = ((cy - top) * 256) | 0;
      const a = top * stride + left * 3;
      const b = left < xLast ? a + 3 : a;
      const below = top < yLast ? stride : 0;
      const wa = (256 - fx) * (256 - fy);
      const wb = fx * (256 - fy);
      const wc = (256 - fx) * fy;
      const wd = fx * fy;
      to[at] = (from[a]! * wa + from[b]! * wb + from[a + below]! * wc + from[b + below]! * wd + 32_768) >> 16;
      to[at + 1] =
        (from[a + 1]! * wa + from[b + 1]! * wb + from[a + below + 1]! * wc + from[b + below + 1]! * wd + 32_768) >> 16;
      to[at + 2] =
        (from[a + 2]! * wa + from[b + 2]! * wb + from[a + below + 2]! * wc + from[b + below + 2]! * wd + 32_768) >> 16;
    }
    to.fill(PADDING, at, at + (width - used) * 3);
    at += (width - used) * 3;
  }
  return { data: to, width, height, used };
}
