/**
 * Reads the metadata of an encapsulated Arrow IPC message: marker, size, flatbuffer, body.
 *
 * apache-arrow's own reader follows the counts it finds, so a damaged byte can make it build millions of objects.
 * Here every read is bounds-checked by `DataView`, and no count is followed before it is known to fit.
 *
 * Invariants:
 *   M1  The work is bounded by the bytes there are.
 *   M2  A schema that passes `checkSchema` can be handed to apache-arrow's reader.
 *
 * Source: Arrow columnar format 1.5, "Encapsulated message format"; Message.fbs and Schema.fbs; flatbuffers internals.
 */
import { MillraceError } from "../base/errors.js";

/** FF FF FF FF, as a signed number. */
const CONTINUATION = -1;
const PREFIX_BYTES = 8;
const VERSION_V4 = 3;
const VERSION_V5 = 4;
const SCHEMA = 1;
const RECORD_BATCH = 3;

/** Key of a batch's lineage in the metadata of its message; see `types/lineage.ts`. */
export const LINEAGE_KEY = "millrace.lineage";
/** Ours comes first; a message with more entries than that is read as one without. */
const ENTRIES_MAX = 16;

export interface BatchMetadata {
  readonly rows: number;
  /** Per field, depth first: pairs of its length and its nulls. */
  readonly nodes: readonly number[];
  /** Of the message: where its rows come from; empty: it does not say. */
  readonly lineage: string;
  /** Pairs of offset and length, each within the body. */
  readonly buffers: readonly number[];
  /** Where the body begins in the message. */
  readonly body: number;
}

/** @param nodes, buffers  how many the schema needs: a message with other counts is refused unread */
export function readBatchMetadata(bytes: Uint8Array, nodes: number, buffers: number): BatchMetadata {
  return guarded(() => {
    const { message, header, body } = open(bytes, RECORD_BATCH, "record batch");
    if (header.slot(3) !== 0) throw broken("its body is compressed, which is not supported");
    const spans = header.pairs(2, buffers);
    for (let i = 0; i < spans.length; i += 2) {
      const [offset, length] = [spans[i]!, spans[i + 1]!];
      if (offset < 0 || length < 0 || offset > bytes.length - body - length) {
        throw broken("a buffer lies outside of it");
      }
    }
    return {
      rows: header.long(0),
      nodes: header.pairs(1, nodes),
      lineage: message.entry(4, LINEAGE_KEY),
      buffers: spans,
      body,
    };
  });
}

/** Where the numbers and the lineage of a record batch message are. */
export interface Places {
  readonly rows: number;
  readonly nodes: number;
  readonly buffers: number;
  readonly bodyBytes: number;
  /** 0: it has none. */
  readonly lineage: number;
}

export function placesIn(message: Uint8Array): Places {
  const { message: root, header } = open(message, RECORD_BATCH, "record batch");
  const entry = root.tables(4)[0];
  return {
    rows: PREFIX_BYTES + header.slot(0),
    nodes: PREFIX_BYTES + header.start(1),
    buffers: PREFIX_BYTES + header.start(2),
    bodyBytes: PREFIX_BYTES + root.slot(3),
    lineage: entry === undefined ? 0 : PREFIX_BYTES + entry.start(1),
  };
}

/** Continuation marker, size, flatbuffer, padding to a multiple of 8 bytes. */
export function encapsulated(flatbuffer: Uint8Array): Uint8Array {
  const size = (flatbuffer.length + 7) & ~7;
  const bytes = new Uint8Array(PREFIX_BYTES + size);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, CONTINUATION, true);
  view.setInt32(4, size, true);
  bytes.set(flatbuffer, PREFIX_BYTES);
  return bytes;
}

/** The flatbuffer of a schema message whose every count has been followed and found to fit (M2). */
export function checkSchema(bytes: Uint8Array): Uint8Array {
  return guarded(() => {
    const { header, body } = open(bytes, SCHEMA, "schema");
    const flatbuffer = bytes.subarray(PREFIX_BYTES, body);
    if (header.short(0) !== 0) throw broken("it is big-endian, which is not supported");
    const budget = { left: flatbuffer.length / 4 };
    countMetadata(header, 2, budget);
    checkFields(header, 1, budget);
    return flatbuffer;
  });
}

/** Two fields may point at the same children, so the count of what was visited is bounded, not the depth alone. */
function checkFields(table: Table, slot: number, budget: { left: number }): void {
  for (const field of table.tables(slot)) {
    if (--budget.left < 0) throw broken("it has more fields than bytes");
    if (field.slot(4) !== 0) throw broken("a column is dictionary-encoded, which is not supported");
    countMetadata(field, 6, budget);
    checkFields(field, 5, budget);
  }
}

function countMetadata(table: Table, slot: number, budget: { left: number }): void {
  budget.left -= table.count(slot);
  if (budget.left < 0) throw broken("it has more metadata than bytes");
}

interface Message {
  readonly message: Table;
  readonly header: Table;
  /** Where the body begins. */
  readonly body: number;
}

function open(bytes: Uint8Array, type: number, what: string): Message {
  if (bytes.length < PREFIX_BYTES || int(bytes, 0) !== CONTINUATION) throw broken("it does not begin with FF FF FF FF");
  const size = int(bytes, 4);
  if (size <= 0 || size > bytes.length - PREFIX_BYTES) throw broken("its metadata is cut short");
  const message = Table.root(new DataView(bytes.buffer, bytes.byteOffset + PREFIX_BYTES, size));
  const version = message.short(0);
  if (version !== VERSION_V4 && version !== VERSION_V5) throw broken("its metadata version is not 4 or 5");
  if (message.byte(1) !== type) throw broken(`it is not a ${what}`);
  const bodyBytes = message.long(3);
  const body = PREFIX_BYTES + size;
  if (bodyBytes !== bytes.length - body) throw broken(`its body should have ${bodyBytes} bytes`);
  return { message, header: message.table(2), body };
}

function int(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** A flatbuffers table. Slots are numbered as in the `.fbs` file; one that is absent has its type's zero. */
class Table {
  private constructor(
    private readonly view: DataView,
    private readonly at: number,
  ) {}

  static root(view: DataView): Table {
    return new Table(view, view.getUint32(0, true));
  }

  /** Where the slot's value is; 0: absent. */
  slot(index: number): number {
    const vtable = this.at - this.view.getInt32(this.at, true);
    const entry = 4 + 2 * index;
    if (entry >= this.view.getUint16(vtable, true)) return 0;
    const offset = this.view.getUint16(vtable + entry, true);
    return offset === 0 ? 0 : this.at + offset;
  }

  byte(index: number): number {
    const at = this.slot(index);
    return at === 0 ? 0 : this.view.getUint8(at);
  }

  short(index: number): number {
    const at = this.slot(index);
    return at === 0 ? 0 : this.view.getInt16(at, true);
  }

  long(index: number): number {
    const at = this.slot(index);
    return at === 0 ? 0 : this.longAt(at);
  }

  table(index: number): Table {
    const at = this.slot(index);
    if (at === 0) throw broken("a part of its metadata is missing");
    return this.follow(at);
  }

  tables(index: number): Table[] {
    const { start, count } = this.vector(index, 4);
    return Array.from({ length: count }, (_, i) => this.follow(start + 4 * i));
  }

  /** Value of a key among the first of a table of keys and values; empty: it is not there. */
  entry(index: number, key: string): string {
    for (const pair of this.tables(index).slice(0, ENTRIES_MAX)) if (pair.text(0) === key) return pair.text(1);
    return "";
  }

  text(index: number): string {
    const { start, count } = this.vector(index, 1);
    return Buffer.from(this.view.buffer, this.view.byteOffset + start, count).toString("utf8");
  }

  count(index: number): number {
    return this.vector(index, 4).count;
  }

  /** Exactly `expected` pairs of longs. */
  pairs(index: number, expected: number): number[] {
    const { start, count } = this.vector(index, 16);
    if (count !== expected) throw broken(`it describes ${count} parts where its schema has ${expected}`);
    const longs: number[] = [];
    for (let i = 0; i < 2 * count; i++) longs.push(this.longAt(start + 8 * i));
    return longs;
  }

  /** Where the first of a vector's items, or of a text's bytes, is. */
  start(index: number): number {
    return this.vector(index, 1).start;
  }

  /** Exact up to 2^53, and close enough above: more than that is only ever compared with a bound. */
  private longAt(at: number): number {
    return this.view.getInt32(at + 4, true) * 2 ** 32 + this.view.getUint32(at, true);
  }

  private follow(at: number): Table {
    return new Table(this.view, at + this.view.getUint32(at, true));
  }

  private vector(index: number, itemBytes: number): { start: number; count: number } {
    const at = this.slot(index);
    if (at === 0) return { start: 0, count: 0 };
    const start = at + this.view.getUint32(at, true) + 4;
    const count = this.view.getUint32(start - 4, true);
    if (count > (this.view.byteLength - start) / itemBytes) throw broken(`it claims ${count} parts`);
    return { start, count };
  }
}

/** What `read` throws, as `MILL_FRAME_INVALID`: a `RangeError` is a read outside of the bytes. */
export function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (MillraceError.is(cause)) throw cause;
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new MillraceError("MILL_FRAME_INVALID", `an Arrow message is broken: ${text}.`, {}, { cause });
  }
}

export function broken(what: string): MillraceError {
  return new MillraceError("MILL_FRAME_INVALID", `an Arrow message is broken: ${what}.`);
}
