/**
 * The payload of a frame: one encapsulated Arrow IPC record batch message, as in an IPC stream without its schema and
 * end. The schema is a message of its own, which travels once and is named by its id after that.
 *
 * Uses apache-arrow's own assembler (its stream writer would write the schema each time); reading is `arrow-read.ts`.
 * Invariants:
 *   P1  Encoding copies nothing but what slicing forces (offsets, bitmaps): the pieces are views of the batch.
 *   P2  A slice of a batch sends its own rows only.
 *   P3  A column of a type that `arrow-types.ts` does not list is refused with its name.
 */
import { createHash } from "node:crypto";
import { Message, type RecordBatch, Schema } from "apache-arrow";
import { RecordBatch as BatchHeader, BufferRegion, FieldNode } from "apache-arrow/ipc/metadata/message";
import { VectorAssembler } from "apache-arrow/visitor/vectorassembler";
import { MillraceError } from "../base/errors.js";
import { lineageOf, lineageText } from "../types/lineage.js";
import { broken, checkSchema, guarded, LINEAGE_KEY } from "./arrow-message.js";
import { readBatch } from "./arrow-read.js";
import { type LaidOutSchema, layOut } from "./arrow-types.js";
import type { SchemaFields } from "./frames.js";

const PADDING = new Uint8Array(8);

/**
 * @returns pieces of one record batch message, to be laid down one after another; views of the batch's own buffers
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a column has a type that is not sent
 */
export function encodeBatch(batch: RecordBatch): Uint8Array[] {
  const laidOut = layOut(batch.schema);
  if (batch.numRows === 0) return [withoutRows(laidOut)];
  const { byteLength, nodes, bufferRegions, buffers } = VectorAssembler.assemble(batch);
  const header = new BatchHeader(batch.numRows, nodes, bufferRegions, null, [], metadataOf(batch));
  const pieces = [encapsulated(Message.encode(Message.from(header, byteLength)))];
  for (const buffer of buffers) {
    if (buffer.byteLength === 0) continue;
    pieces.push(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength));
    const padding = -buffer.byteLength & 7;
    if (padding > 0) pieces.push(PADDING.subarray(0, padding));
  }
  return pieces;
}

function metadataOf(batch: RecordBatch): Map<string, string> | undefined {
  const lineage = lineageOf(batch);
  return lineage && new Map([[LINEAGE_KEY, lineageText(lineage)]]);
}

/** The columns of an empty batch may lack offsets and children, which the assembler expects. */
function withoutRows({ nodes, buffers }: LaidOutSchema): Uint8Array {
  const noNodes = Array.from({ length: nodes }, () => new FieldNode(0, 0));
  const noBuffers = Array.from({ length: buffers }, () => new BufferRegion(0, 0));
  return encapsulated(Message.encode(Message.from(new BatchHeader(0, noNodes, noBuffers, null))));
}

/**
 * @param payload  one record batch message; the batch keeps views of it
 * @throws {MillraceError} `MILL_FRAME_INVALID`: it is broken, or of another schema
 */
export function decodeBatch(schema: Schema, payload: Uint8Array): RecordBatch {
  return readBatch(schema, payload);
}

/** @throws {MillraceError} `MILL_RECORD_INVALID`: a column has a type that is not sent */
export function encodeSchema(schema: Schema): Uint8Array {
  layOut(schema);
  return encapsulated(Message.encode(Message.from(schema)));
}

/** @throws {MillraceError} `MILL_FRAME_INVALID` */
export function decodeSchema(message: Uint8Array): Schema {
  const flatbuffer = checkSchema(message);
  return guarded(() => {
    const schema: unknown = Message.decode(flatbuffer).header();
    if (!(schema instanceof Schema)) throw broken("it is not a schema");
    refuseWhatIsNotSent(schema);
    return schema;
  });
}

/** Here it is the sender's mistake, not the user's. */
function refuseWhatIsNotSent(schema: Schema): void {
  try {
    layOut(schema);
  } catch (cause) {
    throw MillraceError.is(cause)
      ? new MillraceError("MILL_FRAME_INVALID", cause.message, cause.facts, { cause })
      : cause;
  }
}

/** Names a schema: the first 8 bytes of the SHA-256 of its message. */
export function schemaId(schemaMessage: Uint8Array): Uint8Array {
  return createHash("sha256").update(schemaMessage).digest().subarray(0, 8);
}

/** Sends a schema once: spelt out in the first frame, named after that. */
export class SchemaSender {
  #message: Uint8Array;
  #id: Uint8Array;
  #sent = false;

  constructor(schema: Schema) {
    this.#message = encodeSchema(schema);
    this.#id = schemaId(this.#message);
  }

  next(): SchemaFields {
    const schema = this.#sent ? null : this.#message;
    this.#sent = true;
    return { schemaId: this.#id, schema };
  }
}

/** Keeps the schemas that came spelt out, and finds them by name after that. */
export class SchemaReceiver {
  #known = new Map<string, Schema>();

  /**
   * @throws {MillraceError} `MILL_FRAME_UNKNOWN_SCHEMA`: a name that was never spelt out; `MILL_FRAME_INVALID`: a
   *   schema that is broken, or that the name does not fit
   */
  accept(fields: SchemaFields): Schema {
    const name = Buffer.from(fields.schemaId).toString("hex");
    if (fields.schema !== null && !this.#known.has(name)) this.#known.set(name, named(name, fields.schema));
    const schema = this.#known.get(name);
    if (schema !== undefined) return schema;
    throw new MillraceError(
      "MILL_FRAME_UNKNOWN_SCHEMA",
      `the Arrow schema ${name} was not sent before it was used. The first frame of a channel must spell it out.`,
      { schema: name },
    );
  }
}

function named(name: string, message: Uint8Array): Schema {
  const actual = Buffer.from(schemaId(message)).toString("hex");
  if (actual !== name) throw broken(`a schema was sent as ${name}, but its bytes have the id ${actual}`);
  return decodeSchema(message);
}

/** Continuation marker, size, flatbuffer, padding to a multiple of 8 bytes. */
function encapsulated(flatbuffer: Uint8Array): Uint8Array {
  const size = (flatbuffer.length + 7) & ~7;
  const bytes = new Uint8Array(8 + size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0xffffffff, true);
  view.setInt32(4, size, true);
  bytes.set(flatbuffer, 8);
  return bytes;
}
