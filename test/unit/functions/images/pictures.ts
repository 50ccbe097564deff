/** Pictures that tests make: small, in every format, and the same on every machine. */
import sharp from "sharp";
import { t } from "../../../../src/types/columns.js";
import { type Content, inline, type Pixels } from "../../../../src/types/content-types.js";

export const FORMATS = ["jpeg", "png", "webp", "gif", "tiff", "avif"] as const;
export type Format = (typeof FORMATS)[number];

export interface Raw {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 2 | 3 | 4;
}

/** Colours that differ at every place, with an edge in them. */
export function picture(width = 64, height = 48, channels: Raw["channels"] = 3): Raw {
  const data = new Uint8Array(width * height * channels);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const edge = x * 2 > y * 3 ? 60 : 0;
      const all = [(x * 190) / width + edge, (y * 190) / height + edge, ((x + y) * 190) / (width + height), 255];
      const wanted = channels === 2 ? [all[0], 255] : all;
      for (let channel = 0; channel < channels; channel++) data[i++] = wanted[channel]!;
    }
  }
  return { data, width, height, channels };
}

export function from({ data, width, height, channels }: Raw) {
  return sharp(data, { raw: { width, height, channels } });
}

export async function encoded(format: Format, raw: Raw = picture()): Promise<Uint8Array> {
  return new Uint8Array(
    await from(raw)
      .toFormat(format, format === "avif" ? { effort: 0 } : {})
      .toBuffer(),
  );
}

export const imageColumns = { image: t.image };
export const pixelColumns = { image: t.pixels() };

export function imageRow(bytes: Uint8Array): { image: Content } {
  return { image: inline(bytes, "") };
}

export function pixelRow({ data, width, height, channels }: Raw): { image: Pixels } {
  return { image: { ...inline(data, ""), width, height, channels } };
}

/** Mean difference of two pictures' numbers. */
export function difference(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}
