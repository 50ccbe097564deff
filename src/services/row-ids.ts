/**
 * Ids of rows as they travel: 16 bytes each, one after another. In memory an id is a string of 16 characters, one for each byte,
 * which a map finds faster than bytes.
 */
import { createHash, type Hash } from "node:crypto";
import { type Data, type RecordBatch, Type, Vector } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { Lineage } from "../types/lineage.js";

const BYTES = 16;

/** @throws {MillraceError} `MILL_FRAME_INVALID` */
export function idsOf(bytes: Uint8Array): string[] {
  if (bytes.length % BYTES !== 0) {
    throw new MillraceError("MILL_FRAME_INVALID", `ids of rows have ${bytes.length} bytes; each has ${BYTES}.`);
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
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
    for (const column of rows.data.children) hashValue(hash, column, row);
    return hash.digest().toString("latin1", 0, BYTES);
  });
}

const NULL = Uint8Array.of(0);
const VALUE = Uint8Array.of(1);

/** Every value says how long it is, so that neighbours cannot be exchanged. */
function hashValue(hash: Hash, data: Data, row: number): void {
  if (data.nullCount > 0 && !data.getValid(row)) {
    hash.update(NULL);
    return;
  }
  hash.update(VALUE);
  switch (data.typeId) {
    case Type.Struct:
      for (const child of data.children) hashValue(hash, child, row);
      return;
    case Type.List: {
      const [from, to] = [Number(data.valueOffsets[row]), Number(data.valueOffsets[row + 1])];
      hash.update(`${to - from}\n`);
      for (let i = from; i < to; i++) hashValue(hash, data.children[0]!, i);
      return;
    }
    case Type.Utf8:
    case Type.Binary: {
      const [from, to] = [Number(data.valueOffsets[row]), Number(data.valueOffsets[row + 1])];
      hash.update(`${to - from}\n`).update((data.values as Uint8Array).subarray(from, to));
      return;
    }
    case Type.Int:
    case Type.Float:
    case Type.Timestamp: {
      const { BYTES_PER_ELEMENT: size, byteOffset, buffer } = data.values as Uint8Array;
      const bytes = size * data.stride;
      hash.update(new Uint8Array(buffer, byteOffset + row * bytes, bytes));
      return;
    }
    default:
      hash.update(`${String(new Vector([data]).get(row))}\n`);
  }
}
