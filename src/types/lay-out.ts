/**
 * Values laid out as Arrow data: directly in their final buffers, one copy of the values, no builder.
 * A value that does not fit its column is a `MILL_RECORD_INVALID` that names the column.
 */
import { type Data, makeData } from "apache-arrow";
import type { MillraceError } from "../base/errors.js";
import type { ColumnType } from "./column-type.js";
import { OFFSET_MAX } from "./concat.js";
import { checkContent } from "./content-values.js";
import { type Base, type Buffers, invalid, isMissing, mismatch } from "./invalid.js";
import { layOutTensors } from "./tensor-values.js";

const encoder = new TextEncoder();

/** Lays values out as Arrow data of the column's type. @param name of the column, for messages */
export function layOut(name: string, type: ColumnType, values: readonly unknown[]): Data {
  const length = values.length;
  const nulls = nullsOf(name, type, values);
  const base = { type: type.arrow, length, ...nulls };
  if (type.tensor) return layOutTensors(name, type, type.tensor, values, base);
  if (type.item) return layOutList(name, type, type.item, values, base);
  if (type.columns) {
    if (type.content) checkContent(name, type, type.content, values);
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
  const layout = LAYOUTS[type.name.replace(/\?$/, "")];
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
