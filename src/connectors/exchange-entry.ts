/**
 * Rows as entries of a log: small batches put together, large ones cut, each entry with its number.
 * Every entry that begins a batch spells the Arrow schema out, because a log is read from anywhere.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { batchBytes } from "../types/batches.js";
import { concatBatches } from "../types/concat.js";
import { encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import { type ExchangeEntryHeader, exchangeEntryFrame } from "../wire/exchange-frames.js";

/** What one checkpoint of a writer has for one partition. */
export interface PartitionCut {
  /** The checkpoint before with entries for this partition; 0n: none. */
  readonly previous: bigint;
  readonly batches: readonly RecordBatch[];
  /** The writer has ended. */
  readonly end: boolean;
}

type Piece = Pick<ExchangeEntryHeader, "more" | "end" | "rows" | "schemaId" | "schema"> & {
  readonly payload: readonly Uint8Array[];
};

const END: Piece = { more: false, end: true, rows: 0, schemaId: new Uint8Array(8), schema: null, payload: [] };

export function encodeEntries(writer: string, checkpoint: bigint, cut: PartitionCut): Uint8Array[] {
  const pieces = together(cut.batches).flatMap(piecesOf);
  if (cut.end) pieces.push(END);
  return pieces.map(({ payload, ...header }, index) =>
    exchangeEntryFrame.encode(
      { ...header, writer, checkpoint, index, last: index === pieces.length - 1, previous: cut.previous },
      payload,
    ),
  );
}

/** Neighbours as one batch, as far as they fit one entry. */
function together(batches: readonly RecordBatch[]): RecordBatch[] {
  const made: RecordBatch[] = [];
  let group: RecordBatch[] = [];
  let [rows, bytes] = [0, 0];
  const close = () => {
    if (group.length > 0) made.push(concatBatches(group));
    group = [];
    [rows, bytes] = [0, 0];
  };
  for (const batch of batches) {
    const size = batchBytes(batch);
    if (rows + batch.numRows > limits.rowsPerFrameMax || bytes + size > limits.exchangeEntryBytesMax) close();
    group.push(batch);
    rows += batch.numRows;
    bytes += size;
  }
  close();
  return made;
}

function piecesOf(batch: RecordBatch): Piece[] {
  const payload = encodeBatch(batch);
  const bytes = payload.reduce((sum, part) => sum + part.byteLength, 0);
  const tooLarge = bytes > limits.exchangeEntryBytesMax;
  if ((tooLarge && batch.numRows > 1) || batch.numRows > limits.rowsPerFrameMax) {
    const half = batch.numRows >> 1;
    return [...piecesOf(batch.slice(0, half)), ...piecesOf(batch.slice(half))];
  }
  const schema = encodeSchema(batch.schema);
  const first = { more: tooLarge, end: false, rows: batch.numRows, schemaId: schemaId(schema), schema };
  return tooLarge ? cutUp(first, Buffer.concat(payload)) : [{ ...first, payload }];
}

/** One row may be larger than an entry. */
function cutUp(first: Omit<Piece, "payload">, bytes: Uint8Array): Piece[] {
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.byteLength; at += limits.exchangeEntryBytesMax) {
    const part = bytes.subarray(at, at + limits.exchangeEntryBytesMax);
    const more = at + part.byteLength < bytes.byteLength;
    pieces.push({ ...first, more, schema: at === 0 ? first.schema : null, payload: [part] });
  }
  return pieces;
}
