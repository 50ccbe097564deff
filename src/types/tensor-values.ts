/**
 * Tensors and embeddings as values: laid out from rows, taken from whole columns, read as views.
 *
 * Invariants:
 *   T1  Reading copies nothing: a value is a view of its column's buffer.
 *   T2  What a column holds has the element type, the number of elements and the shape that its type says.
 */
import { type Data, type DataType, type FixedSizeList, type List, makeData, type Struct } from "apache-arrow";
import type { ColumnType, TensorArrays, TensorDtype, TensorSpec } from "./column-type.js";
import { OFFSET_MAX, span } from "./concat.js";
import { type Base, invalid, isMissing } from "./invalid.js";
import type { VariableTensor } from "./tensor-types.js";

type Elements = TensorArrays[TensorDtype];
type ArrayOf = { new (length: number): Elements; readonly name: string };

const ARRAYS: { readonly [D in TensorDtype]: ArrayOf } = {
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array,
};

export function layOutTensors(
  name: string,
  type: ColumnType,
  spec: TensorSpec,
  values: readonly unknown[],
  base: Base,
): Data {
  return spec.size === undefined
    ? layOutVariable(name, type, spec, values, base)
    : layOutFixed(name, type, spec.size, spec.dtype, values, base);
}

function layOutFixed(
  name: string,
  type: ColumnType,
  size: number,
  dtype: TensorDtype,
  values: readonly unknown[],
  base: Base,
): Data {
  const all = elementsFor(name, type, dtype, values.length, values.length * size);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (isMissing(value)) continue;
    if (!isElements(value, dtype) || value.length !== size) {
      throw invalid(name, type, `row ${row} is ${shown(value)}; give ${ARRAYS[dtype].name} of ${size} elements`);
    }
    all.set(value as never, row * size);
  }
  return makeData({ ...base, child: elementsData(base.type.children[0]!.type, all) } as never);
}

function layOutVariable(
  name: string,
  type: ColumnType,
  { dtype, shape }: TensorSpec,
  values: readonly unknown[],
  base: Base,
): Data {
  const rank = shape.length;
  const valueOffsets = new Int32Array(values.length + 1);
  const shapes = new Int32Array(values.length * rank);
  let total = 0;
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (!isMissing(value)) {
      const wrong = wrongTensor(value as VariableTensor, dtype, shape);
      if (wrong !== undefined) throw invalid(name, type, `row ${row} ${wrong}`);
      shapes.set((value as VariableTensor).shape, row * rank);
      total += (value as VariableTensor).data.length;
    }
    valueOffsets[row + 1] = total; // a sum too large is refused below
  }
  const all = elementsFor(name, type, dtype, values.length, total);
  for (let row = 0; row < values.length; row++) {
    const value = values[row] as VariableTensor | null | undefined;
    if (!isMissing(value)) all.set(value!.data as never, valueOffsets[row]!);
  }
  const [data, sizes] = (base.type as Struct).children as unknown as [{ type: List }, { type: FixedSizeList }];
  const { length } = base;
  const parts = [
    makeData({ type: data.type, length, nullCount: 0, valueOffsets, child: elementsData(data.type.valueType, all) }),
    makeData({ type: sizes.type, length, nullCount: 0, child: elementsData(sizes.type.valueType, shapes) }),
  ];
  return makeData({ ...base, children: parts } as never);
}

/** @returns undefined: it fits */
function wrongTensor(value: VariableTensor, dtype: TensorDtype, wanted: TensorSpec["shape"]): string | undefined {
  const { data, shape } = value;
  if (!isElements(data, dtype) || !Array.isArray(shape)) {
    return `is ${shown(value)}; give { data: ${ARRAYS[dtype].name}, shape: [...] }`;
  }
  return wrongShape(shape, data.length, wanted);
}

function wrongShape(shape: ArrayLike<number>, elements: number, wanted: TensorSpec["shape"]): string | undefined {
  const sizes = Array.from(shape);
  const fits = (size: unknown, i: number) =>
    Number.isInteger(size) && (size as number) >= 0 && (wanted[i] ?? size) === size;
  if (sizes.length !== wanted.length || !sizes.every(fits)) {
    return `has the shape [${sizes.join(", ")}] where [${wanted.map(String).join(", ")}] is needed`;
  }
  const needed = sizes.reduce((product, size) => product * size, 1);
  return needed === elements
    ? undefined
    : `has ${elements} elements where its shape [${sizes.join(", ")}] has ${needed}`;
}

function isElements(value: unknown, dtype: TensorDtype): value is Elements {
  return value instanceof ARRAYS[dtype];
}

function shown(value: unknown): string {
  if (ArrayBuffer.isView(value)) return `${value.constructor.name} of ${(value as Uint8Array).length} elements`;
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `of type ${typeof value}`;
}

function elementsFor(name: string, type: ColumnType, dtype: TensorDtype, rows: number, total: number): Elements {
  if (total <= OFFSET_MAX) return new ARRAYS[dtype](total);
  throw invalid(name, type, `${rows} rows have ${total} elements; one batch holds ${OFFSET_MAX} of a column`);
}

function elementsData(type: DataType, data: Elements | Int32Array): Data {
  return makeData({ type, length: data.length, nullCount: 0, data } as never) as Data;
}

/** The elements of all rows at once, taken as they are; undefined: `given` is no such array, or the column is no such type. */
export function wholeColumn(name: string, type: ColumnType, given: unknown): Data | undefined {
  const size = type.tensor?.size;
  if (size === undefined || !ArrayBuffer.isView(given)) return undefined;
  const { dtype } = type.tensor!;
  if (!isElements(given, dtype) || given.length % size !== 0) {
    throw invalid(name, type, `the column is ${shown(given)}; give ${ARRAYS[dtype].name} of ${size} elements a row`);
  }
  const length = given.length / size;
  const child = elementsData(type.arrow.children[0]!.type, given);
  return makeData({ type: type.arrow, length, nullCount: 0, child } as never) as Data;
}

/** T2, of data that somebody else laid out. */
export function checkTensors(name: string, type: ColumnType, spec: TensorSpec, data: Data): void {
  const elements = data.children[0]!;
  if (spec.size !== undefined) {
    noNulls(name, type, elements, data, spec.size);
    return;
  }
  const sizes = data.children[1]!;
  const rank = spec.shape.length;
  noNulls(name, type, elements, data, 1);
  noNulls(name, type, sizes, data, 1);
  noNulls(name, type, sizes.children[0]!, data, rank);
  const [start, count] = span(elements);
  if (elements.children[0]!.slice(start, count).nullCount > 0) throw invalid(name, type, "it has null elements");
  for (let row = 0; row < data.length; row++) {
    if (!data.getValid(row)) continue;
    const shape = (sizes.children[0]!.values as Int32Array).subarray(row * rank, (row + 1) * rank);
    const wrong = wrongShape(shape, elements.valueOffsets[row + 1]! - elements.valueOffsets[row]!, spec.shape);
    if (wrong !== undefined) throw invalid(name, type, `row ${row} ${wrong}`);
  }
}

/** Parts of a value that is missing may be missing, and no others. */
function noNulls(name: string, type: ColumnType, part: Data, whole: Data, each: number): void {
  if (part.nullCount === 0) return;
  for (let i = 0; i < part.length; i++) {
    if (part.getValid(i) || !whole.getValid(Math.floor(i / each))) continue;
    throw invalid(name, type, `row ${Math.floor(i / each)} has null elements`);
  }
}

/** T1. Reads the value of a row that is there. */
export function tensorReader({ size, shape }: TensorSpec, data: Data): (row: number) => Elements | VariableTensor {
  if (size !== undefined) {
    const values = data.children[0]!.values as Uint8Array;
    return (row) => values.subarray(row * size, (row + 1) * size);
  }
  const rank = shape.length;
  const [list, sizes] = data.children as [Data, Data];
  const values = list.children[0]!.values as Uint8Array;
  const shapes = sizes.children[0]!.values as Int32Array;
  return (row) => ({
    data: values.subarray(list.valueOffsets[row]!, list.valueOffsets[row + 1]!),
    shape: Array.from(shapes.subarray(row * rank, (row + 1) * rank)),
  });
}
