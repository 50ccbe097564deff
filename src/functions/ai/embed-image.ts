/** `embedImage`: images to vectors, by an ONNX model. */
import { type Service, type ServiceSpec, service } from "../../topology/service.js";
import { batchFromColumns } from "../../types/batches.js";
import { type Columns, type ColumnType, t } from "../../types/columns.js";
import type { EmbeddingOptions } from "../../types/tensor-types.js";
import { anyImage, type ImageColumn } from "../images/image-content.js";
import { checkOneOf } from "../images/resize-settings.js";
import { type Named, named } from "../named.js";
import type { Step } from "../step.js";
import { inverseLength } from "./metrics.js";
import {
  checkModelFile,
  imageDims,
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

export type EmbeddingType = ReturnType<typeof t.embedding>;

/** What the column of embeddings says of them; see `t.embedding`. */
export interface EmbeddingSettings {
  /** Elements of a vector. A model that gives others is an error before the first row. */
  readonly dimension: number;
  /** Default `cosine`. */
  readonly metric?: EmbeddingOptions["metric"];
  /** The model's name in the column's type: vectors of two models cannot be compared. */
  readonly embeddingModel?: string;
}

/** @throws {MillraceError} `MILL_TOPOLOGY_TYPE` */
export function embeddingType({ dimension, metric = "cosine" }: EmbeddingSettings, model: string): EmbeddingType {
  return t.embedding(dimension, { metric, model });
}

/** Options of `embedImage`. See docs/functions/embedImage.md. */
export interface EmbedImageOptions<F extends string, I extends string>
  extends ServiceStepOptions<Columns, Named<NoInfer<I>, EmbeddingType>>,
    ModelFile,
    EmbeddingSettings {
  /** Column with images: pixels, or encoded ones. */
  readonly from: F;
  /** Column for the embedding. */
  readonly into: I;
  /** How an image becomes the model's input. */
  readonly image: ModelImage;
  /**
   * What becomes of an answer that has several vectors for an image. `none` (default): it has one, [rows, dimension]. `mean`: of [rows, patches, dimension],
   * their mean; of [rows, dimension, height, width], the mean of all places. `first`: of [rows, patches, dimension], the first (CLS).
   */
  readonly pooling?: "none" | "mean" | "first";
  /** Make all vectors of length 1. Default true. */
  readonly normalize?: boolean;
}

const NAME = "embedImage";

/** Adds a vector of each image. */
export function embedImage<F extends string, I extends string>(
  options: EmbedImageOptions<F, I>,
): Step<Named<F, ImageColumn>, Named<I, EmbeddingType>> {
  checkModelFile(NAME, options);
  checkOneOf(NAME, "pooling", options.pooling ?? "none", ["none", "mean", "first"]);
  return serviceStep(NAME, options.from, anyImage, options, (type) => embedImageService(options, type));
}

/** @internal */
export function embedImageService<F extends string, I extends string>(
  options: EmbedImageOptions<F, I>,
  type: ColumnType,
): Service<Columns, Named<I, EmbeddingType>> {
  const { from, into, image, dimension, modelInput = "input", pooling = "none", serviceName = NAME } = options;
  const input: Columns = named(from, type);
  const output = named(into, embeddingType(options, options.embeddingModel ?? options.model));
  const dims = imageDims(image);
  const tensors = tensorsOf(NAME, from, type, image);
  const spec = {
    ...modelFile(options),
    inputs: { [modelInput]: { type: "float32", dims: [rowsDimension(options.service?.batch?.rowsMax), ...dims] } },
  };
  const handler = onnxHandler<typeof input, typeof output>(spec, (model, context) => {
    const run = async (values: Float32Array, rows: number) => {
      const answer = outputOf(
        await model.run({ [modelInput]: model.tensor(values, [rows, ...dims]) }),
        model,
        options,
        rows,
      );
      const made = pooled(answer, pooling, dimension);
      if (made !== undefined) return options.normalize === false ? made : normalized(made, dimension);
      const what = `answers with [${answer.dims.join(", ")}]; with pooling "${pooling}" that is no vector of ${dimension} elements`;
      throw unfitModel(options.model, what);
    };
    return {
      warm: async () => void (await run(new Float32Array(dims.reduce((a, b) => a * b)), 1)),
      async infer(batch, call) {
        const { values, rows } = await tensors(batch, context, call);
        const vectors = rows.length === 0 ? values : await run(values, rows.length);
        const all = new Float32Array(batch.numRows * dimension);
        for (const [i, row] of rows.entries())
          all.set(vectors.subarray(i * dimension, (i + 1) * dimension), row * dimension);
        return batchFromColumns(output, { [into]: all } as never);
      },
    };
  });
  return service(serviceName, { ...options.service, input, output, handler } as ServiceSpec<
    typeof input,
    typeof output
  >);
}

interface Answer {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** @internal One vector for each row; undefined: the answer has another shape */
export function pooled({ data, dims }: Answer, pooling: "none" | "mean" | "first", dimension: number) {
  const [rows = 0, ...sizes] = dims;
  const elements = sizes.reduce((a, b) => a * b, 1);
  if (pooling === "none") return elements === dimension ? data.slice() : undefined;
  const [patches, last] = sizes;
  if (sizes.length === 2 && last === dimension && patches! > 0) {
    const vectors = new Float32Array(rows * dimension);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < dimension; i++) {
        const at = row * elements + i;
        vectors[row * dimension + i] = pooling === "first" ? data[at]! : mean(data, at, patches!, dimension);
      }
    }
    return vectors;
  }
  if (sizes.length !== 3 || patches !== dimension || pooling !== "mean" || elements === 0) return undefined;
  const places = elements / dimension;
  return Float32Array.from({ length: rows * dimension }, (_, i) => mean(data, i * places, places, 1));
}

function mean(data: Float32Array, at: number, count: number, step: number): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += data[at + i * step]!;
  return sum / count;
}

/** Vectors of length 1, in place; one of zeros stays. */
export function normalized(vectors: Float32Array, dimension: number): Float32Array {
  for (let at = 0; at < vectors.length; at += dimension) {
    const inverse = inverseLength(vectors, at, dimension);
    for (let i = at; i < at + dimension; i++) vectors[i]! *= inverse;
  }
  return vectors;
}
