/**
 * Frames: Avro in the single-object encoding, `C3 01`, eight bytes of schema fingerprint (little-endian), body.
 * Layout and an example in hex: docs/wire-format.md.
 *
 * Invariants:
 *   F1  A frame is plain Avro of its whole schema: any Avro library reads it.
 *   F2  A payload is copied once on encode (into the frame), not at all by `pieces`, and never on decode (a view of the frame).
 *   F3  Bytes that are not a frame are refused; what is allocated until then is bounded by their number.
 *   F4  A frame over `limits.frameBytesMax`, or a header over `limits.frameHeaderBytesMax`, is neither made nor read.
 *   F5  A frame of an earlier schema of its kind is read as the current one.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { HeaderReader, HeaderWriter, TooLong } from "./header-bytes.js";
import { packageSchemas, SchemaRegistry, type SchemaVersion } from "./schema-registry.js";
import { asBuffer } from "./shape.js";
import { Cursor, Malformed } from "./skim.js";

const PREFIX_BYTES = 10;
const NOTHING = new Uint8Array(0);

export interface Decoded<Header> {
  readonly header: Header;
  /** A view of the frame's bytes, alive as long as they are; empty where the kind has no payload. */
  readonly payload: Uint8Array;
}

export interface Frame<Header> {
  readonly kind: string;
  /**
   * @param payload  one piece or several, put one behind the other; only for kinds whose schema ends with `payload`
   * @throws {MillraceError} `MILL_FRAME_INVALID`: the header does not fit the schema; `MILL_FRAME_TOO_LARGE`
   */
  encode(header: Header, payload?: Uint8Array | readonly Uint8Array[]): Uint8Array;
  /** The bytes that `encode` gives, for whoever copies them anyway: a new piece, then those of the payload, as they are. */
  pieces(header: Header, payload: readonly Uint8Array[]): readonly Uint8Array[];
  /**
   * @throws {MillraceError} `MILL_FRAME_UNKNOWN_SCHEMA`: written with a schema that this version does not know;
   *   `MILL_FRAME_INVALID`: no frame, a broken one, or one of another kind; `MILL_FRAME_TOO_LARGE`
   */
  decode(bytes: Uint8Array): Decoded<Header>;
}

/** The frames of one set of schemas; the package's own set is behind `frame`, `frameKind` and `decodeFrame`. */
export class FrameCodec {
  constructor(private readonly schemas: SchemaRegistry) {}

  frame<Header>(kind: string): Frame<Header> {
    const current = this.schemas.current(kind);
    return {
      kind,
      encode: (header, payload = []) => encode(current, header, payload instanceof Uint8Array ? [payload] : payload),
      pieces: (header, payload) => [headOf(current, header, payload, 0), ...payload],
      decode: (bytes) => {
        const version = this.#versionOf(bytes);
        if (version.kind !== kind) throw invalid(`expected a frame of kind "${kind}", got "${version.kind}"`);
        return decode(version, bytes) as Decoded<Header>;
      },
    };
  }

  /** The kind that the first ten bytes name; the rest is not looked at. */
  kind(bytes: Uint8Array): string {
    return this.#versionOf(bytes).kind;
  }

  decode(bytes: Uint8Array): Decoded<unknown> & { readonly kind: string } {
    const version = this.#versionOf(bytes);
    const { header, payload } = decode(version, bytes);
    return { kind: version.kind, header, payload };
  }

  #versionOf(bytes: Uint8Array): SchemaVersion {
    if (bytes.length < PREFIX_BYTES || bytes[0] !== 0xc3 || bytes[1] !== 0x01) {
      throw invalid("the bytes do not begin with C3 01 and a schema fingerprint. Check who publishes to this subject");
    }
    const version = this.schemas.byPrefix(bytes);
    if (version !== undefined) return version;
    const name = asBuffer(bytes).readBigUInt64LE(2).toString(16).padStart(16, "0");
    throw new MillraceError(
      "MILL_FRAME_UNKNOWN_SCHEMA",
      `no schema has the fingerprint ${name}. Update this process: the sender is probably of a newer version.`,
      { fingerprint: name },
    );
  }
}

const codec = new FrameCodec(SchemaRegistry.load(packageSchemas()));

/** The codec of one kind of frame: the name of its schema's file. `Header` is the schema's record less `payload`. */
export function frame<Header>(kind: string): Frame<Header> {
  return codec.frame(kind);
}
export const frameKind = (bytes: Uint8Array): string => codec.kind(bytes);
export const decodeFrame = (bytes: Uint8Array): Decoded<unknown> & { readonly kind: string } => codec.decode(bytes);

/** Heads are made here first, so that what holds them can be allocated once at its final size. */
const scratch = new HeaderWriter(limits.frameHeaderBytesMax + 64);

function encode(version: SchemaVersion, header: unknown, payload: readonly Uint8Array[]): Uint8Array {
  let payloadBytes = 0;
  for (const piece of payload) payloadBytes += piece.length;
  const whole = headOf(version, header, payload, payloadBytes);
  let at = whole.length - payloadBytes;
  for (const piece of payload) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Everything before the payload's first byte, and `room` bytes more. */
function headOf(version: SchemaVersion, header: unknown, payload: readonly Uint8Array[], room: number): Uint8Array {
  if (!version.hasPayload && payload.length > 0) throw invalid(`frames of kind "${version.kind}" have no payload`);
  let payloadBytes = 0;
  for (const piece of payload) payloadBytes += piece.length;
  writeHeader(version, header);
  checkHeaderSize(version.kind, scratch.length - PREFIX_BYTES);
  if (version.hasPayload) scratch.size(payloadBytes);
  checkFrameSize(version.kind, scratch.length + payloadBytes);
  const bytes = Buffer.allocUnsafe(scratch.length + room);
  scratch.copyTo(bytes);
  return bytes;
}

function writeHeader(version: SchemaVersion, header: unknown): void {
  scratch.begin(version.prefix);
  try {
    if (version.codec !== undefined) version.codec.write(scratch, header);
    else scratch.raw(version.header.toBuffer(version.shape.toAvro(header)));
  } catch (error) {
    if (error instanceof TooLong) checkHeaderSize(version.kind, error.bytes - PREFIX_BYTES);
    throw invalid(`a header of kind "${version.kind}" ${misfit(version, version.shape.toAvro(header))}`, error);
  }
}

function misfit(version: SchemaVersion, value: unknown): string {
  let where = "";
  version.header.isValid(value, {
    errorHook: (path, wrong, type) => {
      if (where === "")
        where = `has ${wrong === undefined ? "no value" : `a ${typeof wrong}`} at "${path.join(".")}", expected ${type}`;
    },
  });
  return where || "does not fit its schema";
}

function decode(version: SchemaVersion, bytes: Uint8Array): Decoded<unknown> {
  checkFrameSize(version.kind, bytes.length);
  const { codec, kind } = version;
  try {
    // What could be over the limit is looked through before anything of it is kept (F4).
    if (codec === undefined || bytes.length > limits.frameHeaderBytesMax) {
      const payload = locatePayload(version, new Cursor(bytes, PREFIX_BYTES, bytes.length));
      if (codec === undefined) return { header: withAvsc(version, bytes), payload };
    }
    const reader = new HeaderReader(asBuffer(bytes), PREFIX_BYTES, bytes.length);
    const header = codec.read(reader);
    return { header, payload: payloadAt(version, reader) };
  } catch (error) {
    if (error instanceof Malformed) throw invalid(`a frame of kind "${kind}" is broken: ${error.message}`, error);
    throw error;
  }
}

/** Of an earlier schema, say (F5): the bytes have been skimmed. */
function withAvsc({ reader, resolver, shape }: SchemaVersion, bytes: Uint8Array): unknown {
  return shape.fromAvro(reader.decode(asBuffer(bytes), PREFIX_BYTES, resolver).value);
}

function locatePayload(version: SchemaVersion, cursor: Cursor): Uint8Array {
  version.skim(cursor);
  checkHeaderSize(version.kind, cursor.position - PREFIX_BYTES);
  return payloadAt(version, cursor);
}

/** The rest of the frame. */
function payloadAt({ hasPayload }: SchemaVersion, cursor: Cursor): Uint8Array {
  const length = hasPayload ? cursor.long() : 0;
  const start = cursor.take(length);
  if (cursor.position !== cursor.end) throw new Malformed(`${cursor.end - cursor.position} bytes too many`);
  return length === 0 ? NOTHING : cursor.bytes.subarray(start, start + length);
}

function checkFrameSize(kind: string, bytes: number): void {
  if (bytes > limits.frameBytesMax) throw tooLarge(kind, "frame", bytes, "frameBytesMax", "Send fewer rows at once");
}

function checkHeaderSize(kind: string, bytes: number): void {
  if (bytes <= limits.frameHeaderBytesMax) return;
  throw tooLarge(kind, "header", bytes, "frameHeaderBytesMax", "Send less beside the rows");
}

function tooLarge(
  kind: string,
  part: string,
  bytes: number,
  limit: keyof typeof limits,
  advice: string,
): MillraceError {
  return new MillraceError(
    "MILL_FRAME_TOO_LARGE",
    `a ${part} of kind "${kind}" has ${bytes} bytes, over limits.${limit} (${limits[limit]}). ${advice}.`,
    { kind, bytes, limit: limits[limit] },
  );
}

function invalid(what: string, cause?: unknown): MillraceError {
  return new MillraceError("MILL_FRAME_INVALID", `${what}.`, {}, cause === undefined ? undefined : { cause });
}
