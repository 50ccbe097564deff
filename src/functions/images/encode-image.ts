/** `encodeImage`: pixels, or images of another format, to JPEG, PNG, WebP or AVIF. */
import { t } from "../../types/columns.js";
import { inline } from "../../types/content-types.js";
import { checkNumber } from "../media-options.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import { type DecodeSettings, decoded, decodeSettings } from "./decode-image.js";
import { anyImage, type ImageColumn, type ImageValue, isPixels, lanes, rawPixels } from "./image-content.js";
import { fromRaw } from "./resize-image.js";
import { checkOneOf } from "./resize-settings.js";
import { runSharp } from "./run-sharp.js";

/** What `encodeImage` can make. */
export type ImageFormat = "jpeg" | "png" | "webp" | "avif";

/** Options of `encodeImage`. See docs/functions/encodeImage.md. */
export interface EncodeImageOptions<F extends string, I extends string> extends StepOptions, DecodeSettings {
  /** Column with pixels of uint8, or with encoded images. */
  readonly from: F;
  /** Column for the encoded images, `t.image`; it may be the same. */
  readonly into: I;
  readonly format: ImageFormat;
  /** 1 to 100. Default: 80 for JPEG and WebP, 50 for AVIF. PNG loses nothing and has none. */
  readonly quality?: number;
}

/**
 * Encodes images. What the original says of itself (place, camera, colours) is not taken along. JPEG has no transparency: what is behind is
 * `background`. `concurrency`: default 2.
 */
export function encodeImage<F extends string, I extends string>(
  options: EncodeImageOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, typeof t.image>> {
  return step(encodeImageFunction(options), options);
}

/** @internal */
export function encodeImageFunction<F extends string, I extends string>(options: EncodeImageOptions<F, I>) {
  const { from, into, format, quality } = options;
  checkOneOf("encodeImage", "format", format, ["jpeg", "png", "webp", "avif"]);
  if (quality !== undefined) checkNumber("encodeImage", "quality", quality, { min: 1, max: 100, whole: true });
  const channels = format === "jpeg" ? "rgb" : "rgba";
  const settings = decodeSettings("encodeImage", { channels, ...options });
  const lossy = format !== "png" && quality !== undefined ? { quality } : {};
  const to = named(into, t.image);
  return rowFunction({
    name: "encodeImage",
    reads: { [from]: anyImage },
    to,
    concurrency: lanes("encodeImage", options.concurrency),
    async rows(row, context) {
      const value = row[from] as ImageValue;
      const raw = isPixels(value) ? await rawPixels(value, settings, context) : await decoded(value, settings, context);
      const bytes = await runSharp(settings, context, (sharp) => {
        const image = fromRaw(sharp, raw).timeout({ seconds: Math.ceil(settings.timeoutMs / 1000) });
        const opaque = format === "jpeg" ? image.flatten({ background: settings.background }) : image;
        return opaque.toFormat(format, lossy).toBuffer();
      });
      return [namedValue(to, inline(bytes, `image/${format}`))];
    },
  });
}
