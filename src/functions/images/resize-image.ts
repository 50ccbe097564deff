/** `resizeImage`: pixels, or encoded images, to pixels of another size. */
import type { Sharp } from "sharp";
import { t } from "../../types/columns.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type DecodeSettings, decoded, decodeSettings } from "./decode-image.js";
import {
  anyImage,
  type ImageColumn,
  type ImageValue,
  invalidImage,
  isPixels,
  lanes,
  type PixelsType,
  pixelsValue,
  type RawImage,
  rawPixels,
} from "./image-content.js";
import { checkResize, type ResizeSettings, resized } from "./resize-settings.js";
import { type Limits, type RunContext, runSharp, type SharpLibrary, toRaw } from "./run-sharp.js";

/** Options of `resizeImage`. See docs/functions/resizeImage.md. */
export interface ResizeImageOptions<F extends string, I extends string>
  extends StepOptions,
    ResizeSettings,
    Omit<DecodeSettings, "resize" | "background"> {
  /** Column with pixels of uint8, or with encoded images. */
  readonly from: F;
  /** Column for the pixels; it may be the same. */
  readonly into: I;
}

/** Makes images fit a size. Of pixels the channels stay; what is said of decoding is for encoded images. `concurrency`: default 2. */
export function resizeImage<F extends string, I extends string>(
  options: ResizeImageOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, PixelsType>> {
  return step(resizeImageFunction(options), options);
}

/** @internal */
export function resizeImageFunction<F extends string, I extends string>(options: ResizeImageOptions<F, I>) {
  const { from, into, background, ...decoding } = options;
  checkResize("resizeImage", options);
  const settings = decodeSettings("resizeImage", { ...decoding, resize: options });
  const to = named(into, t.pixels("uint8"));
  return rowFunction({
    name: "resizeImage",
    reads: { [from]: anyImage },
    to,
    concurrency: lanes("resizeImage", options.concurrency),
    async rows(row, context) {
      const value = row[from] as ImageValue;
      const raw = isPixels(value)
        ? await resizedPixels(await rawPixels(value, settings, context), options, settings, context)
        : await decoded(value, settings, context);
      return [namedValue(to, pixelsValue(raw))];
    },
  });
}

export function resizedPixels(
  raw: RawImage,
  resize: ResizeSettings,
  settings: Limits,
  context: RunContext,
): Promise<RawImage> {
  return runSharp(settings, context, (sharp) => toRaw(resized(fromRaw(sharp, raw), resize), settings.timeoutMs));
}

/** A pipeline that begins with pixels. @throws {MillraceError} `MILL_IMAGE_INVALID` */
export function fromRaw(sharp: SharpLibrary, { data, width, height, channels }: RawImage): Sharp {
  if (channels !== 1 && channels !== 3 && channels !== 4) {
    throw invalidImage(`it has ${channels} channels; 1, 3 and 4 are read. Decode it as grey, rgb or rgba.`);
  }
  const image = sharp(data, { raw: { width, height, channels } });
  // Of one channel it would make three where the colour of a border is none of grey.
  return channels === 1 ? image.toColourspace("b-w") : image;
}
