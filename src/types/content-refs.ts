/** What can be said of references without reading: parts of them, and which owned content a batch refers to. */
import type { Data, RecordBatch } from "apache-arrow";
import { Type } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { extensionOf } from "./column-type.js";
import { span } from "./concat.js";
import { type Content, isContentType, type ObjectRef } from "./content-types.js";

/** In place of a hash: not known, and the object goes on behind the content. Needed where a part begins at its object's first byte. */
const PART = "-";

const HASH = /^[0-9a-f]{64}$/;

/** The SHA-256 of what the reference denotes; undefined: not known. */
export function hashOf({ sha256 }: Pick<ObjectRef, "sha256">): string | undefined {
  return HASH.test(sha256) ? sha256 : undefined;
}

/** Whether a larger object than the reference says is one that has grown. */
export function isWhole({ offset, sha256 }: Pick<ObjectRef, "offset" | "sha256">): boolean {
  return offset === 0n && sha256 !== PART;
}

export interface ContentRange {
  /** First byte, 0-based, within the content. */
  readonly offset: bigint | number;
  readonly length: bigint | number;
}

export function sliceContent(value: Content, range: ContentRange): Content;
export function sliceContent(value: ObjectRef, range: ContentRange): ObjectRef;
/**
 * A part of the content, without reading it. Its hash and its media type are not known: a part of a PNG is none.
 * @throws {MillraceError} `MILL_RECORD_INVALID`: the part is not within the content
 */
export function sliceContent(value: ObjectRef | Content, range: ContentRange): ObjectRef | Content {
  const [from, length] = [BigInt(range.offset), BigInt(range.length)];
  const outside = value.sizeBytes >= 0n && from + length > value.sizeBytes;
  if (from < 0n || length < 0n || outside) {
    const size = value.sizeBytes < 0n ? "of unknown size" : `of ${value.sizeBytes} bytes`;
    throw new MillraceError(
      "MILL_RECORD_INVALID",
      `${length} bytes from byte ${from} on are no part of the content ${size} at ${value.uri === "" ? "hand" : value.uri}.`,
      { uri: value.uri, offset: from, length },
    );
  }
  const part = { ...value, offset: value.offset + from, sizeBytes: length, sha256: "", mediaType: "" };
  if ("bytes" in value && value.bytes !== null) {
    return { ...part, offset: 0n, bytes: value.bytes.subarray(Number(from), Number(from + length)) };
  }
  const atStart = part.offset === 0n && length !== value.sizeBytes;
  return atStart || (part.offset === 0n && value.sha256 === PART) ? { ...part, sha256: PART } : part;
}

/**
 * SHA-256 of the owned content that the batch refers to: object references and content columns at any depth.
 * @param prefix that addresses of owned content begin with, up to the hash
 */
export function ownedContentOf(batch: RecordBatch, prefix: string): string[] {
  const found = new Set<string>();
  for (const [i, field] of batch.schema.fields.entries()) collect(batch.data.children[i]!, field, prefix, found);
  return [...found];
}

type FieldLike = RecordBatch["schema"]["fields"][number];

/** Whether values of the column may refer to content: what `ownedContentOf` looks at. */
export function holdsContent(field: FieldLike): boolean {
  if (isContentType(field) || extensionOf(field) === "millrace.object_ref") return true;
  const { typeId } = field.type;
  if (typeId !== Type.List && typeId !== Type.Struct) return false;
  return (field.type.children as FieldLike[]).some(holdsContent);
}

function collect(data: Data, field: FieldLike, prefix: string, found: Set<string>): void {
  const children = (data.type.children ?? []) as FieldLike[];
  if (isContentType(field) || extensionOf(field) === "millrace.object_ref") {
    collectUris(data.children[children.findIndex(({ name }) => name === "uri")]!, prefix, found);
    return;
  }
  if (data.typeId === Type.List) collect(data.children[0]!.slice(...span(data)), children[0]!, prefix, found);
  else if (data.typeId === Type.Struct) {
    for (const [i, child] of children.entries()) collect(data.children[i]!, child, prefix, found);
  }
}

/** Compared as bytes: most values of most batches are no addresses of ours, and need not become texts. */
function collectUris(data: Data, prefix: string, found: Set<string>): void {
  const wanted = Buffer.from(prefix);
  const values = data.values as Uint8Array;
  for (let row = 0; row < data.length; row++) {
    const [start, end] = [data.valueOffsets[row]!, data.valueOffsets[row + 1]!];
    if (end - start !== wanted.length + 64) continue;
    if (wanted.compare(values, start, start + wanted.length) !== 0) continue;
    const hash = Buffer.from(values.buffer, values.byteOffset + start + wanted.length, 64).toString("latin1");
    if (HASH.test(hash)) found.add(hash);
  }
}
