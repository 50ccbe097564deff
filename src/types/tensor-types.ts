/**
 * Column types of tensors and embeddings. Tensors are Arrow's canonical extension types: one whose sizes are all fixed is a fixed size list,
 * one where some vary has the values and the sizes of each row beside each other. Values are plain: they are not moved out.
 *
 * Source: Arrow 1.5, "Canonical extension types", fixed shape and variable shape tensor.
 */
import {
  type DataType,
  Field,
  FixedSizeList,
  Float16,
  Float32,
  Float64,
  Int8,
  Int16,
  Int32,
  Int64,
  List,
  Struct,
  Uint8,
  Uint16,
  Uint32,
  Uint64,
} from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import {
  type ColumnType,
  extension,
  primitive,
  type TensorArrays,
  type TensorDtype,
  type TensorSpec,
} from "./column-type.js";
import { OFFSET_MAX } from "./concat.js";

const ARROW: { readonly [D in TensorDtype]: () => DataType } = {
  int8: () => new Int8(),
  int16: () => new Int16(),
  int32: () => new Int32(),
  int64: () => new Int64(),
  uint8: () => new Uint8(),
  uint16: () => new Uint16(),
  uint32: () => new Uint32(),
  uint64: () => new Uint64(),
  float16: () => new Float16(),
  float32: () => new Float32(),
  float64: () => new Float64(),
};

/** A tensor with the sizes that it has itself. */
export interface VariableTensor<D extends TensorDtype = TensorDtype> {
  /** The elements, the last dimension's next to each other. */
  readonly data: TensorArrays[D];
  readonly shape: readonly number[];
}

export type { TensorArrays, TensorDtype, TensorSpec } from "./column-type.js";

export interface TensorShapeOptions {
  /** What the dimensions are called, in the order of `shape`: `["H", "W", "C"]`. */
  readonly dimNames?: readonly string[];
  /** Order in which the dimensions are meant, where it is another than that of `shape`, in which they are stored. */
  readonly permutation?: readonly number[];
}

export interface EmbeddingOptions {
  /** How near two of them are is computed so. */
  readonly metric: "cosine" | "dot" | "euclidean";
  /** What made them: those of two models cannot be compared. */
  readonly model?: string;
}

export type TensorType<Value, Arrow extends DataType = DataType> = ColumnType<Value, Arrow> & {
  readonly tensor: TensorSpec;
};
type Shape = readonly (number | null)[];
type TensorColumn<D extends TensorDtype, S extends Shape> = null extends S[number]
  ? TensorType<VariableTensor<D>, Struct>
  : TensorType<TensorArrays[D], FixedSizeList>;

/** @throws {MillraceError} `MILL_TOPOLOGY_TYPE`: no such tensors can be */
function tensor<D extends TensorDtype, S extends Shape>(
  dtype: D,
  shape: S,
  options: TensorShapeOptions = {},
): TensorColumn<D, S> {
  const name = tensorName(dtype, shape, options);
  checkShape(name, dtype, shape, options);
  const size = sizeOf(shape);
  const spec: TensorSpec = { dtype, shape: [...shape], size };
  const type = size === undefined ? variable(name, spec, options) : fixed(name, spec, size, options);
  return type as unknown as TensorColumn<D, S>;
}

function fixed(name: string, spec: TensorSpec, size: number, options: TensorShapeOptions): TensorType<unknown> {
  const metadata = JSON.stringify({ shape: spec.shape, ...arrowOptions(options) });
  return {
    ...primitive(name, fixedList(spec.dtype, size)),
    tensor: spec,
    metadata: extension("arrow.fixed_shape_tensor", metadata),
  };
}

function variable(name: string, spec: TensorSpec, options: TensorShapeOptions): TensorType<unknown> {
  const storage = new Struct([
    new Field("data", new List(itemOf(spec.dtype)), true),
    new Field("shape", fixedList("int32", spec.shape.length), true),
  ]);
  const metadata = JSON.stringify({ uniform_shape: spec.shape, ...arrowOptions(options) });
  return {
    ...primitive(name, storage),
    tensor: spec,
    metadata: extension("arrow.variable_shape_tensor", metadata),
  };
}

function fixedList(dtype: TensorDtype, size: number): FixedSizeList {
  return new FixedSizeList(size, itemOf(dtype));
}

/** None is ever null, but Arrow C++ knows its tensors in Parquet by their storage, and there an item may be. */
function itemOf(dtype: TensorDtype): Field {
  return new Field("item", ARROW[dtype](), true);
}

function arrowOptions({ dimNames, permutation }: TensorShapeOptions): object {
  return { ...(dimNames && { dim_names: dimNames }), ...(permutation && { permutation }) };
}

/** @throws {MillraceError} `MILL_TOPOLOGY_TYPE`: the dimension is none, or the metric */
function embedding(dimension: number, options: EmbeddingOptions): TensorType<Float32Array, FixedSizeList> {
  const { metric, model } = options;
  const name = `embedding<${[dimension, metric, ...(model === undefined ? [] : [JSON.stringify(model)])].join(", ")}>`;
  checkSizes(name, [dimension]);
  if (!METRICS.has(metric)) throw wrong(name, `its metric is ${metric}; give one of ${[...METRICS].join(", ")}`);
  return {
    ...primitive<Float32Array, FixedSizeList>(name, fixedList("float32", dimension)),
    tensor: { dtype: "float32", shape: [dimension], size: dimension },
    metadata: extension("millrace.embedding", JSON.stringify({ dimension, metric, model })),
  };
}

const METRICS: ReadonlySet<string> = new Set<EmbeddingOptions["metric"]>(["cosine", "dot", "euclidean"]);

/** The part of `t` that is tensors. */
export const tensorTypes = { tensor, embedding };

/** Elements of a tensor of these sizes; undefined: some vary. */
function sizeOf(shape: Shape): number | undefined {
  let size = 1;
  for (const each of shape) {
    if (each === null) return undefined;
    size *= each;
  }
  return size;
}

/** As in `tensor<float32, [C: 3, H: null, W: null]>`: all that makes two types different. */
function tensorName(dtype: string, shape: Shape, { dimNames, permutation }: TensorShapeOptions): string {
  const sizes = shape.map((size, i) => (dimNames === undefined ? `${size}` : `${dimNames[i]}: ${size}`));
  const order = permutation === undefined ? "" : `, permutation [${permutation.join(", ")}]`;
  return `tensor<${dtype}, [${sizes.join(", ")}]${order}>`;
}

function checkShape(name: string, dtype: string, shape: Shape, { dimNames, permutation }: TensorShapeOptions): void {
  if (!Object.hasOwn(ARROW, dtype)) {
    throw wrong(name, `its elements are ${dtype}; give one of ${Object.keys(ARROW).join(", ")}`);
  }
  checkSizes(name, shape);
  const rank = shape.length;
  if (dimNames !== undefined && dimNames.length !== rank) {
    throw wrong(name, `it has ${dimNames.length} dimNames for ${rank} dimensions; name each, or none`);
  }
  if (permutation === undefined) return;
  const sorted = [...permutation].sort((a, b) => a - b);
  if (sorted.length !== rank || sorted.some((dimension, i) => dimension !== i)) {
    throw wrong(name, `its permutation is [${permutation.join(", ")}]; give each of 0 to ${rank - 1} once`);
  }
}

function checkSizes(name: string, shape: Shape): void {
  const bad = shape.find((size) => size !== null && !(Number.isInteger(size) && size >= 1));
  if (bad !== undefined || shape.length === 0) {
    throw wrong(name, "give at least one size, and each as a whole number from 1 on, or null where it varies");
  }
  if (shape.reduce<number>((product, size) => product * (size ?? 1), 1) > OFFSET_MAX) {
    throw wrong(name, `one value would have more than ${OFFSET_MAX} elements`);
  }
}

function wrong(type: string, what: string): MillraceError {
  return new MillraceError("MILL_TOPOLOGY_TYPE", `${type} is no type: ${what}.`, { type });
}
