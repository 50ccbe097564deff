/**
 * `imageHash`: 64 bits that are nearly the same for images that look nearly the same.
 *
 * Source: Neal Krawetz, "Looks Like It" (2011, pHash) and "Kind of Like That" (2013, dHash).
 */
import { MillraceError } from "../../base/errors.js";
import { type ColumnType, t } from "../../types/columns.js";
import { type Named, named } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type DecodeSettings, decoded, decodeSettings } from "./decode-image.js";
import {
  anyImage,
  type ImageColumn,
  type ImageValue,
  isPixels,
  lanes,
  type RawImage,
  rawPixels,
} from "./image-content.js";
import { fromRaw } from "./resize-image.js";
import { checkOneOf, resized } from "./resize-settings.js";
import { runSharp, toRaw } from "./run-sharp.js";

/** Options of `imageHash`. See docs/functions/imageHash.md. */
export interface ImageHashOptions<F extends string, I extends string, A extends "int64" | "binary" = "int64">
  extends StepOptions,
    Omit<DecodeSettings, "resize" | "channels"> {
  /** Column with pixels of uint8, or with encoded images. */
  readonly from: F;
  /** Column for the hashes. */
  readonly into: I;
  /** `dhash` (default): which pixels are lighter than their neighbours; fast. `phash`: coarse waves; bears more changes of colour and sharpness. */
  readonly kind?: "dhash" | "phash";
  /** `int64` (default), which may be negative, or `binary` of 8 bytes, the first bits first. */
  readonly as?: A;
}

interface HashTypes {
  int64: typeof t.int64;
  binary: typeof t.binary;
}

/** Adds a perceptual hash of each image; `hammingDistance` says how far apart two are. `concurrency`: default 2. */
export function imageHash<F extends string, I extends string, A extends "int64" | "binary" = "int64">(
  options: ImageHashOptions<F, I, A>,
): Step<Named<F, ImageColumn>, Named<I, HashTypes[A]>> {
  return step(imageHashFunction(options), options);
}

/** What is hashed, in pixels: dHash compares neighbours, so it needs one more. */
const SIZE = { dhash: { width: 9, height: 8 }, phash: { width: 32, height: 32 } } as const;

/** @internal */
export function imageHashFunction<F extends string, I extends string, A extends "int64" | "binary" = "int64">(
  options: ImageHashOptions<F, I, A>,
) {
  const { from, into, kind = "dhash", as = "int64" } = options;
  checkOneOf("imageHash", "kind", kind, ["dhash", "phash"]);
  checkOneOf("imageHash", "as", as, ["int64", "binary"]);
  const resize = { ...SIZE[kind], fit: "fill" } as const;
  const settings = decodeSettings("imageHash", { ...options, channels: "grey", resize });
  const to = named(into, (as === "int64" ? t.int64 : t.binary) as ColumnType<unknown> as HashTypes[A]);
  return rowFunction({
    name: "imageHash",
    reads: { [from]: anyImage },
    to,
    concurrency: lanes("imageHash", options.concurrency),
    async rows(row, context) {
      const value = row[from] as ImageValue;
      const small = isPixels(value)
        ? await greyPixels(await rawPixels(value, settings, context))
        : await decoded(value, settings, context);
      const bits = kind === "dhash" ? dHash(small.data) : pHash(small.data);
      return [{ [into]: as === "int64" ? BigInt.asIntN(64, bits) : bytesOf(bits) }] as never;

      function greyPixels(raw: RawImage): Promise<RawImage> {
        return runSharp(settings, context, (sharp) => {
          const image =
            raw.channels === 4 ? fromRaw(sharp, raw).flatten({ background: settings.background }) : fromRaw(sharp, raw);
          return toRaw(resized(image, resize).toColourspace("b-w"), settings.timeoutMs);
        });
      }
    },
  });
}

/** A bit for each pixel and its right neighbour, row by row: is the neighbour lighter? @param grey 9 x 8 */
function dHash(grey: Uint8Array): bigint {
  const bits: boolean[] = [];
  for (let y = 0; y < 8; y++) for (let x = 0; x < 8; x++) bits.push(grey[y * 9 + x + 1]! > grey[y * 9 + x]!);
  return joinBits(bits);
}

const PHASH_SIDE = 32;
/** Of the cosine transform: wave `u` at place `x`. */
const WAVES = Float64Array.from({ length: 8 * PHASH_SIDE }, (_, i) =>
  Math.cos(((2 * (i % PHASH_SIDE) + 1) * Math.floor(i / PHASH_SIDE) * Math.PI) / (2 * PHASH_SIDE)),
);

/** A bit for each of the 64 coarsest waves: is it stronger than half of the others? The mean brightness does not count. @param grey 32 x 32 */
function pHash(grey: Uint8Array): bigint {
  const strengths: number[] = [];
  const rows = new Float64Array(8 * PHASH_SIDE);
  for (let u = 0; u < 8; u++) {
    for (let y = 0; y < PHASH_SIDE; y++) {
      let sum = 0;
      for (let x = 0; x < PHASH_SIDE; x++) sum += WAVES[u * PHASH_SIDE + x]! * grey[y * PHASH_SIDE + x]!;
      rows[u * PHASH_SIDE + y] = sum;
    }
  }
  for (let v = 0; v < 8; v++) {
    for (let u = 0; u < 8; u++) {
      let sum = 0;
      for (let y = 0; y < PHASH_SIDE; y++) sum += WAVES[v * PHASH_SIDE + y]! * rows[u * PHASH_SIDE + y]!;
      strengths.push(sum);
    }
  }
  const sorted = strengths.slice(1).sort((a, b) => a - b);
  const median = sorted[31]!;
  return joinBits(strengths.map((strength, i) => i > 0 && strength > median));
}

/** The first is the highest. */
function joinBits(bits: readonly boolean[]): bigint {
  return BigInt(`0b${bits.map(Number).join("")}`);
}

function bytesOf(bits: bigint): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(bits);
  return bytes;
}

/**
 * Bits in which two hashes differ: 0 to 64. Up to about 10 are copies of one image, by experience.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: they have not the same length
 */
export function hammingDistance(a: bigint | Uint8Array, b: bigint | Uint8Array): number {
  if (typeof a === "bigint" && typeof b === "bigint") return ones(BigInt.asUintN(64, a ^ b));
  if (typeof a === "bigint" || typeof b === "bigint" || a.length !== b.length) {
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      "hammingDistance: the hashes are not of one kind. Compare those of one column.",
    );
  }
  return a.reduce((sum, byte, i) => sum + ones(BigInt(byte ^ b[i]!)), 0);
}

function ones(bits: bigint): number {
  let count = 0;
  for (let left = bits; left > 0n; left &= left - 1n) count++;
  return count;
}
