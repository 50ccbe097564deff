/** How an image is made to fit a size: the same for `decodeImage`, `resizeImage` and `imageToTensor`. */
import type { ResizeOptions, Sharp } from "sharp";
import { MillraceError } from "../../base/errors.js";
import { checkNumber } from "../media-options.js";

/** How an image becomes another size. */
export interface ResizeSettings {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  /**
   * `contain` (default): all of it, with borders of `background`. `cover`: all of the area, cut at two sides. `fill`: stretched. `inside`:
   * all of it without borders, so the result may be smaller in one direction.
   */
  readonly fit?: "contain" | "cover" | "fill" | "inside";
  /** Default `lanczos3`, the sharpest; `linear` is faster. */
  readonly kernel?: "nearest" | "linear" | "cubic" | "mitchell" | "lanczos2" | "lanczos3";
  /** Of borders, as `#rrggbb`. Default `#000000`. */
  readonly background?: string;
}

const FITS: readonly unknown[] = ["contain", "cover", "fill", "inside"];
const KERNELS: readonly unknown[] = ["nearest", "linear", "cubic", "mitchell", "lanczos2", "lanczos3"];
const SIDE_MAX = 16_384;

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkResize(name: string, resize: ResizeSettings): void {
  checkNumber(name, "width", resize.width, { min: 1, max: SIDE_MAX, whole: true });
  checkNumber(name, "height", resize.height, { min: 1, max: SIDE_MAX, whole: true });
  checkOneOf(name, "fit", resize.fit ?? "contain", FITS);
  checkOneOf(name, "kernel", resize.kernel ?? "lanczos3", KERNELS);
  checkColour(name, "background", resize.background ?? "#000000");
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkOneOf(name: string, option: string, value: unknown, choices: readonly unknown[]): void {
  if (choices.includes(value)) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `${name}: ${option} is ${JSON.stringify(value)}; give one of ${choices.join(", ")}.`,
  );
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkColour(name: string, option: string, value: string): void {
  if (/^#[0-9a-f]{6}([0-9a-f]{2})?$/i.test(value)) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `${name}: ${option} is ${JSON.stringify(value)}; give a colour such as "#ffffff".`,
  );
}

export function resized(image: Sharp, resize: ResizeSettings): Sharp {
  const { width, height, fit = "contain", kernel = "lanczos3", background = "#000000" } = resize;
  const options: ResizeOptions = { width, height, fit, kernel, background };
  return image.resize(options);
}
