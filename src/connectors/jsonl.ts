/**
 * Sink of JSON Lines: one object per row, UTF-8. Bytes are base64, tensors are arrays of their elements; 64-bit integers are strings where
 * they pass 2^53, and NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity": JSON has no numbers for them.
 *
 * Rows are written as they come: what waits in memory has a bound, however much a checkpoint covers.
 */
import { util } from "apache-arrow";
import { limits } from "../base/limits.js";
import type { Sink } from "../topology/endpoints.js";
import { rowsOf } from "../types/batches.js";
import type { Columns, ColumnType, Row } from "../types/columns.js";
import type { TensorArrays, TensorDtype, TensorSpec, VariableTensor } from "../types/tensor-types.js";
import { fileSink } from "./file-writer.js";
import type { FileEncoder } from "./growing-file.js";
import { TextPieces } from "./text-pieces.js";

/** @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root */
export function jsonl(url: string): Sink {
  return jsonlInPieces(url, limits.sinkPieceBytes);
}

/** For tests: with few rows in a piece. */
export function jsonlInPieces(url: string, pieceBytes: number): Sink {
  return fileSink("jsonl", url, (columns) => jsonlEncoder(columns, pieceBytes));
}

function jsonlEncoder(columns: Columns, pieceBytes: number): FileEncoder {
  const spelled = Object.entries(columns).filter(([, type]) => hasTensors(type));
  const text = new TextPieces(pieceBytes);
  return {
    add(batch) {
      const rows = rowsOf(columns, batch as Parameters<typeof rowsOf>[1]);
      for (const [name, type] of spelled) for (const row of rows) row[name] = spelledOut(type, row[name]);
      text.add(rows.map((row) => `${JSON.stringify(row, jsonValue)}\n`).join(""));
    },
    take: () => text.take(),
    giveBack: (piece) => text.giveBack(piece),
    finish: () => text.rest(),
  };
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  return value;
}

function hasTensors(type: ColumnType): boolean {
  if (type.tensor !== undefined) return true;
  return [...Object.values(type.columns ?? {}), ...(type.item ? [type.item] : [])].some(hasTensors);
}

/** Tensors as arrays, wherever in the value they are: from here on, those of uint8 would look like any other bytes. */
function spelledOut(type: ColumnType, value: unknown): unknown {
  if (value === null || value === undefined) return value;
  if (type.tensor) return tensorValue(type.tensor, value);
  if (type.item) return (value as unknown[]).map((item) => spelledOut(type.item!, item));
  if (!type.columns) return value;
  const struct = value as Row<Columns>;
  return Object.fromEntries(Object.entries(type.columns).map(([name, part]) => [name, spelledOut(part, struct[name])]));
}

function tensorValue({ dtype, size }: TensorSpec, value: unknown): unknown {
  if (size !== undefined) return numbersOf(dtype, value as TensorArrays[TensorDtype]);
  const { data, shape } = value as VariableTensor;
  return { data: numbersOf(dtype, data), shape };
}

function numbersOf(dtype: TensorDtype, elements: TensorArrays[TensorDtype]): readonly unknown[] {
  if (dtype === "float16") return Array.from(elements as Uint16Array, util.uint16ToFloat64);
  return Array.from(elements as ArrayLike<unknown>);
}
