/** `classify`: what is in an image, by an ONNX model that answers with one number for each label. */
import { readFile } from "node:fs/promises";
import { MillraceError } from "../../base/errors.js";
import { type Service, type ServiceSpec, service } from "../../topology/service.js";
import { type Columns, type ColumnType, t } from "../../types/columns.js";
import { anyImage, type ImageColumn } from "../images/image-content.js";
import { checkOneOf } from "../images/resize-settings.js";
import { checkNumber } from "../media-options.js";
import { type Named, named } from "../named.js";
import type { Step } from "../step.js";
import {
  checkModelFile,
  imageDims,
  inPlaces,
  type ModelFile,
  type ModelImage,
  modelFile,
  onnxHandler,
  outputOf,
  rowsDimension,
  tensorsOf,
  unfitModel,
} from "./model-handler.js";
import { type ServiceStepOptions, serviceStep } from "./service-step.js";

/** The likeliest first. */
export const classesType = t.list(t.struct({ label: t.utf8, score: t.float64 }));

/** Options of `classify`. See docs/functions/classify.md. */
export interface ClassifyOptions<F extends string, I extends string>
  extends ServiceStepOptions<Columns, Named<NoInfer<I>, typeof classesType>>,
    ModelFile {
  /** Column with images: pixels, or encoded ones. */
  readonly from: F;
  /** Column for the classes. */
  readonly into: I;
  /** How an image becomes the model's input. */
  readonly image: ModelImage;
  /** What the model's numbers stand for, in their order; or a text file with one label on each line, as `model` is given. */
  readonly labels: readonly string[] | string;
  /**
   * What becomes of the numbers. `softmax` (default): one label is meant, and scores add up to 1. `sigmoid`: each label for itself. `none`: the model
   * has done that.
   */
  readonly activation?: "softmax" | "sigmoid" | "none";
  /** Labels of one image at most. Default 1. */
  readonly top?: number;
  /** Labels with a lower score are left out. Default 0. */
  readonly scoreMin?: number;
}

const NAME = "classify";
const TOP_MAX = 1_000;

/** Adds the labels that a model gives to each image, the likeliest first. */
export function classify<F extends string, I extends string>(
  options: ClassifyOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, typeof classesType>> {
  checkOptions(options);
  return serviceStep(NAME, options.from, anyImage, options, (type) => classifyService(options, type));
}

function checkOptions({
  labels,
  activation = "softmax",
  top = 1,
  scoreMin = 0,
  ...options
}: ClassifyOptions<string, string>) {
  checkModelFile(NAME, options);
  checkOneOf(NAME, "activation", activation, ["softmax", "sigmoid", "none"]);
  checkNumber(NAME, "top", top, { min: 1, max: TOP_MAX, whole: true });
  checkNumber(NAME, "scoreMin", scoreMin, {});
  if (typeof labels === "string" || (Array.isArray(labels) && labels.length > 0)) return;
  throw new MillraceError("MILL_CONFIG", `${NAME}: labels is no list of texts and no file of them.`);
}

/** @internal */
export function classifyService<F extends string, I extends string>(
  options: ClassifyOptions<F, I>,
  type: ColumnType,
): Service<Columns, Named<I, typeof classesType>> {
  const { from, into, image, labels, modelInput = "input", serviceName = NAME } = options;
  const input: Columns = named(from, type);
  const output = named(into, classesType);
  const dims = imageDims(image);
  const tensors = tensorsOf(NAME, from, type, image);
  const spec = {
    ...modelFile(options),
    inputs: { [modelInput]: { type: "float32", dims: [rowsDimension(options.service?.batch?.rowsMax), ...dims] } },
    ...(typeof labels === "string" && { assets: { labels } }),
  };
  const handler = onnxHandler<typeof input, typeof output>(spec, async (model, context) => {
    const names = typeof labels === "string" ? linesOf(await readFile(model.asset("labels"), "utf8")) : labels;
    const run = async (values: Float32Array, rows: number) => {
      const answers = await model.run({ [modelInput]: model.tensor(values, [rows, ...dims]) });
      const { data, dims: given } = outputOf(answers, model, options, rows);
      if (data.length === rows * names.length) return data;
      throw unfitModel(options.model, `answers with [${given.join(", ")}], and there are ${names.length} labels`);
    };
    return {
      warm: async () => void (await run(new Float32Array(dims.reduce((a, b) => a * b)), 1)),
      async infer(batch, call) {
        const { values, rows } = await tensors(batch, context, call);
        const answer = rows.length === 0 ? values : await run(values, rows.length);
        const found = rows.map((_, i) =>
          classes(answer.subarray(i * names.length, (i + 1) * names.length), names, options),
        );
        return inPlaces(output, batch.numRows, rows, found.map((one) => ({ [into]: one })) as never);
      },
    };
  });
  return service(serviceName, { ...options.service, input, output, handler } as ServiceSpec<
    typeof input,
    typeof output
  >);
}

function linesOf(file: string): string[] {
  const lines = file.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

type Rules = Pick<ClassifyOptions<string, string>, "activation" | "top" | "scoreMin">;

/** @internal Equal scores come in the order of the labels; what is no number is no label's. */
export function classes(numbers: Float32Array, labels: readonly string[], rules: Rules) {
  const { activation = "softmax", top = 1, scoreMin = 0 } = rules;
  const scores = activation === "none" ? Float64Array.from(numbers) : activated(numbers, activation);
  return Array.from(scores, (score, i) => ({ label: labels[i]!, score }))
    .filter(({ score }) => score >= scoreMin)
    .sort((a, b) => b.score - a.score)
    .slice(0, top);
}

function activated(numbers: Float32Array, activation: "softmax" | "sigmoid"): Float64Array {
  if (activation === "sigmoid") return Float64Array.from(numbers, (x) => 1 / (1 + Math.exp(-x)));
  const largest = numbers.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY); // so that nothing overflows
  const scores = Float64Array.from(numbers, (x) => Math.exp(x - largest));
  const sum = scores.reduce((a, b) => a + b, 0);
  return scores.map((score) => score / sum);
}
