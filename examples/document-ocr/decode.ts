/**
 * Image bytes to RGB pixels, refusing what is broken or too large before memory is spent on it.
 *
 *   D1  A file that ends early is an error; half a page is never read as a page.
 *   D2  The size in the header is checked before any pixel is decoded.
 *   D3  SVG is not an image here: its text can keep a thread busy for minutes and cannot be interrupted. Only the formats
 *       below are handed to the decoder, by their first bytes, whatever the file's name says.
 */

import { MillraceError } from "millrace";
import { type RgbPixels, sizeWithin } from "millrace/functions";
import sharp from "sharp";
import { settings } from "./settings.js";

// Each page is decoded once, and a process has several pages under way: neither the cache nor more threads help.
sharp.cache(false);
sharp.concurrency(1);

const startsWith =
  (at: number, ...head: number[]) =>
  (bytes: Uint8Array): boolean =>
    head.every((byte, i) => bytes[at + i] === byte);

const FORMATS = [
  startsWith(0, 0xff, 0xd8, 0xff), // JPEG
  startsWith(0, 0x89, 0x50, 0x4e, 0x47), // PNG
  startsWith(8, 0x57, 0x45, 0x42, 0x50), // WebP, after "RIFF" and a length
  startsWith(0, 0x49, 0x49, 0x2a, 0x00), // TIFF, little-endian
  startsWith(0, 0x4d, 0x4d, 0x00, 0x2a), // TIFF, big-endian
  startsWith(0, 0x47, 0x49, 0x46, 0x38), // GIF
];

export type Pixels = RgbPixels;

export interface DecodeOptions {
  /** The longer side of the result at most. */
  readonly maxSide: number;
  /** Both sides of the result are multiples of it; 1 leaves them alone. */
  readonly multiple: number;
  /** Pixels of the file's image at most. */
  readonly pixelsMax: number;
  /** Names the image in messages. */
  readonly name?: string;
}

/**
 * Decodes JPEG, PNG, WebP, TIFF or GIF (first page), turned upright as its EXIF data says, over white.
 *
 * @throws {MillraceError} `MILL_IMAGE_INVALID`: not an image, or a damaged one; `MILL_IMAGE_TOO_LARGE`: over `pixelsMax`
 */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions): Promise<Pixels> {
  const name = options.name ?? "image";
  if (bytes.length === 0) {
    throw new MillraceError("MILL_IMAGE_INVALID", `${name} is empty (0 bytes). Write the file again or leave it out.`, {
      name,
    });
  }
  if (!FORMATS.some((starts) => starts(bytes))) {
    throw new MillraceError(
      "MILL_IMAGE_INVALID",
      `${name} is not an image: its first bytes are of none of JPEG, PNG, WebP, TIFF, GIF. Give one of these, or leave the file out.`,
      { name },
    );
  }
  try {
    const image = sharp(bytes, { limitInputPixels: options.pixelsMax, failOn: "error", pages: 1 });
    const { width, height, autoOrient } = await image.metadata();
    const size = sizeWithin(
      autoOrient?.width ?? width,
      autoOrient?.height ?? height,
      options.maxSide,
      options.multiple,
    );
    const { data, info } = await image
      .autoOrient()
      .resize(size.width, size.height, { fit: "fill", kernel: "linear" })
      .flatten({ background: "#ffffff" })
      .toColourspace("srgb")
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    return { data: threeChannels(data, info.channels), width: info.width, height: info.height };
  } catch (cause) {
    throw asImageError(cause, name, options.pixelsMax);
  }
}

/** A decoded page as the detector wants it: smaller, sides multiples of 32, aspect kept to within rounding. */
export async function detectionPixels(page: Pixels): Promise<Pixels> {
  const { width, height } = sizeWithin(page.width, page.height, settings.detectionSide, settings.detectionMultiple);
  const data = await sharp(page.data, { raw: { width: page.width, height: page.height, channels: 3 } })
    .resize(width, height, { fit: "fill", kernel: "linear" })
    .raw()
    .toBuffer();
  return { data, width, height };
}

function threeChannels(data: Uint8Array, channels: number): Uint8Array {
  if (channels === 3) return data;
  const rgb = new Uint8Array((data.length / channels) * 3);
  for (let from = 0, to = 0; from < data.length; from += channels, to += 3) rgb.fill(data[from]!, to, to + 3);
  return rgb;
}

function asImageError(cause: unknown, name: string, pixelsMax: number): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const reason = cause instanceof Error ? cause.message.trim().split("\n")[0]! : String(cause);
  if (/pixel limit/.test(reason)) {
    return new MillraceError(
      "MILL_IMAGE_TOO_LARGE",
      `${name} unpacks to more than ${pixelsMax} pixels. Reduce the image, or raise the pixel limit if you trust its source.`,
      { name, pixelsMax },
      { cause },
    );
  }
  return new MillraceError(
    "MILL_IMAGE_INVALID",
    `${name} cannot be read as an image: ${reason}. The file is damaged or was cut off: copy or export it again.`,
    { name },
    { cause },
  );
}
