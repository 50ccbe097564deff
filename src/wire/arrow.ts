/**
 * The payload of a frame: one encapsulated Arrow IPC record batch message, as in an IPC stream without its schema and
 * end. The schema is a message of its own, which travels once and is named by its id after that.
 *
 * Writing is `arrow-write.ts` (the body) and `arrow-head.ts`, reading is `arrow-read.ts`.
 * Invariants:
 *   P1  Encoding copies nothing but what slicing forces (offsets, bitmaps): the pieces are views of the batch.
 *   P2  A slice of a batch sends its own rows only.
 *   P3  A column of a type that `arrow-types.ts` does not list is refused with its name.
 */
import { createHash } from "node:crypto";
import { Message, type RecordBatch, Schema } from "apache-arrow";
import { RecordBatch as BatchHeader, BufferRegion, FieldNode } from "apache-arrow/ipc/metadata/message";
import { MillraceError } from "../base/errors.js";
import { lineageOf, lineageText } from "../types/lineage.js";
import { batchHead } from "./arrow-head.js";
import { broken, checkSchema, encapsulated, guarded } from "./arrow-message.js";
import { readBatch } from "./arrow-read.js";
import { type LaidOutSchema, layOut } from "./arrow-types.js";
import { BatchBody } from "./arrow-write.js";
import type { SchemaFields } from "./frames.js";

/**
 * @returns pieces of one record batch message, to be laid down one after another; views of the batch's own buffers
 * @throws {MillraceError} `MILL_RECORD_INVALID`: a column has a type that is not sent
 */
export function encodeBatch(batch: RecordBatch): Uint8Array[] {
  if (batch.numRows === 0) return [withoutRows(layOut(batch.schema))];
  const body = new BatchBody();
  for (const column of batch.data.children) if (!body.add(column)) throw notSent(batch.schema);
  const lineage = lineageOf(batch);
  const head = batchHead({
    rows: batch.numRows,
    nodes: body.nodes,
    buffers: body.buffers,
    bodyBytes: body.bytes,
    lineage: lineage === undefined ? "" : lineageText(lineage),
  });
  body.pieces.unshift(head);
  return body.pieces;
}

/** P3 */
function notSent(schema: Schema): Error {
  layOut(schema);
  return new MillraceError("MILL_RECORD_INVALID", "a column has another Arrow type than its schema says.");
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
