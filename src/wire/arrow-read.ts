/**
 * Builds a record batch over the buffers of a message, in place.
 *
 * Invariants:
 *   A1  Buffers are views of the message. Only one that holds numbers and lies off their alignment is copied, so the
 *       bytes of images and texts are never copied, wherever the network put them.
 *   A2  What is handed on is whole: every buffer holds as many values as its field has, and offsets ascend within the
 *       values or the child. Values themselves are not judged: a text may be no UTF-8, a timestamp outside all calendars.
 */
import { Data, type DataType, type RecordBatch, type Schema } from "apache-arrow";
import { lineageFromText, withLineage } from "../types/lineage.js";
import { NO_NULLS, recordBatch } from "../types/record-batch.js";
import { type BatchMetadata, broken, guarded, readBatchMetadata } from "./arrow-message.js";
import { type LaidOut, layOut } from "./arrow-types.js";

/** @throws {MillraceError} `MILL_FRAME_INVALID`: `message` is not one record batch message of `schema` */
export function readBatch(schema: Schema, message: Uint8Array): RecordBatch {
  const { fields, nodes, buffers } = layOut(schema);
  return guarded(() => {
    const metadata = readBatchMetadata(message, nodes, buffers);
    const { rows, lineage } = metadata;
    const parts = new Parts(message, metadata);
    const children: Data[] = [];
    for (const field of fields) {
      const child = read(field, parts);
      if (child.length !== rows) throw broken(`a column has ${child.length} rows of ${rows}`);
      children.push(child);
    }
    const batch = recordBatch(schema, children, rows);
    return lineage === "" ? batch : withLineage(batch, lineageFromText(lineage));
  });
}

/** Hands out nodes and buffers in the order of the fields, depth first. */
class Parts {
  #node = 0;
  #buffer = 0;

  constructor(
    private readonly message: Uint8Array,
    private readonly metadata: BatchMetadata,
  ) {}

  node(): { length: number; nulls: number } {
    const { nodes } = this.metadata;
    const [length, nulls] = [nodes[this.#node++]!, nodes[this.#node++]!];
    if (length < 0 || nulls < 0 || nulls > length || length >= 2 ** 31) {
      throw broken(`a column claims ${length} values of which ${nulls} are null`);
    }
    return { length, nulls };
  }

  /** The next buffer, at least `bytes` long, lying on a multiple of `alignment`. Not a `Buffer`: its `slice` is a view, and Arrow expects a copy. */
  buffer(bytes: number, alignment: number): Uint8Array {
    const { buffers, body } = this.metadata;
    const [offset, length] = [buffers[this.#buffer++]!, buffers[this.#buffer++]!];
    if (length < bytes) throw broken(`a buffer has ${length} bytes where its values need ${bytes}`);
    const { buffer, byteOffset } = this.message;
    const view = new Uint8Array(buffer, byteOffset + body + offset, length);
    return view.byteOffset % alignment === 0 ? view : new Uint8Array(view);
  }
}

function read(field: LaidOut, parts: Parts): Data {
  const { length, nulls } = parts.node();
  const { type, layout } = field;
  if (layout === "null") return new Data(type, 0, length, length);
  const bitmap = parts.buffer(nulls > 0 ? (length + 7) >> 3 : 0, 1);
  // The count may be wrong; -1 has it counted from the bitmap when it is first needed.
  const make = (offsets: Offsets | undefined, values: ArrayBufferView | undefined, children?: Data[]): Data =>
    new Data(type, 0, length, nulls > 0 ? -1 : 0, [offsets, values, nulls > 0 ? bitmap : NO_NULLS] as never, children);
  switch (layout) {
    case "bool":
      return make(undefined, parts.buffer((length + 7) >> 3, 1));
    case "fixed": {
      const data = make(undefined, numbersOf(type, parts));
      const values = data.values as { readonly length: number };
      if (values.length >= length * data.stride) return data;
      throw broken(`a buffer has ${values.length} numbers where its values need ${length * data.stride}`);
    }
    case "variable": {
      const { valueOffsets, end } = readOffsets(type, length, parts);
      return make(valueOffsets, parts.buffer(end, 1));
    }
    case "list": {
      const { valueOffsets, end } = readOffsets(type, length, parts);
      return make(valueOffsets, undefined, [readChild(field.children[0], end, parts)]);
    }
    case "nested": {
      const values = length * ((type as { listSize?: number }).listSize ?? 1);
      return make(
        undefined,
        undefined,
        field.children.map((child) => readChild(child, values, parts)),
      );
    }
  }
}

function numbersOf(type: DataType, parts: Parts): ArrayBufferView {
  const Numbers = type.ArrayType as unknown as typeof Float64Array;
  const width = Numbers.BYTES_PER_ELEMENT;
  const bytes = parts.buffer(0, width);
  return new Numbers(bytes.buffer as ArrayBuffer, bytes.byteOffset, Math.floor(bytes.byteLength / width));
}

function readChild(child: LaidOut | undefined, valuesMin: number, parts: Parts): Data {
  if (child === undefined) throw broken("a list has no type of item");
  const data = read(child, parts);
  if (data.length < valuesMin) throw broken(`a column has ${data.length} values where its parent needs ${valuesMin}`);
  return data;
}

type Offsets = Int32Array | BigInt64Array;

/** Offsets that ascend from 0 or above; `end` is the last. A column without rows may have no offset at all. */
function readOffsets(type: DataType, length: number, parts: Parts): { valueOffsets: Offsets; end: number } {
  const Kind = type.OffsetArrayType as typeof Int32Array | typeof BigInt64Array;
  const width = Kind.BYTES_PER_ELEMENT;
  const bytes = parts.buffer(length === 0 ? 0 : (length + 1) * width, width);
  if (length === 0) return { valueOffsets: new Kind(1), end: 0 };
  const valueOffsets = new Kind(bytes.buffer as ArrayBuffer, bytes.byteOffset, length + 1);
  let last = valueOffsets[0]!;
  if (last < 0) throw broken("an offset is negative");
  for (let i = 1; i <= length; i++) {
    const offset = valueOffsets[i]!;
    if (offset < last) throw broken(`offset ${i} of a column lies before the one in front of it`);
    last = offset;
  }
  return { valueOffsets, end: Number(last) };
}
