/**
 * Rows as entries of a log: small batches put together, large ones cut between rows, each entry with its number. A row that is larger than
 * an entry is one all the same: what becomes of it on its way into a log is in `exchange-large.ts` (X8).
 * Every entry with rows spells the Arrow schema out, because a log is read from anywhere.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { firstTrace, traceOf, withTrace } from "../types/batch-trace.js";
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
  /** Told the bytes of each row that is larger than an entry; may refuse it. */
  readonly check?: (rowBytes: number) => void;
}

type Piece = Pick<ExchangeEntryHeader, "end" | "rows" | "schemaId" | "schema" | "traceparent"> & {
  readonly payload: readonly Uint8Array[];
};

const END: Piece = { end: true, rows: 0, schemaId: new Uint8Array(8), schema: null, traceparent: "", payload: [] };

export function encodeEntries(writer: string, checkpoint: bigint, cut: PartitionCut): Uint8Array[] {
  const pieces = together(cut.batches).flatMap((batch) => piecesOf(batch, cut.check));
  if (cut.end) pieces.push(END);
  return pieces.map(({ payload, ...header }, index) =>
    exchangeEntryFrame.encode(
      {
        ...header,
        ...{ writer, checkpoint, index, last: index === pieces.length - 1, previous: cut.previous },
        ...{ more: false, content: null },
      },
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
    if (group.length > 0) made.push(withTrace(concatBatches(group), firstTrace(group)));
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

function piecesOf(batch: RecordBatch, check: PartitionCut["check"], traceparent = traceOf(batch)): Piece[] {
  const payload = encodeBatch(batch);
  const bytes = payload.reduce((sum, part) => sum + part.byteLength, 0);
  const tooLarge = bytes > limits.exchangeEntryBytesMax;
  if ((tooLarge && batch.numRows > 1) || batch.numRows > limits.rowsPerFrameMax) {
    const half = batch.numRows >> 1;
    return [...piecesOf(batch.slice(0, half), check, traceparent), ...piecesOf(batch.slice(half), check, traceparent)];
  }
  if (tooLarge) check?.(bytes);
  const schema = encodeSchema(batch.schema);
  return [{ end: false, rows: batch.numRows, schemaId: schemaId(schema), schema, traceparent, payload }];
}
