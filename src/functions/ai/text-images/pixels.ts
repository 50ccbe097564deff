/** RGB, 8 bits, row by row, without padding. */
export interface RgbPixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Shrinks to `maxSide` if needed, never enlarges, then rounds each side to the nearest multiple, at least one. */
export function sizeWithin(
  width: number,
  height: number,
  maxSide: number,
  multiple: number,
): { width: number; height: number } {
  const scale = Math.min(1, maxSide / Math.max(width, height));
  const side = (length: number): number => Math.max(multiple, Math.round((length * scale) / multiple) * multiple);
  return { width: side(width), height: side(height) };
}
