/**
 * What functions that run an ONNX model have in common: images to the model's input, rows that are refused, and answers in their places.
 *
 * An image travels to the instance as it is, by reference where it is large, and becomes a tensor there: that is a fourth of the bytes or less.
 */
import { MillraceError } from "../../base/errors.js";
import { type OnnxModel, type OnnxSpec, onnx } from "../../services/handlers/onnx.js";
import type { OperatorContext } from "../../topology/operator-context.js";
import type { CallContext, Handler, HandlerContext } from "../../topology/service.js";
import { batchFromRows, columnOf } from "../../types/batches.js";
import type { Columns, ColumnType, Row } from "../../types/columns.js";
import { type ImageToTensorOptions, imageToTensorFunction } from "../images/image-to-tensor.js";
import type { RunContext } from "../images/run-sharp.js";
import { checkNumber } from "../media-options.js";
import { blankRow } from "./blank.js";

/** How an image becomes the input of a model: size, colours and numbers as it was trained with. As of `imageToTensor`. */
export interface ModelImage
  extends Omit<
    ImageToTensorOptions<string, string>,
    "from" | "into" | "id" | "concurrency" | "width" | "height" | "dtype"
  > {
  /** Size of the model's input, in pixels. */
  readonly width: number;
  readonly height: number;
}

/** Which model, and how it is run. */
export interface ModelFile {
  /** The model's file: a path relative to the topology, or `npm:package/file`. */
  readonly model: string;
  /** The model's name of its input. Default `input`. */
  readonly modelInput?: string;
  /** The model's name of the output that is read. Default: its first. */
  readonly modelOutput?: string;
  /** Execution providers in order of preference, each of which must be there. Default `["cpu"]`. */
  readonly providers?: readonly string[];
  /** Threads of one run. Default 1. */
  readonly threads?: number;
}

/** The part of `OnnxSpec` that says which model, and how it is run. */
export function modelFile({ model, providers, threads }: ModelFile) {
  return { model, ...(providers !== undefined && { providers }), ...(threads !== undefined && { threads }) };
}

/** An ONNX handler whose `prepare` is told of its instance, too. */
export function onnxHandler<I extends Columns, O extends Columns>(
  spec: Omit<OnnxSpec<I, O>, "prepare">,
  prepare: (model: OnnxModel, context: HandlerContext) => ReturnType<OnnxSpec<I, O>["prepare"]>,
): Handler<I, O> {
  const without = onnx<I, O>({
    ...spec,
    prepare: () => Promise.reject(new MillraceError("MILL_INTERNAL", "not loaded")),
  });
  return {
    ...without,
    load: (context) => onnx<I, O>({ ...spec, prepare: (model) => prepare(model, context) }).load(context),
  };
}

/** What functions of images need, in an instance. */
export function imageContext(context: HandlerContext, { signal, content }: Pick<CallContext, "signal" | "content">) {
  return { content, signal, ports: { clock: context.clock } } as RunContext;
}

/** Sizes of the model's first dimension: where calls have one row, models that take only one are welcome. */
export function rowsDimension(rowsMax: number | undefined): number | null {
  return (rowsMax ?? 1) === 1 ? 1 : null;
}

/** The dimensions of an image for a model. */
export function imageDims({ layout = "CHW", channels = "rgb", width, height }: ModelImage): number[] {
  const count = { rgb: 3, rgba: 4, grey: 1 }[channels];
  return layout === "CHW" ? [count, height, width] : [height, width, count];
}

export interface ImageTensors {
  /** One after another. */
  readonly values: Float32Array;
  /** Row that each was made of; those that are missing were refused. */
  readonly rows: readonly number[];
}

/** Makes tensors of the images of a batch. */
export function tensorsOf(name: string, from: string, type: ColumnType, image: ModelImage) {
  const fn = imageToTensorFunction({ fit: "fill", ...image, from, into: "tensor" });
  return async (batch: unknown, context: HandlerContext, call: CallContext): Promise<ImageTensors> => {
    const lent = imageContext(context, call) as OperatorContext;
    const made = await fn.apply(batch as never, { [from]: type }, lent);
    for (const { row, error } of made.refused ?? []) call.reject(row, error);
    const { children } = columnOf(made.batch, "tensor").data[0] ?? { children: [] };
    const values = children[0]?.values;
    if (!(values instanceof Float32Array))
      throw new MillraceError("MILL_INTERNAL", `${name}: an image became no tensor.`);
    return { values, rows: [...(made.from ?? Array.from({ length: made.batch.numRows }, (_, row) => row))] };
  };
}

/** A batch with a row of its own for each that was answered, and blank ones in the other places. */
export function inPlaces<O extends Columns>(
  output: O,
  count: number,
  rows: readonly number[],
  answers: readonly Row<O>[],
) {
  const blank = blankRow(output);
  const all = Array.from({ length: count }, () => blank);
  for (const [i, row] of rows.entries()) all[row] = answers[i]!;
  return batchFromRows(output, all);
}

/** The output of a model that was asked for `rows` rows. @throws {MillraceError} `MILL_MODEL_INPUTS`: it is not what the function can read */
export function outputOf(
  answers: Awaited<ReturnType<OnnxModel["run"]>>,
  model: Pick<OnnxModel, "outputNames">,
  { model: file, modelOutput }: Pick<ModelFile, "model" | "modelOutput">,
  rows: number,
): { readonly data: Float32Array; readonly dims: readonly number[] } {
  const name = modelOutput ?? model.outputNames[0]!;
  const answer = answers[name];
  if (answer === undefined) throw unfitModel(file, `has no output "${name}"; it has ${model.outputNames.join(", ")}`);
  const { data, dims } = answer;
  if (!(data instanceof Float32Array) || dims[0] !== rows) {
    throw unfitModel(
      file,
      `answers with ${answer.type}[${dims.join(", ")}] in "${name}"; float32 for ${rows} rows is needed`,
    );
  }
  return { data, dims };
}

export function unfitModel(model: string, what: string): MillraceError {
  return new MillraceError(
    "MILL_MODEL_INPUTS",
    `model ${model} ${what}. Give the options that this model has, or use another.`,
    {
      model,
    },
  );
}

/** @throws {MillraceError} `MILL_CONFIG` */
export function checkModelFile(name: string, { model, threads }: ModelFile): void {
  if (typeof model !== "string" || model === "") {
    throw new MillraceError(
      "MILL_CONFIG",
      `${name}: model is no file; give a path relative to the topology, or npm:package/file.`,
    );
  }
  if (threads !== undefined) checkNumber(name, "threads", threads, { min: 1, max: 1_024, whole: true });
}
