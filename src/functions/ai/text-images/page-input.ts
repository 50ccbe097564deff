/** Images as `ocr` and the text detector take them, and the detector around its model. Runs in an instance. */
import { MillraceError } from "../../../base/errors.js";
import type { OnnxModel } from "../../../services/handlers/onnx.js";
import { type Decoding, decoded } from "../../images/decode-image.js";
import { type ImageValue, isPixels, rawPixels } from "../../images/image-content.js";
import { resizedPixels } from "../../images/resize-image.js";
import type { RunContext } from "../../images/run-sharp.js";
import { DetectionInput, findBoxes, type TextBox } from "./detection.js";
import { type RgbPixels, sizeWithin } from "./pixels.js";
import { textSettings } from "./settings.js";

/** The image as RGB pixels, made smaller where its longer side is above `sideMax`. */
export async function pageOf(
  value: ImageValue,
  sideMax: number,
  decoding: Decoding,
  context: RunContext,
): Promise<RgbPixels> {
  const raw = isPixels(value) ? await rawPixels(value, decoding, context) : await decoded(value, decoding, context);
  if (raw.channels !== 3) {
    const what = `it has ${raw.channels} channels where 3 are needed. Decode it with channels: "rgb"`;
    throw new MillraceError("MILL_RECORD_INVALID", `${what}.`);
  }
  return reduced(raw, sizeWithin(raw.width, raw.height, sideMax, 1), decoding, context);
}

async function reduced(
  page: RgbPixels,
  size: { readonly width: number; readonly height: number },
  decoding: Decoding,
  context: RunContext,
): Promise<RgbPixels> {
  if (page.width === size.width && page.height === size.height) return page;
  return resizedPixels({ ...page, channels: 3 }, { ...size, fit: "fill", kernel: "linear" }, decoding, context);
}

export class TextDetector {
  readonly #input = new DetectionInput();
  #free: Promise<unknown> = Promise.resolve();

  constructor(private readonly model: OnnxModel) {}

  async warm(): Promise<void> {
    const { detectionSide: side, detectionMultiple } = textSettings;
    await this.#map({ data: new Uint8Array(side * side * 3), width: side, height: side - detectionMultiple });
  }

  /** Boxes in pixels of the page. */
  async boxes(page: RgbPixels, decoding: Decoding, context: RunContext): Promise<TextBox[]> {
    const { detectionSide, detectionMultiple } = textSettings;
    const small = await reduced(
      page,
      sizeWithin(page.width, page.height, detectionSide, detectionMultiple),
      decoding,
      context,
    );
    const found = this.#free.then(() => this.#map(small)); // the buffer is one page's at a time
    this.#free = found.catch(() => undefined);
    return findBoxes(await found, small.width, small.height, page);
  }

  async #map({ data, width, height }: RgbPixels): Promise<Float32Array> {
    const x = this.model.tensor(this.#input.prepare(data, width, height), [1, 3, height, width]);
    return (await this.model.run({ x }))[this.model.outputNames[0]!]!.data as Float32Array;
  }
}
