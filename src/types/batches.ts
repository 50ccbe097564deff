/**
 * Rows to Arrow record batches and back.
 *
 * Vectors are laid out directly in their final buffers (one copy of the values, no builder); reading is by view.
 * A value that does not fit its column is a `MILL_RECORD_INVALID` that names the column.
 */
import { type Data, type DataType, makeData, RecordBatch, Struct, Vector } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { type ArrowColumns, arrowSchema, type Columns, type ColumnType, type Row } from "./columns.js";

const encoder = new TextEncoder();

/**
 * One record batch of `rows.length` rows.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a value is missing or of another type than its column
 */
export function batchFromRows<C extends Columns>(columns: C, rows: readonly Row<C>[]): RecordBatch<ArrowColumns<C>> {
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
    const given = values[name];
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
  let bytes = data.nullBitmap?.byteLength ?? 0;
  if (data.valueOffsets) {
    bytes += (data.length + 1) * 4;
    const first = data.valueOffsets[0] ?? 0;
    const last = data.valueOffsets[data.length] ?? 0;
    if (data.values) return bytes + (last - first);
  } else if (data.values) {
    bytes += data.values.byteLength;
  }
  return data.children.reduce((sum, child) => sum + dataBytes(child), bytes);
}

function plain(type: ColumnType, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (type.item) {
    const vector = value as Vector;
    return Array.from({ length: vector.length }, (_, i) => plain(type.item!, vector.get(i)));
  }
  if (type.columns) {
    const struct = value as Record<string, unknown>;
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
  if (data === undefined || data.type.toString() !== type.arrow.toString()) {
    throw invalid(name, type, `the vector is of Arrow type ${data?.type}, expected ${type.arrow}`);
  }
  return data;
}

type Buffers = Pick<Data, "nullCount"> & { nullBitmap?: Uint8Array };

/** Lays values out as Arrow data of the column's type. */
function layOut(name: string, type: ColumnType, values: readonly unknown[]): Data {
  const length = values.length;
  const nulls = nullsOf(name, type, values);
  const base = { type: type.arrow, length, ...nulls };
  if (type.item) return layOutList(name, type.item, values, base);
  if (type.columns) {
    const children = Object.entries(type.columns).map(([part, partType]) =>
      layOut(
        `${name}.${part}`,
        nulls.nullCount > 0 ? { ...partType, nullable: true } : partType,
        values.map((value) => fieldOfValue(name, type, value, part)),
      ),
    );
    return makeData({ ...base, children } as never);
  }
  const layout = LAYOUTS[type.name.replace("?", "")];
  if (layout === undefined) throw invalid(name, type, "no values of this type can be laid out");
  return layout(name, type, values, base);
}

function fieldOfValue(name: string, type: ColumnType, value: unknown, part: string): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") throw mismatch(name, type, value);
  return (value as Record<string, unknown>)[part];
}

function nullsOf(name: string, type: ColumnType, values: readonly unknown[]): Buffers {
  let nullCount = 0;
  for (const value of values) if (value === null || value === undefined) nullCount++;
  if (nullCount === 0) return { nullCount };
  if (!type.nullable) {
    const row = values.findIndex((value) => value === null || value === undefined);
    throw invalid(name, type, `row ${row} has no value; give one, or declare the column with t.optional(...)`);
  }
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

function layOutList(name: string, item: ColumnType, values: readonly unknown[], base: Base): Data {
  const valueOffsets = new Int32Array(values.length + 1);
  const flat: unknown[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as Iterable<unknown> | null | undefined;
    if (value !== null && value !== undefined) {
      if (typeof value !== "object" || !(Symbol.iterator in value)) throw mismatch(name, item, value);
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
    if (typeof value !== "bigint") throw mismatch(name, type, value);
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
