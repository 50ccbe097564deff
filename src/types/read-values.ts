/**
 * Values of a column as TypeScript knows them: one function for a column, so that nothing is looked up for a value.
 * Bytes and tensors are views of the column's buffers.
 */
import { type Data, Type, Vector } from "apache-arrow";
import type { ColumnType } from "./column-type.js";
import { tensorReader } from "./tensor-values.js";

export type ReadValue = (row: number) => unknown;

export function readerOf(type: ColumnType, data: Data): ReadValue {
  const read = presentReader(type, data);
  return data.nullCount > 0 ? (row) => (data.getValid(row) ? read(row) : null) : read;
}

function presentReader(type: ColumnType, data: Data): ReadValue {
  if (type.tensor) return tensorReader(type.tensor, data);
  if (type.item) {
    const item = readerOf(type.item, data.children[0]!);
    const offsets = data.valueOffsets;
    return (row) => Array.from({ length: offsets[row + 1]! - offsets[row]! }, (_, i) => item(offsets[row]! + i));
  }
  if (type.columns) return structReader(type.columns, data);
  return plainReader(data);
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Values of a column that holds no others, where they are not null. Not Arrow's own for text: that takes U+FEFF away where a text begins with it. */
export function plainReader(data: Data): ReadValue {
  if (data.typeId === Type.Utf8) {
    const { values, valueOffsets } = data;
    return (row) => utf8.decode(values.subarray(valueOffsets[row], valueOffsets[row + 1]));
  }
  const vector = new Vector([data]);
  return (row) => vector.get(row);
}

function structReader(columns: NonNullable<ColumnType["columns"]>, data: Data): ReadValue {
  const parts = Object.entries(columns).map(([name, type], i) => [name, readerOf(type, data.children[i]!)] as const);
  return (row) => {
    const value: Record<string, unknown> = {};
    for (const [name, read] of parts) value[name] = read(row);
    return value;
  };
}
