/**
 * One row by itself: an Arrow schema message, and a record batch message behind it. Any Arrow implementation reads it as an IPC stream
 * without its end.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { decodeSchema, encodeBatch, encodeSchema } from "./arrow.js";
import { broken } from "./arrow-message.js";

const PREFIX_BYTES = 8;

/** @throws {MillraceError} `MILL_RECORD_INVALID`: a column has a type that is not sent */
export function encodeRow(batch: RecordBatch): Uint8Array {
  return Buffer.concat([encodeSchema(batch.schema), ...encodeBatch(batch)]);
}

export interface EncodedRow {
  readonly schema: Schema;
  /** A record batch message, as `decodeBatch` and snapshots take it. */
  readonly batch: Uint8Array;
}

/** @throws {MillraceError} `MILL_FRAME_INVALID` */
export function decodeRow(bytes: Uint8Array): EncodedRow {
  if (bytes.length < PREFIX_BYTES) throw broken("it ends within its schema");
  const size = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getInt32(4, true);
  if (size < 0 || size > bytes.length - PREFIX_BYTES) throw broken("it ends within its schema");
  const end = PREFIX_BYTES + size;
  return { schema: decodeSchema(bytes.subarray(0, end)), batch: bytes.subarray(end) };
}
