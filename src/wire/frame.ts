/**
 * Frames: Avro in the single-object encoding, `C3 01`, eight bytes of schema fingerprint (little-endian), body.
 * Layout and an example in hex: docs/wire-format.md.
 *
 * Invariants:
 *   F1  A frame is plain Avro of its whole schema: any Avro library reads it.
 *   F2  A payload is copied once on encode (into the frame), not at all by `pieces`, and never on decode (a view of the frame).
 *   F3  Bytes that are not a frame are refused before anything is allocated for them.
 *   F4  A frame over `limits.frameBytesMax`, or a header over `limits.frameHeaderBytesMax`, is neither made nor read.
 *   F5  A frame of an earlier schema of its kind is read as the current one.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { packageSchemas, SchemaRegistry, type SchemaVersion } from "./schema-registry.js";
import { asBuffer } from "./shape.js";
import { Cursor, Malformed } from "./skim.js";

const MARKER = [0xc3, 0x01] as const;
const PREFIX_BYTES = 10;

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
      encode: (header, payload = []) =>
        joined(pieces(current, header, payload instanceof Uint8Array ? [payload] : payload)),
      pieces: (header, payload) => pieces(current, header, payload),
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
    return { kind: version.kind, ...decode(version, bytes) };
  }

  #versionOf(bytes: Uint8Array): SchemaVersion {
    if (bytes.length < PREFIX_BYTES || bytes[0] !== MARKER[0] || bytes[1] !== MARKER[1]) {
      throw invalid("the bytes do not begin with C3 01 and a schema fingerprint. Check who publishes to this subject");
    }
    const value = asBuffer(bytes).readBigUInt64LE(2);
    const version = this.schemas.byFingerprint(value);
    if (version !== undefined) return version;
    const name = value.toString(16).padStart(16, "0");
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

/** Headers are made here first, so that what holds them can be allocated once at its final size. */
let scratch = Buffer.alloc(16 * 1024);

function pieces(version: SchemaVersion, header: unknown, payload: readonly Uint8Array[]): readonly Uint8Array[] {
  const headerBytes = encodeHeader(version, header);
  checkHeaderSize(version.kind, headerBytes);
  if (!version.hasPayload) {
    if (payload.length > 0) throw invalid(`frames of kind "${version.kind}" have no payload`);
    return [assembleHead(version, headerBytes, undefined)];
  }
  const payloadBytes = payload.reduce((sum, piece) => sum + piece.length, 0);
  return [assembleHead(version, headerBytes, payloadBytes), ...payload];
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) return first;
  const whole = Buffer.allocUnsafe(parts.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of parts) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function encodeHeader(version: SchemaVersion, header: unknown): number {
  const value = version.shape.toAvro(header);
  try {
    let end = version.header.encode(value, scratch, 0);
    if (end < 0) {
      checkHeaderSize(version.kind, scratch.length - end);
      scratch = Buffer.alloc(scratch.length - end);
      end = version.header.encode(value, scratch, 0);
    }
    return end;
  } catch (error) {
    if (MillraceError.is(error)) throw error;
    throw invalid(`a header of kind "${version.kind}" ${misfit(version, value)}`, error);
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

/** Everything before the payload's first byte. */
function assembleHead(version: SchemaVersion, headerBytes: number, payloadBytes: number | undefined): Uint8Array {
  const lengthBytes = payloadBytes === undefined ? 0 : varintBytes(payloadBytes);
  const head = PREFIX_BYTES + headerBytes + lengthBytes;
  checkFrameSize(version.kind, head + (payloadBytes ?? 0));
  const bytes = Buffer.allocUnsafe(head);
  bytes[0] = MARKER[0];
  bytes[1] = MARKER[1];
  bytes.writeBigUInt64LE(version.fingerprint, 2);
  scratch.copy(bytes, PREFIX_BYTES, 0, headerBytes);
  if (payloadBytes !== undefined) writeLength(bytes, PREFIX_BYTES + headerBytes, payloadBytes);
  return bytes;
}

function decode(version: SchemaVersion, bytes: Uint8Array): Decoded<unknown> {
  checkFrameSize(version.kind, bytes.length);
  const payload = locatePayload(version, bytes);
  const { value } = version.reader.decode(asBuffer(bytes), PREFIX_BYTES, version.resolver);
  return { header: version.shape.fromAvro(value), payload };
}

function locatePayload(version: SchemaVersion, bytes: Uint8Array): Uint8Array {
  const cursor = new Cursor(bytes, PREFIX_BYTES, bytes.length);
  try {
    version.skim(cursor);
    checkHeaderSize(version.kind, cursor.position - PREFIX_BYTES);
    const length = version.hasPayload ? cursor.long() : 0;
    const start = cursor.take(length);
    if (cursor.position !== cursor.end) throw new Malformed(`${cursor.end - cursor.position} bytes too many`);
    return bytes.subarray(start, start + length);
  } catch (error) {
    if (error instanceof Malformed)
      throw invalid(`a frame of kind "${version.kind}" is broken: ${error.message}`, error);
    throw error;
  }
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

function varintBytes(length: number): number {
  let bytes = 1;
  for (let rest = length * 2; rest >= 128; rest = Math.floor(rest / 128)) bytes++;
  return bytes;
}

/** Writes `length` as an Avro long (zigzag: twice the number). */
function writeLength(target: Uint8Array, at: number, length: number): void {
  let rest = length * 2;
  for (; rest >= 128; rest = Math.floor(rest / 128)) target[at++] = (rest % 128) | 0x80;
  target[at] = rest;
}
