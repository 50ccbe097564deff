/**
 * Rows to Arrow record batches and back: `lay-out.ts` writes the values of a column, `read-values.ts` reads them.
 */
import { type Data, type RecordBatch, Type, Vector } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { type ArrowColumns, arrowSchema, type Columns, type ColumnType, type Row, type ValueOf } from "./columns.js";
import { span } from "./concat.js";
import type { GivenRow } from "./content-types.js";
import { invalid } from "./invalid.js";
import { layOut } from "./lay-out.js";
import { readerOf } from "./read-values.js";
import { recordBatch } from "./record-batch.js";
import type { TensorSpec, VariableTensor } from "./tensor-types.js";
import { checkTensors, wholeColumn } from "./tensor-values.js";

/**
 * One record batch of `rows.length` rows.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a row is no object, a value is missing or of another type than its column
 */
export function batchFromRows<C extends Columns>(
  columns: C,
  rows: readonly (Row<C> | GivenRow<C>)[],
): RecordBatch<ArrowColumns<C>> {
  const noRow = rows.findIndex((row) => typeof row !== "object" || row === null);
  if (noRow >= 0) {
    throw new MillraceError("MILL_RECORD_INVALID", `row ${noRow} is ${String(rows[noRow])}; give an object.`);
  }
  const children = Object.entries(columns).map(([name, type]) =>
    layOut(
      name,
      type,
      rows.map((row) => row[name]),
    ),
  );
  return assemble(columns, children, rows.length);
}

/** What the elements of all rows can be given as at once. */
type WholeColumn<T> = T extends { readonly tensor: TensorSpec } ? Exclude<ValueOf<T>, VariableTensor> : never;

/**
 * One record batch from whole columns: each an Arrow vector or data of the column's type (taken as it is), an array of values, or, for
 * tensors of one shape and embeddings, a typed array with the elements of all rows, one row after another (taken as it is, too).
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a column is missing, of another type, or of another length
 */
export function batchFromColumns<C extends Columns>(
  columns: C,
  values: { readonly [K in keyof C]: Vector | Data | readonly Row<C>[K][] | WholeColumn<C[K]> },
): RecordBatch<ArrowColumns<C>> {
  let length = -1;
  const children = Object.entries(columns).map(([name, type]) => {
    const given = Object.hasOwn(values, name) ? values[name] : undefined;
    if (given === undefined) throw invalid(name, type, "no such column was given");
    const data = dataOf(name, type, given);
    if (length >= 0 && data.length !== length) {
      throw invalid(name, type, `it has ${data.length} values where the columns before it have ${length}`);
    }
    length = data.length;
    return data;
  });
  return assemble(columns, children, Math.max(length, 0));
}

function dataOf(name: string, type: ColumnType, given: unknown): Data {
  if (Array.isArray(given)) return layOut(name, type, given);
  return wholeColumn(name, type, given) ?? oneChunk(name, type, given as Vector | Data);
}

function assemble<C extends Columns>(columns: C, children: Data[], length: number): RecordBatch<ArrowColumns<C>> {
  return recordBatch(arrowSchema(columns), children, length);
}

/** The rows as plain objects. Bytes and tensors are views of the batch; lists and structs become arrays and objects. */
export function rowsOf<C extends Columns>(columns: C, batch: RecordBatch<ArrowColumns<C>>): Row<C>[] {
  const rows: Record<string, unknown>[] = Array.from({ length: batch.numRows }, () => ({}));
  for (const [name, type] of Object.entries(columns)) {
    const read = readerOf(type, columnOf(batch, name).data[0]!);
    for (let i = 0; i < rows.length; i++) rows[i]![name] = read(i);
  }
  return rows as Row<C>[];
}

/** @throws {MillraceError} `MILL_TOPOLOGY_COLUMN` when the batch has no such column */
export function columnOf(batch: RecordBatch, name: string): Vector {
  const vector = batch.getChild(name);
  if (vector === null) {
    const there = batch.schema.fields.map((field) => field.name).join(", ");
    throw new MillraceError("MILL_TOPOLOGY_COLUMN", `the batch has no column "${name}". It has: ${there}.`, { name });
  }
  return vector;
}

/** Bytes that the batch's own buffers hold; a view of a larger buffer counts only what it shows. */
export function batchBytes(batch: RecordBatch): number {
  return batch.data.children.reduce((sum, child) => sum + dataBytes(child), 0);
}

function dataBytes(data: Data): number {
  const bitmap = Math.ceil(data.length / 8);
  const nulls = data.nullBitmap !== undefined && data.nullBitmap.length > 0 ? bitmap : 0;
  if (data.typeId === Type.Bool) return nulls + bitmap;
  if (data.valueOffsets !== undefined) {
    const [start, count] = span(data);
    // A slice of a list keeps the whole child; its offsets say which part is its own.
    const child = data.children[0];
    return nulls + (data.length + 1) * 4 + (child === undefined ? count : dataBytes(child.slice(start, count)));
  }
  const values = data.values === undefined ? 0 : data.length * data.stride * data.values.BYTES_PER_ELEMENT;
  return data.children.reduce((sum, child) => sum + dataBytes(child), nulls + values);
}

function oneChunk(name: string, type: ColumnType, given: Vector | Data): Data {
  const data = given instanceof Vector ? given.data[0] : given;
  if (given instanceof Vector && given.data.length !== 1) {
    throw invalid(name, type, `the vector has ${given.data.length} chunks; give one`);
  }
  if (data?.type?.toString() !== type.arrow.toString()) {
    throw invalid(
      name,
      type,
      `it is of Arrow type ${data?.type ?? "none"}; give an array, or a vector of ${type.arrow}`,
    );
  }
  checkValues(name, type, data!);
  return data!;
}

/**
 * Where the column's type has no nulls, its data must not have any; tensors must have the shape that they say.
 * @param struct that the data is a part of: where it is missing, so are its parts
 */
function checkValues(name: string, type: ColumnType, data: Data, struct?: Data): void {
  if (data.nullCount > 0 && !type.nullable) {
    let count = 0;
    for (let i = 0; i < data.length; i++) if (!data.getValid(i) && (struct?.getValid(i) ?? true)) count++;
    if (count > 0) {
      throw invalid(name, type, `${count} values are null; give all, or declare the column with t.optional(...)`);
    }
  }
  if (type.tensor) checkTensors(name, type, type.tensor, data);
  if (type.item) checkValues(`${name}[]`, type.item, data.children[0]!.slice(...span(data)));
  for (const [i, [part, partType]] of Object.entries(type.columns ?? {}).entries()) {
    checkValues(`${name}.${part}`, partType, data.children[i]!, data);
  }
}
