/**
 * Rows of a batch by number. Neighbours that stay neighbours are copied at once; rows that all do are a slice, and not copied at all.
 * The rows have no lineage: whoever takes them knows what they are.
 */
import { type Data, makeData, RecordBatch, Type, type TypeMap } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { OFFSET_MAX } from "./concat.js";

/** One row for each entry of `rows`, in that order; an entry may come again. */
export function takeRows<T extends TypeMap>(batch: RecordBatch<T>, rows: Int32Array): RecordBatch<T> {
  invariant(
    rows.every((row) => row >= 0 && row < batch.numRows),
    "rows that are taken are of the batch",
  );
  const runs = runsOf(rows);
  if (runs.count === 0) return batch.slice(0, 0);
  if (runs.count === 1) return batch.slice(runs.starts[0]!, runs.starts[0]! + runs.total);
  const children = batch.data.children.map((child) => takeData(child, runs));
  return new RecordBatch(
    batch.schema,
    makeData({ type: batch.data.type, length: runs.total, nullCount: 0, children } as never) as never,
  );
}

/** Neighbours to be taken, in order. */
interface Runs {
  readonly starts: Int32Array;
  readonly lengths: Int32Array;
  readonly count: number;
  /** Sum of the lengths. */
  readonly total: number;
}

function runsOf(rows: Int32Array): Runs {
  const starts = new Int32Array(rows.length);
  const lengths = new Int32Array(rows.length);
  let count = 0;
  for (let i = 0; i < rows.length; i++) {
    if (i > 0 && rows[i] === rows[i - 1]! + 1) lengths[count - 1]!++;
    else {
      starts[count] = rows[i]!;
      lengths[count++] = 1;
    }
  }
  return { starts, lengths, count, total: rows.length };
}

function takeData(data: Data, runs: Runs): Data {
  const nulls = data.nullCount > 0 ? { nullCount: -1, nullBitmap: takeBits(data, data.nullBitmap, runs) } : NO_NULLS;
  const base = { type: data.type, length: runs.total, ...nulls };
  switch (data.typeId) {
    case Type.Struct:
      return makeData({ ...base, children: data.children.map((child) => takeData(child, runs)) } as never);
    case Type.FixedSizeList:
      return makeData({ ...base, child: takeData(data.children[0]!, wider(runs, data.stride)) } as never);
    case Type.List: {
      const { valueOffsets, inner } = takeOffsets(data, runs);
      return makeData({ ...base, valueOffsets, child: takeData(data.children[0]!, inner) } as never);
    }
    case Type.Utf8:
    case Type.Binary: {
      const { valueOffsets, inner } = takeOffsets(data, runs);
      return makeData({ ...base, valueOffsets, data: takeValues(data.values as Uint8Array, inner) } as never);
    }
    case Type.Bool:
      return makeData({ ...base, data: takeBits(data, data.values as Uint8Array, runs) } as never);
    default:
      return makeData({ ...base, data: takeValues(data.values as Uint8Array, wider(runs, data.stride)) } as never);
  }
}

const NO_NULLS = { nullCount: 0 };

/** The same rows, where each has `each` elements. */
function wider(runs: Runs, each: number): Runs {
  if (each === 1) return runs;
  const { starts, lengths, count, total } = runs;
  refuseMore(total * each);
  return { starts: starts.map((at) => at * each), lengths: lengths.map((of) => of * each), count, total: total * each };
}

/** New offsets, and which elements or bytes they are of. */
function takeOffsets(data: Data, { starts, lengths, count, total }: Runs): { valueOffsets: Int32Array; inner: Runs } {
  const from = data.valueOffsets as Int32Array;
  const valueOffsets = new Int32Array(total + 1);
  const inner = { starts: new Int32Array(count), lengths: new Int32Array(count) };
  let row = 0;
  let end = 0;
  for (let run = 0; run < count; run++) {
    const start = starts[run]!;
    const first = from[start]!;
    inner.starts[run] = first;
    inner.lengths[run] = from[start + lengths[run]!]! - first;
    for (let i = 1; i <= lengths[run]!; i++) valueOffsets[++row] = end + from[start + i]! - first;
    end += inner.lengths[run]!;
    refuseMore(end);
  }
  return { valueOffsets, inner: { ...inner, count, total: end } };
}

/** Shorter runs are copied element by element: making a view of them takes longer. */
const VIEW_ELEMENTS_MIN = 24;

function takeValues(values: Uint8Array, { starts, lengths, count, total }: Runs): Uint8Array {
  const target = new (values.constructor as new (length: number) => Uint8Array)(total);
  let at = 0;
  for (let run = 0; run < count; run++) {
    const start = starts[run]!;
    const length = lengths[run]!;
    if (length < VIEW_ELEMENTS_MIN) for (let i = 0; i < length; i++) target[at + i] = values[start + i]!;
    else target.set(values.subarray(start, start + length), at);
    at += length;
  }
  return target;
}

/** @param bits of the data, which may start anywhere within a byte */
function takeBits(data: Data, bits: Uint8Array, { starts, lengths, count, total }: Runs): Uint8Array {
  const target = new Uint8Array(((total + 63) >> 6) << 3);
  let at = 0;
  for (let run = 0; run < count; run++) {
    for (let i = 0; i < lengths[run]!; i++, at++) {
      const from = data.offset + starts[run]! + i;
      if ((bits[from >> 3]! >> (from & 7)) & 1) target[at >> 3]! |= 1 << (at & 7);
    }
  }
  return target;
}

function refuseMore(total: number): void {
  if (total <= OFFSET_MAX) return;
  throw new MillraceError(
    "MILL_RECORD_INVALID",
    `rows taken from a batch have ${total} bytes or elements in one column; one batch holds ${OFFSET_MAX}. Take fewer at once.`,
    { total },
  );
}
