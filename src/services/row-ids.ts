/**
 * Ids of rows as they travel: 16 bytes each, one after another. In memory an id is a string of 16 characters, one for each byte,
 * which a map finds faster than bytes.
 */
import { createHash, type Hash } from "node:crypto";
import { type Data, type Field, type RecordBatch, Type, Vector } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { contentColumns, isContentType } from "../types/content-types.js";
import type { Lineage } from "../types/lineage.js";

const BYTES = 16;

/** @throws {MillraceError} `MILL_FRAME_INVALID` */
export function idsOf(bytes: Uint8Array): string[] {
  if (bytes.length % BYTES !== 0) {
    throw new MillraceError("MILL_FRAME_INVALID", `ids of rows have ${bytes.length} bytes; each has ${BYTES}.`);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  if (text.length === BYTES) return [text];
  return Array.from({ length: bytes.length / BYTES }, (_, i) => text.slice(i * BYTES, (i + 1) * BYTES));
}

export function idBytes(ids: readonly string[]): Uint8Array {
  return Buffer.from(ids.join(""), "latin1");
}

/**
 * The id of each row that an operator asks about: the same when the same row is made again, another for another row,
 * also where that has the same content.
 *
 * @param rows the rows as they are sent
 * @param lineage where they come from
 */
export function rowIdsOf(operator: string, rows: RecordBatch, { origin, first }: Lineage): string[] {
  return Array.from({ length: rows.numRows }, (_, row) => {
    const hash = createHash("sha256").update(`${operator}\n${origin}\n${first < 0 ? "" : first + row}\n`);
    for (const [i, column] of rows.data.children.entries()) hashValue(hash, rows.schema.fields[i]!, column, row);
    return hash.digest().toString("latin1", 0, BYTES);
  });
}

/** What is in each row, whoever asks about it: for services that share the answers of equal rows. */
export function contentIdsOf(service: string, rows: RecordBatch): string[] {
  return rowIdsOf(service, rows, ANYWHERE);
}

/** No lineage is like this. */
const ANYWHERE: Lineage = { origin: "\0anywhere", first: -1 };

const NULL = Uint8Array.of(0);
const VALUE = Uint8Array.of(1);

/** Every value says how long it is, so that neighbours cannot be exchanged. */
function hashValue(hash: Hash, field: Field, data: Data, row: number): void {
  if (data.nullCount > 0 && !data.getValid(row)) {
    hash.update(NULL);
    return;
  }
  hash.update(VALUE);
  switch (data.typeId) {
    case Type.Struct: {
      const first = isContentType(field) && hashContent(hash, data, row) ? CONTENT_COLUMNS : 0;
      for (let i = first; i < data.children.length; i++) hashValue(hash, partOf(data, i), data.children[i]!, row);
      return;
    }
    case Type.List: {
      const [from, to] = [Number(data.valueOffsets[row]), Number(data.valueOffsets[row + 1])];
      hash.update(`${to - from}\n`);
      hashElements(hash, partOf(data, 0), data.children[0]!, from, to);
      return;
    }
    case Type.FixedSizeList:
      hashElements(hash, partOf(data, 0), data.children[0]!, row * data.stride, (row + 1) * data.stride);
      return;
    case Type.Utf8:
    case Type.Binary: {
      const bytes = bytesOf(data, row);
      hash.update(`${bytes.length}\n`).update(bytes);
      return;
    }
    case Type.Int:
    case Type.Float:
    case Type.Timestamp:
      hash.update(numberBytes(data, row, row + 1));
      return;
    default:
      hash.update(`${String(new Vector([data]).get(row))}\n`);
  }
}

function partOf(data: Data, i: number): Field {
  return data.type.children[i] as Field;
}

function hashElements(hash: Hash, field: Field, data: Data, from: number, to: number): void {
  const atOnce = (data.typeId === Type.Int || data.typeId === Type.Float) && !hasNulls(data, from, to);
  hash.update(atOnce ? VALUE : NULL);
  if (atOnce) hash.update(numberBytes(data, from, to));
  else for (let i = from; i < to; i++) hashValue(hash, field, data, i);
}

function hasNulls(data: Data, from: number, to: number): boolean {
  if (data.nullCount === 0) return false;
  for (let i = from; i < to; i++) if (!data.getValid(i)) return true;
  return false;
}

function bytesOf(data: Data, row: number): Uint8Array {
  return (data.values as Uint8Array).subarray(Number(data.valueOffsets[row]), Number(data.valueOffsets[row + 1]));
}

function numberBytes(data: Data, from: number, to: number): Uint8Array {
  const { BYTES_PER_ELEMENT: size, byteOffset, buffer } = data.values as Uint8Array;
  const each = size * data.stride;
  return new Uint8Array(buffer, byteOffset + from * each, (to - from) * each);
}

/** What has another length says that none is known. */
const SHA256_DIGITS = 64;

const CONTENT_COLUMNS = Object.keys(contentColumns).length;
/** In the order of `contentColumns`. */
type ContentParts = [uri: Data, offset: Data, sizeBytes: Data, sha256: Data, mediaType: Data, bytes: Data];

/**
 * By what the content is and not by where it lies, so that a row is the same before its bytes are moved out and after.
 * @returns whether that can be said: without bytes or their SHA-256 it cannot
 */
function hashContent(hash: Hash, data: Data, row: number): boolean {
  const [, offset, sizeBytes, sha256, mediaType, bytes] = data.children as ContentParts;
  let digest = bytesOf(sha256, row);
  if (digest.length !== SHA256_DIGITS) {
    if (!bytes.getValid(row)) return false;
    digest = Buffer.from(createHash("sha256").update(bytesOf(bytes, row)).digest("hex"));
  }
  const type = bytesOf(mediaType, row);
  hash
    .update(digest)
    .update(numberBytes(offset, row, row + 1))
    .update(numberBytes(sizeBytes, row, row + 1));
  hash.update(`${type.length}\n`).update(type);
  return true;
}
