/**
 * The metadata of a record batch message, from a form for messages that have as many fields, buffers and bytes of lineage.
 *
 * Such messages differ in a few numbers only, each at the same place. apache-arrow builds the first; the others are copies of it with their
 * own numbers, byte for byte what it would have built.
 */
import { Message } from "apache-arrow";
import { RecordBatch as BatchHeader, BufferRegion, FieldNode } from "apache-arrow/ipc/metadata/message";
import { encapsulated, LINEAGE_KEY, type Places, placesIn } from "./arrow-message.js";

interface Form {
  readonly bytes: Uint8Array;
  readonly places: Places;
}

export interface Head {
  readonly rows: number;
  /** Pairs of length and nulls. */
  readonly nodes: readonly number[];
  /** Pairs of offset and length. */
  readonly buffers: readonly number[];
  readonly bodyBytes: number;
  /** Empty: none. */
  readonly lineage: string;
}

/** Few in all: a job has few shapes of rows, and lineages are short. */
const FORMS_MAX = 1_024;
const forms = new Map<number, Form>();

export function batchHead({ rows, nodes, buffers, bodyBytes, lineage }: Head): Uint8Array {
  const { bytes, places } = formOf(nodes.length / 2, buffers.length / 2, Buffer.byteLength(lineage));
  const head = Buffer.allocUnsafe(bytes.length);
  head.set(bytes);
  putLong(head, places.rows, rows);
  putLong(head, places.bodyBytes, bodyBytes);
  for (let i = 0; i < nodes.length; i++) putLong(head, places.nodes + 8 * i, nodes[i]!);
  for (let i = 0; i < buffers.length; i++) putLong(head, places.buffers + 8 * i, buffers[i]!);
  if (lineage !== "") head.write(lineage, places.lineage, "utf8");
  return head;
}

function formOf(nodes: number, buffers: number, lineageBytes: number): Form {
  const key = (nodes * 65_536 + buffers) * 65_536 + lineageBytes;
  const known = forms.get(key);
  if (known !== undefined) return known;
  if (forms.size >= FORMS_MAX) forms.clear();
  const form = makeForm(nodes, buffers, lineageBytes);
  forms.set(key, form);
  return form;
}

/** Nowhere zero: a zero is left out, and there would be no place for another number. */
function makeForm(nodes: number, buffers: number, lineageBytes: number): Form {
  const someNodes = Array.from({ length: nodes }, () => new FieldNode(1, 1));
  const someBuffers = Array.from({ length: buffers }, () => new BufferRegion(8, 8));
  const metadata = lineageBytes === 0 ? undefined : new Map([[LINEAGE_KEY, "x".repeat(lineageBytes)]]);
  const body = new Uint8Array(8);
  const header = new BatchHeader(1, someNodes, someBuffers, null, [], metadata);
  const bytes = encapsulated(Message.encode(Message.from(header, body.length)));
  return { bytes, places: placesIn(Buffer.concat([bytes, body])) };
}

function putLong(bytes: Uint8Array, at: number, value: number): void {
  putInt(bytes, at, value);
  putInt(bytes, at + 4, Math.floor(value / 2 ** 32));
}

function putInt(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
