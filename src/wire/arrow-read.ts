/**
 * Builds a record batch over the buffers of a message, in place.
 *
 * Invariants:
 *   A1  Buffers are views of the message. Only one that holds numbers and lies off their alignment is copied, so the
 *       bytes of images and texts are never copied, wherever the network put them.
 *   A2  What is handed on is whole: every buffer holds as many values as its field has, and offsets ascend within the
 *       values or the child. Values themselves are not judged: a text may be no UTF-8, a timestamp outside all calendars.
 */
import { type Data, type DataType, makeData, RecordBatch, type Schema, Struct } from "apache-arrow";
import { lineageFromText, withLineage } from "../types/lineage.js";
import { type BatchMetadata, broken, guarded, readBatchMetadata } from "./arrow-message.js";
import { type LaidOut, layOut } from "./arrow-types.js";

/** @throws {MillraceError} `MILL_FRAME_INVALID`: `message` is not one record batch message of `schema` */
export function readBatch(schema: Schema, message: Uint8Array): RecordBatch {
  const { fields, nodes, buffers } = layOut(schema);
  return guarded(() => {
    const metadata = readBatchMetadata(message, nodes, buffers);
    const parts = new Parts(metadata);
    const children = fields.map((field) => read(field, parts));
    for (const child of children) {
      if (child.length !== metadata.rows) throw broken(`a column has ${child.length} rows of ${metadata.rows}`);
    }
    const length = metadata.rows;
    const data = makeData({ type: new Struct(schema.fields), length, nullCount: 0, children });
    return withLineage(new RecordBatch(schema, data), lineageFromText(metadata.lineage));
  });
}

/** Hands out nodes and buffers in the order of the fields, depth first. */
class Parts {
  #node = 0;
  #buffer = 0;

  constructor(private readonly metadata: BatchMetadata) {}

  node(): { length: number; nulls: number } {
    const node = this.metadata.nodes[this.#node++]!;
    if (node.length < 0 || node.nulls < 0 || node.nulls > node.length || node.length >= 2 ** 31) {
      throw broken(`a column claims ${node.length} values of which ${node.nulls} are null`);
    }
    return node;
  }

  /** The next buffer, at least `bytes` long, lying on a multiple of `alignment`. */
  buffer(bytes: number, alignment: number): Uint8Array {
    const { offset, length } = this.metadata.buffers[this.#buffer++]!;
    if (length < bytes) throw broken(`a buffer has ${length} bytes where its values need ${bytes}`);
    const view = this.metadata.body.subarray(offset, offset + length);
    return view.byteOffset % alignment === 0 ? plain(view) : new Uint8Array(view);
  }
}

/** Not a `Buffer`: its `slice` is a view, and Arrow expects a copy. */
function plain(view: Uint8Array): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** What `makeData` is given; its own types name one shape per Arrow type. */
interface Props {
  readonly type: DataType;
  readonly length: number;
  readonly nullCount: number;
  readonly nullBitmap?: Uint8Array;
}

function read(field: LaidOut, parts: Parts): Data {
  const { length, nulls } = parts.node();
  const { type, layout } = field;
  if (layout === "null") return make({ type, length, nullCount: length }, {});
  const bitmap = parts.buffer(nulls > 0 ? (length + 7) >> 3 : 0, 1);
  // The count may be wrong; -1 has it counted from the bitmap when it is first needed.
  const props: Props = nulls > 0 ? { type, length, nullCount: -1, nullBitmap: bitmap } : { type, length, nullCount: 0 };
  switch (layout) {
    case "bool":
      return make(props, { data: parts.buffer((length + 7) >> 3, 1) });
    case "fixed":
      return readFixed(props, parts);
    case "variable": {
      const { valueOffsets, end } = readOffsets(type, length, parts);
      return make(props, { valueOffsets, data: parts.buffer(end, 1) });
    }
    case "list": {
      const { valueOffsets, end } = readOffsets(type, length, parts);
      return make(props, { valueOffsets, child: readChild(field.children[0], end, parts) });
    }
    case "nested":
      return readNested(field, props, parts);
  }
}

function make(props: Props, buffers: object): Data {
  return makeData({ ...props, ...buffers } as unknown as Parameters<typeof makeData>[0]) as Data;
}

function readFixed(props: Props, parts: Parts): Data {
  const alignment = (props.type.ArrayType as { BYTES_PER_ELEMENT: number }).BYTES_PER_ELEMENT;
  const data = make(props, { data: parts.buffer(0, alignment) });
  const values = data.values as { readonly length: number };
  if (values.length < props.length * data.stride) {
    throw broken(`a buffer has ${values.length} numbers where its values need ${props.length * data.stride}`);
  }
  return data;
}

function readNested(field: LaidOut, props: Props, parts: Parts): Data {
  const listSize = (props.type as { listSize?: number }).listSize;
  if (listSize !== undefined)
    return make(props, { child: readChild(field.children[0], props.length * listSize, parts) });
  return make(props, { children: field.children.map((child) => readChild(child, props.length, parts)) });
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
