/** Columns that hold images, and their bytes, bounded. */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import { type ColumnType, t } from "../../types/columns.js";
import { type Content, inline, type ObjectRef, type Pixels } from "../../types/content-types.js";
import { checkNumber } from "../media-options.js";
import type { Accepted } from "../row-function.js";

/** What TypeScript takes for an encoded image: `t.image`, `t.objectRef`, `t.binary`, each of them optional or not. */
export type EncodedColumn = ColumnType<ObjectRef | Uint8Array | null>;
/** The same, or pixels. */
export type ImageColumn = ColumnType<ObjectRef | Pixels | Uint8Array | null>;
/** Type of a column with pixels. */
export type PixelsType = ReturnType<typeof t.pixels>;

const ENCODED: ReadonlySet<string> = new Set([t.image.name, t.objectRef.name, t.binary.name]);
const PIXELS = t.pixels("uint8").name;
const plain = ({ name }: ColumnType) => name.replace(/\?$/, "");

export const encodedImage: Accepted = {
  says: "an encoded image (t.image), an object reference or binary",
  fits: (type) => ENCODED.has(plain(type)),
};
export const anyImage: Accepted = {
  says: "pixels of uint8 (decodeImage makes them), an encoded image (t.image), an object reference or binary",
  fits: (type) => ENCODED.has(plain(type)) || plain(type) === PIXELS,
};

export type ImageValue = ObjectRef | Content | Pixels | Uint8Array;

/** Of a row that was read: pixels have a width, nothing else has. */
export function isPixels(value: ImageValue): value is Pixels {
  return "width" in value;
}

/** Limits for images that nobody vouches for. An image over one is a bad record with `MILL_IMAGE_TOO_LARGE`. */
export interface ImageLimits {
  /** Width times height of an image before it is made smaller, and of what is made of one. Decided by its header. Default 40,000,000. */
  readonly pixelsMax?: number;
  /** Encoded bytes of one image. Default 128 MiB. */
  readonly bytesMax?: number;
  /** Time that one image may take, ms. Default 30,000. */
  readonly timeoutMs?: number;
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function imageLimits(name: string, options: ImageLimits): Required<ImageLimits> {
  const {
    pixelsMax = limits.mediaPixelsMax,
    bytesMax = limits.imageBytesMax,
    timeoutMs = limits.imageTimeoutMs,
  } = options;
  const all = { pixelsMax, bytesMax, timeoutMs };
  for (const [option, value] of Object.entries(all)) checkNumber(name, option, value, { min: 1, whole: true });
  return all;
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function lanes(name: string, concurrency = 2): number {
  checkNumber(name, "concurrency", concurrency, { min: 1, max: 64, whole: true });
  return concurrency;
}

export function tooLarge(what: string): MillraceError {
  return new MillraceError(
    "MILL_IMAGE_TOO_LARGE",
    `${what}. Reduce the image, or raise the limit of the function if you trust its source.`,
  );
}

export function invalidImage(what: string, cause?: unknown): MillraceError {
  return new MillraceError("MILL_IMAGE_INVALID", what, {}, { cause });
}

/** The bytes of an encoded image; never more than `bytesMax` are read. */
export async function imageBytes(
  image: ImageValue,
  bytesMax: number,
  { content, signal }: Pick<OperatorContext, "content" | "signal">,
): Promise<Uint8Array> {
  const value = image instanceof Uint8Array ? inline(image, "") : image;
  if (value.sizeBytes > bytesMax) throw tooLarge(`it has ${value.sizeBytes} bytes; at most ${bytesMax} are read`);
  if (value.sizeBytes >= 0n) return content.bytes(value, signal);
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of content.stream(value, signal)) {
    bytes += piece.length;
    if (bytes > bytesMax) throw tooLarge(`it has more than ${bytesMax} bytes`);
    pieces.push(piece);
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bytes);
}

/** 8-bit pixels in hand. */
export interface RawImage {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}

/** Pixels as a column has them. The bytes are shared, not copied. */
export function pixelsValue({ data, width, height, channels }: RawImage): Pixels {
  return { ...inline(data, ""), width, height, channels };
}

export async function rawPixels(
  pixels: Pixels,
  { pixelsMax }: Required<ImageLimits>,
  { content, signal }: Pick<OperatorContext, "content" | "signal">,
): Promise<RawImage> {
  const { width, height, channels } = pixels;
  if (width * height > pixelsMax) throw tooLarge(`it has ${width} x ${height} pixels; at most ${pixelsMax} are read`);
  const data = await content.bytes(pixels, signal);
  if (data.length === width * height * channels) return { data, width, height, channels };
  throw invalidImage(
    `it has ${data.length} bytes where ${width} x ${height} pixels of ${channels} channels are said to be.`,
  );
}
