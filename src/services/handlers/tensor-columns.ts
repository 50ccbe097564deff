/**
 * Columns to tensors and back, where the user gives no functions of his own.
 *
 * A column is one tensor [rows, ...]: a plain value adds no size, a list one, a list of lists two. Text and content are
 * BYTES. `binary` with another datatype is the tensor's raw content, row by row: pixels need no list of numbers. Tensors of one
 * shape, and embeddings, go as they lie.
 *
 * Invariants:
 *   T1  No value changes on its way: a datatype that cannot hold a column's values, or whose values the column cannot hold, is
 *       refused and not rounded.
 *   T2  The lists of one tensor have one length; rows that differ are refused with what to do.
 */
import { type Data, makeData, type RecordBatch, Type } from "apache-arrow";
import { MillraceError } from "../../base/errors.js";
import { batchFromColumns, columnOf } from "../../types/batches.js";
import type { ArrowColumns, Columns, ColumnType } from "../../types/columns.js";
import { span } from "../../types/concat.js";
import type { TensorDtype } from "../../types/tensor-types.js";
import {
  arrayOver,
  bytesOver,
  DATATYPES,
  type Datatype,
  elementsOf,
  isNumberDatatype,
  type NumberArray,
  type NumberDatatype,
  type Tensor,
} from "./tensor.js";

/** How a column travels, where it is not as its type says. */
export interface TensorOptions {
  /** Default: the column's name. */
  readonly tensor?: string;
  /** Default: as the column's type says. `FP32` for float32, `INT64` for int64, `BYTES` for text and content. */
  readonly datatype?: Datatype;
  /** Sizes of one row, for a list or raw content that is more than one-dimensional on the server: `[3, 224, 224]`. */
  readonly shape?: readonly number[];
}

const DEFAULTS: Readonly<Record<string, Datatype>> = {
  bool: "BOOL",
  int32: "INT32",
  int64: "INT64",
  timestamp: "INT64",
  float32: "FP32",
  float64: "FP64",
  utf8: "BYTES",
  binary: "BYTES",
};

/** T1: datatypes that hold every value of a column's, and those whose every value a column holds. */
const HOLDS: Readonly<Record<string, readonly Datatype[]>> = {
  bool: ["BOOL"],
  int32: ["INT32", "INT64", "FP64"],
  int64: ["INT64"],
  timestamp: ["INT64"],
  float32: ["FP32", "FP64"],
  float64: ["FP64"],
  utf8: ["BYTES"],
};
const HELD: Readonly<Record<string, readonly Datatype[]>> = {
  bool: ["BOOL"],
  int32: ["INT32", "INT16", "INT8", "UINT16", "UINT8"],
  int64: ["INT64", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8"],
  timestamp: ["INT64"],
  float32: ["FP32", "INT16", "INT8", "UINT16", "UINT8"],
  float64: ["FP64", "FP32", "INT32", "INT16", "INT8", "UINT32", "UINT16", "UINT8"],
  utf8: ["BYTES"],
};

const OF_DTYPE: Readonly<Record<TensorDtype, Datatype>> = {
  int8: "INT8",
  int16: "INT16",
  int32: "INT32",
  int64: "INT64",
  uint8: "UINT8",
  uint16: "UINT16",
  uint32: "UINT32",
  uint64: "UINT64",
  float16: "FP16",
  float32: "FP32",
  float64: "FP64",
};

function leafOf(type: ColumnType): ColumnType {
  return type.item === undefined ? type : leafOf(type.item);
}

export function datatypeOf(type: ColumnType, options: TensorOptions = {}): Datatype {
  if (options.datatype !== undefined) return options.datatype;
  return type.tensor === undefined ? (DEFAULTS[leafOf(type).name] ?? "BYTES") : OF_DTYPE[type.tensor.dtype];
}

/** @throws {MillraceError} `MILL_TOPOLOGY_TYPE` for a column that no tensor can stand for */
export function checkColumn(
  way: "input" | "output",
  name: string,
  type: ColumnType,
  options: TensorOptions = {},
): void {
  const datatype = datatypeOf(type, options);
  const leaf = leafOf(type);
  const bad = (what: string) => {
    const other = way === "input" ? "encode" : "decode";
    return new MillraceError(
      "MILL_TOPOLOGY_TYPE",
      `${way} column "${name}" (${type.name}) cannot be a tensor: ${what}; or give ${other}, a function of your own.`,
      { column: name, type: type.name },
    );
  };
  for (let part: ColumnType | undefined = type; part !== undefined; part = part.item) {
    if (part.nullable) throw bad("tensors have no nulls. Declare it without t.optional");
  }
  if (type.tensor !== undefined) {
    if (type.tensor.size === undefined) throw bad("its shape differs from row to row. Give every size of it");
    const own = OF_DTYPE[type.tensor.dtype];
    if (datatype !== own) throw bad(`its elements are ${own}, and ${datatype} is something else`);
    return;
  }
  if (DEFAULTS[leaf.name] === undefined)
    throw bad("use bool, int32, int64, float32, float64, timestamp, utf8, binary, or lists of these");
  if (leaf.name === "binary" && (datatype === "BYTES" || type === leaf)) return;
  const able = (way === "input" ? HOLDS : HELD)[leaf.name] ?? ["BYTES"];
  if (able.includes(datatype)) return;
  const verb = way === "input" ? "holds its values" : "fits into it";
  throw bad(`${datatype} is not what ${verb}. That is ${able.join(", ")}`);
}

export function tensorOf(name: string, type: ColumnType, batch: RecordBatch, options: TensorOptions = {}): Tensor {
  const data = columnOf(batch, name).data[0]!;
  const datatype = datatypeOf(type, options);
  const tensor = options.tensor ?? name;
  const rows = batch.numRows;
  if (type.tensor?.size !== undefined) {
    const { size, shape: own } = type.tensor;
    const shape = options.shape ?? (own as readonly number[]);
    checkSize(name, size, shape);
    const values = data.children[0]!.values as NumberArray;
    return { name: tensor, datatype, shape: [rows, ...shape], data: values.subarray(0, rows * size) };
  }
  if (type.name === "binary" && isNumberDatatype(datatype)) {
    const content = Buffer.concat(piecesOf(data));
    const size = DATATYPES[datatype].BYTES_PER_ELEMENT;
    const shape = options.shape ?? [sameLength(name, data) / size];
    checkSize(name, sameLength(name, data) / size, shape);
    return { name: tensor, datatype, shape: [rows, ...shape], data: arrayOver(datatype, content) };
  }
  const sizes: number[] = [];
  let leaf = data;
  for (let part = type; part.item !== undefined; part = part.item) {
    sizes.push(sameLength(name, leaf));
    leaf = leaf.children[0]!.slice(...span(leaf));
  }
  const shape = options.shape ?? sizes;
  if (options.shape !== undefined) checkSize(name, elementsOf(sizes), options.shape);
  return { name: tensor, datatype, shape: [rows, ...shape], data: valuesOf(leaf, datatype) };
}

/** T2 */
function sameLength(name: string, data: Data): number {
  const { valueOffsets, length } = data;
  const first = valueOffsets[1]! - valueOffsets[0]!;
  for (let i = 1; i < length; i++) {
    const other = valueOffsets[i + 1]! - valueOffsets[i]!;
    if (other === first) continue;
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `column "${name}": rows of one call differ in length (${first} and ${other}), so they are no tensor. Put rows of one length together with batch.bucketBy, or pad them.`,
      { column: name },
    );
  }
  return first;
}

function checkSize(name: string, found: number, shape: readonly number[]): void {
  if (found === elementsOf(shape)) return;
  throw new MillraceError(
    "MILL_RECORD_INVALID",
    `column "${name}": a row has ${found} values where the shape [${shape.join(", ")}] has ${elementsOf(shape)}.`,
    { column: name },
  );
}

function piecesOf(data: Data): Uint8Array[] {
  const values = data.values as Uint8Array;
  return Array.from({ length: data.length }, (_, i) =>
    values.subarray(data.valueOffsets[i]!, data.valueOffsets[i + 1]!),
  );
}

function valuesOf(data: Data, datatype: Datatype): NumberArray | readonly Uint8Array[] {
  if (!isNumberDatatype(datatype)) return piecesOf(data);
  if (data.typeId === Type.Bool) {
    const bits = data.values as Uint8Array;
    return Uint8Array.from(
      { length: data.length },
      (_, i) => (bits[(data.offset + i) >> 3]! >> ((data.offset + i) & 7)) & 1,
    );
  }
  const values = (data.values as NumberArray).subarray(0, data.length);
  return converted(values, datatype);
}

function converted(values: NumberArray, datatype: NumberDatatype): NumberArray {
  const type = DATATYPES[datatype];
  if (values instanceof type) return values;
  if (datatype === "INT64") return BigInt64Array.from(values as Int32Array, BigInt);
  return (type as typeof Float64Array).from(values as Int32Array);
}

/**
 * The declared columns from the tensors that came.
 * @param invalid makes the error for an answer that does not fit
 */
export function columnsOf<O extends Columns>(
  output: O,
  options: Readonly<Record<string, TensorOptions | undefined>>,
  tensors: ReadonlyMap<string, Tensor>,
  rows: number,
  invalid: (what: string) => MillraceError,
): RecordBatch<ArrowColumns<O>> {
  const columns: Record<string, Data> = {};
  for (const [name, type] of Object.entries(output)) {
    const wanted = options[name]?.tensor ?? name;
    const tensor = tensors.get(wanted);
    if (tensor === undefined) {
      throw invalid(`it has no tensor "${wanted}". It has: ${[...tensors.keys()].join(", ") || "none"}`);
    }
    if (tensor.shape[0] !== rows) {
      throw invalid(`tensor "${wanted}" has shape [${tensor.shape.join(", ")}] where ${rows} rows were sent`);
    }
    checkColumn("output", name, type, { ...options[name], datatype: tensor.datatype });
    columns[name] = columnOfTensor(type, tensor, invalid);
  }
  return batchFromColumns(output, columns as never);
}

function columnOfTensor(type: ColumnType, tensor: Tensor, invalid: (what: string) => MillraceError): Data {
  const [rows = 0, ...sizes] = tensor.shape;
  if (type.tensor !== undefined) {
    if (elementsOf(sizes) === type.tensor.size) return leafData(type, tensor.data);
    throw invalid(`tensor "${tensor.name}" has ${elementsOf(sizes)} values for each ${type.name}`);
  }
  if (type.name === "binary" && !isBytes(tensor.data)) {
    const bytes = bytesOver(tensor.data);
    const each = rows === 0 ? 0 : bytes.length / rows;
    return leafData(
      type,
      Array.from({ length: rows }, (_, i) => bytes.subarray(i * each, (i + 1) * each)),
    );
  }
  return listData(type, rows, sizes, tensor, invalid);
}

function listData(
  type: ColumnType,
  count: number,
  sizes: readonly number[],
  tensor: Tensor,
  invalid: (what: string) => MillraceError,
): Data {
  if (type.item === undefined) {
    if (elementsOf(sizes) === 1) return leafData(type, tensor.data);
    throw invalid(
      `tensor "${tensor.name}" has ${elementsOf(sizes)} values for each ${type.name}; declare the output as t.list(...)`,
    );
  }
  // The innermost list takes all sizes that are left: [n, 2, 3] is a list of six.
  const each = type.item.item === undefined ? elementsOf(sizes) : (sizes[0] ?? 1);
  const rest = type.item.item === undefined ? [] : sizes.slice(1);
  return makeData({
    type: type.arrow,
    length: count,
    nullCount: 0,
    valueOffsets: Int32Array.from({ length: count + 1 }, (_, i) => i * each),
    child: listData(type.item, count * each, rest, tensor, invalid),
  } as never);
}

function leafData(type: ColumnType, data: Tensor["data"]): Data {
  return batchFromColumns({ leaf: type }, { leaf: valuesFor(type, data) as never }).data.children[0]!;
}

function valuesFor(type: ColumnType, data: Tensor["data"]): Data | Tensor["data"] | readonly unknown[] {
  if (type.tensor !== undefined) return data; // of its elements: `checkColumn` has seen to that
  if (isBytes(data)) return type.name === "utf8" ? data.map((piece) => Buffer.from(piece).toString("utf8")) : data;
  switch (type.name) {
    case "bool":
      return Array.from(data as Uint8Array, (value) => value !== 0);
    case "float32":
      return plainData(type, data instanceof Float32Array ? data : Float32Array.from(data as Int32Array));
    case "float64":
      return plainData(type, data instanceof Float64Array ? data : Float64Array.from(data as Int32Array));
    case "int32":
      return plainData(type, data instanceof Int32Array ? data : Int32Array.from(data as Uint8Array));
    default:
      return plainData(type, data instanceof BigInt64Array ? data : BigInt64Array.from([...data].map(BigInt)));
  }
}

function plainData(type: ColumnType, data: NumberArray): Data {
  return makeData({ type: type.arrow, length: data.length, nullCount: 0, data } as never);
}

function isBytes(data: Tensor["data"]): data is readonly Uint8Array[] {
  return Array.isArray(data);
}
