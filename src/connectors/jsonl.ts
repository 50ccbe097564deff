/**
 * Sink of JSON Lines: one object per row, UTF-8. Bytes are base64; 64-bit integers are strings where they pass 2^53, and
 * NaN and the infinities are the strings "NaN", "Infinity" and "-Infinity": JSON has no numbers for them.
 */
import type { Sink } from "../topology/endpoints.js";
import { rowsOf } from "../types/batches.js";
import { fileSink } from "./file-writer.js";

/** @param url a folder, or `s3://bucket/prefix`; a relative one is under the job's output root */
export function jsonl(url: string): Sink {
  return fileSink("jsonl", url, jsonlEncoder);
}

function jsonlEncoder(columns: Parameters<typeof rowsOf>[0]) {
  const parts: Buffer[] = [];
  return {
    add(batch: Parameters<typeof rowsOf>[1]) {
      const lines = rowsOf(columns, batch).map((row) => `${JSON.stringify(row, jsonValue)}\n`);
      parts.push(Buffer.from(lines.join("")));
    },
    finish: () => Buffer.concat(parts),
  };
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  return value;
}
