/**
 * `decodeImage`: encoded images to pixels.
 *
 *   D1  A file that ends early is refused; half an image is never taken for one.
 *   D2  The size in the header is checked before any pixel is decoded.
 *   D3  What is decoded is known by its first bytes; SVG is none of it unless asked for.
 */
import { t } from "../../types/columns.js";
import { type Named, named, namedValue } from "../named.js";
import { rowFunction } from "../row-function.js";
import { type Step, type StepOptions, step } from "../step.js";
import {
  type EncodedColumn,
  encodedImage,
  type ImageLimits,
  type ImageValue,
  imageBytes,
  imageLimits,
  lanes,
  type PixelsType,
  pixelsValue,
  type RawImage,
} from "./image-content.js";
import { checkFormat } from "./image-format.js";
import { checkColour, checkOneOf, checkResize, type ResizeSettings, resized } from "./resize-settings.js";
import { type Limits, type RunContext, runSharp, toRaw } from "./run-sharp.js";

/** How encoded images become pixels. */
export interface DecodeSettings extends ImageLimits {
  /** Channels of the pixels: `rgb` (default), `rgba`, or `grey`. Colours are sRGB, 8 bits a channel. */
  readonly channels?: "rgb" | "rgba" | "grey";
  /** What is behind transparent parts, as `#rrggbb`; `rgba` keeps them. Default `#ffffff`. */
  readonly background?: string;
  /** Turn it as its EXIF data says. Default true. */
  readonly autoOrient?: boolean;
  /** Make it this size at once. JPEG and WebP are then decoded at a lower resolution from the start, which takes a fraction of the time. */
  readonly resize?: ResizeSettings;
  /**
   * Read SVG, too. Default false. SVG text can keep a thread of the process busy for minutes, no limit of time stops it, and four such threads stop the
   * process: only for images that you made yourself.
   */
  readonly svg?: boolean;
}

/** Options of `decodeImage`. See docs/functions/decodeImage.md. */
export interface DecodeImageOptions<F extends string, I extends string> extends StepOptions, DecodeSettings {
  /** Column with encoded images: `t.image`, `t.objectRef` or `t.binary`. */
  readonly from: F;
  /** Column for the pixels; it may be the same. */
  readonly into: I;
}

/** Decodes images to pixels. Of an animated image, the first frame. `concurrency`: default 2. */
export function decodeImage<F extends string, I extends string>(
  options: DecodeImageOptions<F, I>,
): Step<Named<F, EncodedColumn>, Named<I, PixelsType>> {
  return step(decodeImageFunction(options), options);
}

/** @internal */
export function decodeImageFunction<F extends string, I extends string>(options: DecodeImageOptions<F, I>) {
  const { from, into } = options;
  const settings = decodeSettings("decodeImage", options);
  const to = named(into, t.pixels("uint8"));
  return rowFunction({
    name: "decodeImage",
    reads: { [from]: encodedImage },
    to,
    concurrency: lanes("decodeImage", options.concurrency),
    rows: async (row, context) => [
      namedValue(to, pixelsValue(await decoded(row[from] as ImageValue, settings, context))),
    ],
  });
}

export type Decoding = Limits &
  Required<Omit<DecodeSettings, keyof ImageLimits | "resize">> &
  Pick<DecodeSettings, "resize">;

/** @throws {MillraceError} `MILL_CONFIG` */
export function decodeSettings(name: string, options: DecodeSettings): Decoding {
  const { channels = "rgb", background = "#ffffff", autoOrient = true, svg = false, resize } = options;
  checkOneOf(name, "channels", channels, ["rgb", "rgba", "grey"]);
  checkColour(name, "background", background);
  if (resize !== undefined) checkResize(name, resize);
  return { ...imageLimits(name, options), channels, background, autoOrient, svg, ...(resize && { resize }) };
}

const CHANNELS = { rgb: 3, rgba: 4, grey: 1 } as const;

/** @throws {MillraceError} `MILL_IMAGE_INVALID`, `MILL_IMAGE_TOO_LARGE`, what reading the content throws */
export async function decoded(value: ImageValue, settings: Decoding, context: RunContext): Promise<RawImage> {
  const bytes = await imageBytes(value, settings.bytesMax, context);
  checkFormat(bytes, settings.svg);
  const { pixelsMax, channels, background, autoOrient, resize, timeoutMs } = settings;
  return runSharp(settings, context, async (sharp) => {
    let image = sharp(bytes, { limitInputPixels: pixelsMax, failOn: "error", pages: 1, autoOrient });
    if (resize !== undefined) image = resized(image, resize);
    image = channels === "rgba" ? image.ensureAlpha() : image.flatten({ background });
    const raw = await toRaw(image.toColourspace(channels === "grey" ? "b-w" : "srgb"), timeoutMs);
    return withChannels(raw, CHANNELS[channels]);
  });
}

/** Here and there the library leaves a grey image with one channel, or keeps an alpha channel that is not asked for. */
function withChannels(raw: RawImage, channels: number): RawImage {
  if (raw.channels === channels) return raw;
  const pixels = raw.width * raw.height;
  const colours = raw.channels < 3 ? 1 : 3;
  const data = new Uint8Array(pixels * channels).fill(255);
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [from, to] = [pixel * raw.channels, pixel * channels];
    for (let colour = 0; colour < Math.min(channels, 3); colour++) {
      data[to + colour] = raw.data[from + (colours === 1 ? 0 : colour)]!;
    }
  }
  return { ...raw, data, channels };
}
