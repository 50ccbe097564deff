/**
 * Rows to Arrow record batches and back.
 *
 * Vectors are laid out directly in their final buffers (one copy of the values, no builder); reading is by view.
 * A value that does not fit its column is a `MILL_RECORD_INVALID` that names the column.
 */
import { type Data, type DataType, makeData, RecordBatch, Struct, type StructRow, Type, Vector } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { type ArrowColumns, arrowSchema, type Columns, type ColumnType, type Row } from "./columns.js";
import { OFFSET_MAX, span } from "./concat.js";

const encoder = new TextEncoder();

/**
 * One record batch of `rows.length` rows.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a row is no object, a value is missing or of another type than its column
 */
export function batchFromRows<C extends Columns>(columns: C, rows: readonly Row<C>[]): RecordBatch<ArrowColumns<C>> {
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

/**
 * One record batch from whole columns: each an Arrow vector or data of the column's type (taken as it is) or an array of values.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a column is missing, of another type, or of another length
 */
export function batchFromColumns<C extends Columns>(
  columns: C,
  values: { readonly [K in keyof C]: Vector | Data | readonly Row<C>[K][] },
): RecordBatch<ArrowColumns<C>> {
  let length = -1;
  const children = Object.entries(columns).map(([name, type]) => {
    const given = Object.hasOwn(values, name) ? values[name] : undefined;
    if (given === undefined) throw invalid(name, type, "no such column was given");
    const data = Array.isArray(given) ? layOut(name, type, given) : oneChunk(name, type, given as Vector | Data);
    if (length >= 0 && data.length !== length) {
      throw invalid(name, type, `it has ${data.length} values where the columns before it have ${length}`);
    }
    length = data.length;
    return data;
  });
  return assemble(columns, children, Math.max(length, 0));
}

function assemble<C extends Columns>(columns: C, children: Data[], length: number): RecordBatch<ArrowColumns<C>> {
  const schema = arrowSchema(columns);
  const data = makeData({
    type: structOf(schema.fields) as Struct<ArrowColumns<C>>,
    length,
    nullCount: 0,
    children: children as Data<ArrowColumns<C>[string]>[],
  });
  return new RecordBatch(schema, data);
}

function structOf(fields: readonly unknown[]): DataType {
  return new Struct(fields as ConstructorParameters<typeof Struct>[0]);
}

/** The rows as plain objects. Binary values are views of the batch; lists and structs become arrays and objects. */
export function rowsOf<C extends Columns>(columns: C, batch: RecordBatch<ArrowColumns<C>>): Row<C>[] {
  const rows: Record<string, unknown>[] = Array.from({ length: batch.numRows }, () => ({}));
  for (const [name, type] of Object.entries(columns)) {
    const vector = columnOf(batch, name);
    for (let i = 0; i < rows.length; i++) rows[i]![name] = plain(type, vector.get(i));
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

function plain(type: ColumnType, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (type.item) {
    const vector = value as Vector;
    return Array.from({ length: vector.length }, (_, i) => plain(type.item!, vector.get(i)));
  }
  if (type.columns) {
    // Not by property of the row itself: it has methods, and a column may be named like one.
    const struct = (value as StructRow).toJSON() as Record<string, unknown>;
    return Object.fromEntries(Object.entries(type.columns).map(([key, part]) => [key, plain(part, struct[key])]));
  }
  return value;
}

function invalid(column: string, type: ColumnType, what: string): MillraceError {
  return new MillraceError("MILL_RECORD_INVALID", `column "${column}" (${type.name}): ${what}.`, {
    column,
    type: type.name,
  });
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
  refuseNulls(name, type, data!);
  return data!;
}

/**
 * Where the column's type has no nulls, its data must not have any.
 * @param struct that the data is a part of: where it is missing, so are its parts
 */
function refuseNulls(name: string, type: ColumnType, data: Data, struct?: Data): void {
  if (data.nullCount > 0 && !type.nullable) {
    let count = 0;
    for (let i = 0; i < data.length; i++) if (!data.getValid(i) && (struct?.getValid(i) ?? true)) count++;
    if (count > 0) {
      throw invalid(name, type, `${count} values are null; give all, or declare the column with t.optional(...)`);
    }
  }
  if (type.item) refuseNulls(`${name}[]`, type.item, data.children[0]!.slice(...span(data)));
  for (const [i, [part, partType]] of Object.entries(type.columns ?? {}).entries()) {
    refuseNulls(`${name}.${part}`, partType, data.children[i]!, data);
  }
}

type Buffers = Pick<Data, "nullCount"> & { nullBitmap?: Uint8Array };

/** Lays values out as Arrow data of the column's type. */
function layOut(name: string, type: ColumnType, values: readonly unknown[]): Data {
  const length = values.length;
  const nulls = nullsOf(name, type, values);
  const base = { type: type.arrow, length, ...nulls };
  if (type.item) return layOutList(name, type, type.item, values, base);
  if (type.columns) {
    const children = Object.entries(type.columns).map(([part, partType]) =>
      layOutPart(
        `${name}.${part}`,
        partType,
        values.map((value) => fieldOfValue(name, type, value, part)),
        nulls.nullCount > 0 ? values : undefined,
      ),
    );
    return makeData({ ...base, children } as never);
  }
  const layout = LAYOUTS[type.name.replace("?", "")];
  if (layout === undefined) throw invalid(name, type, "no values of this type can be laid out");
  return layout(name, type, values, base);
}

/** @param structs that the values are of, where some are missing: their parts are too, and theirs alone may be */
function layOutPart(name: string, type: ColumnType, values: readonly unknown[], structs?: readonly unknown[]): Data {
  if (structs === undefined || type.nullable) return layOut(name, type, values);
  const row = values.findIndex((value, i) => isMissing(value) && !isMissing(structs[i]));
  if (row >= 0) throw noValue(name, type, row);
  return layOut(name, { ...type, nullable: true }, values);
}

function isMissing(value: unknown): boolean {
  return value === null || value === undefined;
}

function noValue(name: string, type: ColumnType, row: number): MillraceError {
  return invalid(name, type, `row ${row} has no value; give one, or declare the column with t.optional(...)`);
}

function fieldOfValue(name: string, type: ColumnType, value: unknown, part: string): unknown {
  if (isMissing(value)) return null;
  if (typeof value !== "object") throw mismatch(name, type, value);
  return (value as Record<string, unknown>)[part];
}

function nullsOf(name: string, type: ColumnType, values: readonly unknown[]): Buffers {
  let nullCount = 0;
  for (const value of values) if (isMissing(value)) nullCount++;
  if (nullCount === 0) return { nullCount };
  if (!type.nullable) throw noValue(name, type, values.findIndex(isMissing));
  const nullBitmap = new Uint8Array(((values.length + 63) >> 6) << 3);
  for (let i = 0; i < values.length; i++) {
    if (values[i] !== null && values[i] !== undefined) nullBitmap[i >> 3]! |= 1 << (i & 7);
  }
  return { nullCount, nullBitmap };
}

interface Base extends Buffers {
  readonly type: DataType;
  readonly length: number;
}
type Layout = (name: string, type: ColumnType, values: readonly unknown[], base: Base) => Data;

function layOutList(name: string, type: ColumnType, item: ColumnType, values: readonly unknown[], base: Base): Data {
  const valueOffsets = new Int32Array(values.length + 1);
  const flat: unknown[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as Iterable<unknown> | null | undefined;
    if (value !== null && value !== undefined) {
      if (typeof value !== "object" || !(Symbol.iterator in value)) throw mismatch(name, type, value);
      for (const part of value) flat.push(part);
    }
    valueOffsets[i + 1] = flat.length;
  }
  return makeData({ ...base, valueOffsets, child: layOut(`${name}[]`, item, flat) } as never);
}

function mismatch(name: string, type: ColumnType, value: unknown): MillraceError {
  const shown =
    value instanceof Uint8Array ? "bytes" : typeof value === "object" ? "an object" : JSON.stringify(String(value));
  return invalid(name, type, `got ${shown} of type ${typeof value}`);
}

function numbers(make: (length: number) => Float32Array | Float64Array): Layout {
  return (name, type, values, base) => {
    const data = make(values.length);
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (typeof value === "number") data[i] = value;
      else if (value !== null && value !== undefined) throw mismatch(name, type, value);
    }
    return makeData({ ...base, data } as never);
  };
}

const int32: Layout = (name, type, values, base) => {
  const data = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    if (typeof value !== "number" || (value | 0) !== value) throw mismatch(name, type, value);
    data[i] = value;
  }
  return makeData({ ...base, data } as never);
};

const int64: Layout = (name, type, values, base) => {
  const data = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0n;
    if (typeof value !== "bigint" || BigInt.asIntN(64, value) !== value) throw mismatch(name, type, value);
    data[i] = value;
  }
  return makeData({ ...base, data } as never);
};

const timestamp: Layout = (name, type, values, base) => {
  const whole = values.map((value) => {
    if (value === null || value === undefined) return 0n;
    if (typeof value !== "number" || !Number.isSafeInteger(value)) throw mismatch(name, type, value);
    return BigInt(value);
  });
  return makeData({ ...base, data: BigInt64Array.from(whole) } as never);
};

const bool: Layout = (name, type, values, base) => {
  const data = new Uint8Array(((values.length + 63) >> 6) << 3);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? false;
    if (typeof value !== "boolean") throw mismatch(name, type, value);
    if (value) data[i >> 3]! |= 1 << (i & 7);
  }
  return makeData({ ...base, data } as never);
};

const EMPTY = new Uint8Array(0);

function bytes(toBytes: (name: string, type: ColumnType, value: unknown) => Uint8Array): Layout {
  return (name, type, values, base) => {
    const parts = values.map((value) => (value === null || value === undefined ? EMPTY : toBytes(name, type, value)));
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    if (total > OFFSET_MAX) {
      throw invalid(name, type, `${parts.length} rows have ${total} bytes; one batch holds ${OFFSET_MAX} of a column`);
    }
    const valueOffsets = new Int32Array(parts.length + 1);
    for (let i = 0; i < parts.length; i++) valueOffsets[i + 1] = valueOffsets[i]! + parts[i]!.length;
    const data = new Uint8Array(valueOffsets[parts.length]!);
    for (let i = 0; i < parts.length; i++) data.set(parts[i]!, valueOffsets[i]!);
    return makeData({ ...base, valueOffsets, data } as never);
  };
}

const LAYOUTS: Readonly<Record<string, Layout>> = {
  bool,
  int32,
  int64,
  float32: numbers((length) => new Float32Array(length)),
  float64: numbers((length) => new Float64Array(length)),
  timestamp,
  utf8: bytes((name, type, value) => {
    if (typeof value !== "string") throw mismatch(name, type, value);
    return encoder.encode(value);
  }),
  binary: bytes((name, type, value) => {
    if (!(value instanceof Uint8Array)) throw mismatch(name, type, value);
    return value;
  }),
};
