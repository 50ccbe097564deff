/**
 * Several batches of one schema as one, each buffer copied once. Used where requests meet in one call of a model
 * and where the answers of several calls become one list column; everything else passes slices by reference.
 */
import { type Data, makeData, type RecordBatch, Type, type TypeMap } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { recordBatch } from "./record-batch.js";

/** Arrow's offsets are 32 bits wide. */
export const OFFSET_MAX = 2 ** 31 - 1;

export function concatBatches<T extends TypeMap>(batches: readonly RecordBatch<T>[]): RecordBatch<T> {
  invariant(batches.length > 0, "there is a batch to put together");
  const first = batches[0]!;
  if (batches.length === 1) return first;
  const length = batches.reduce((sum, batch) => sum + batch.numRows, 0);
  const children = first.schema.fields.map((_, column) =>
    concatData(batches.map((batch) => batch.data.children[column]!)),
  );
  return recordBatch(first.schema, children, length);
}

/** One piece of Arrow data with the values of all parts, which must be of one type. */
export function concatData(parts: readonly Data[]): Data {
  if (parts.length === 1) return parts[0]!;
  const type = parts[0]!.type;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const nullCount = parts.reduce((sum, part) => sum + part.nullCount, 0);
  const nulls =
    nullCount === 0
      ? {}
      : { nullBitmap: concatBits(parts, length, (part) => (part.nullCount > 0 ? part.nullBitmap : undefined)) };
  const base = { type, length, nullCount, ...nulls };
  switch (type.typeId) {
    case Type.Struct:
      return makeData({
        ...base,
        children: type.children.map((_: unknown, i: number) => concatData(parts.map((part) => childOf(part, i, 1)))),
      } as never);
    case Type.List: {
      const child = concatData(parts.map((part) => part.children[0]!.slice(...span(part))));
      return makeData({ ...base, valueOffsets: concatOffsets(parts, length), child } as never);
    }
    case Type.FixedSizeList:
      return makeData({ ...base, child: concatData(parts.map((part) => childOf(part, 0, part.stride))) } as never);
    case Type.Utf8:
    case Type.Binary: {
      const views = parts.map((part) => {
        const [start, count] = span(part);
        return (part.values as Uint8Array).subarray(start, start + count);
      });
      return makeData({ ...base, valueOffsets: concatOffsets(parts, length), data: concatArrays(views) } as never);
    }
    case Type.Bool:
      return makeData({ ...base, data: concatBits(parts, length, (part) => part.values as Uint8Array) } as never);
    default: {
      const views = parts.map((part) => (part.values as Uint8Array).subarray(0, part.length * part.stride));
      return makeData({ ...base, data: concatArrays(views) } as never);
    }
  }
}

/** First element and number of elements that a list's, string's or binary's offsets show. */
export function span(part: Data): [number, number] {
  const start = part.valueOffsets[0] ?? 0;
  return [start, (part.valueOffsets[part.length] ?? start) - start];
}

/** A child's values and no more: what was read from a message may hold some behind them. @param each values of a row */
function childOf(part: Data, at: number, each: number): Data {
  const child = part.children[at]!;
  return child.length === part.length * each ? child : child.slice(0, part.length * each);
}

function concatOffsets(parts: readonly Data[], length: number): Int32Array {
  const total = parts.reduce((sum, part) => sum + span(part)[1], 0);
  if (total > OFFSET_MAX) {
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `${parts.length} batches have ${total} bytes or elements in one column; one batch holds ${OFFSET_MAX}. Put fewer rows together.`,
      { total },
    );
  }
  const offsets = new Int32Array(length + 1);
  let row = 0;
  for (const part of parts) {
    const shift = offsets[row]! - (part.valueOffsets[0] ?? 0);
    for (let i = 1; i <= part.length; i++) offsets[++row] = part.valueOffsets[i]! + shift;
  }
  return offsets;
}

function concatArrays<A extends Uint8Array>(views: readonly A[]): A {
  const length = views.reduce((sum, view) => sum + view.length, 0);
  const target = new (views[0]!.constructor as new (length: number) => A)(length);
  let at = 0;
  for (const view of views) {
    target.set(view, at);
    at += view.length;
  }
  return target;
}

/** Bitmaps may start anywhere within a byte (`offset`), so bits are copied one by one; an absent one means all set. */
function concatBits(
  parts: readonly Data[],
  length: number,
  bitsOf: (part: Data) => Uint8Array | undefined,
): Uint8Array {
  const target = new Uint8Array(((length + 63) >> 6) << 3);
  let at = 0;
  for (const part of parts) {
    const bits = bitsOf(part);
    for (let i = 0; i < part.length; i++, at++) {
      const from = part.offset + i;
      if (bits === undefined || (bits[from >> 3]! >> (from & 7)) & 1) target[at >> 3]! |= 1 << (at & 7);
    }
  }
  return target;
}
