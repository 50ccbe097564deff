/**
 * The framing of a link: what goes over the byte stream between a parent process and its child.
 *
 *   0  u32  length of the payload        16  u8   kind
 *   4  u32  id (subscription or call)    17  u8   0
 *   8  u32  timeout in ms (REQUEST)      18  u16  0
 *  12  u16  length of `subject`          20       subject, then `extra`, both ASCII, then the payload
 *  14  u16  length of `extra`
 *
 * Little-endian. Both ends are of one package and one version, so the framing is free to change with it. A payload is
 * put together in one buffer of its own, which starts at a multiple of 8, so that Arrow can read it where it is.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";

export const LinkKind = {
  /** To the parent: `subject`, `extra` = replyTo. */
  publish: 1,
  /** To the parent: `subject` = pattern, `extra` = queue group; answered by `done` or `failed`. */
  subscribe: 2,
  unsubscribe: 3,
  /** To the parent: answered by `answer` or `failed`. */
  request: 4,
  cancel: 5,
  /** To the parent: answered by `done` or `failed`. */
  flush: 6,
  /** To the child: a message of subscription `id`; `extra` = replyTo. */
  message: 7,
  answer: 8,
  done: 9,
  /** To the child: `subject` = error code, payload = its message. */
  failed: 10,
} as const;
export type LinkKind = (typeof LinkKind)[keyof typeof LinkKind];
const KIND_MAX = Math.max(...Object.values(LinkKind));

export interface LinkFrame {
  readonly kind: LinkKind;
  readonly id: number;
  readonly timeoutMs: number;
  readonly subject: string;
  readonly extra: string;
  readonly payload: Uint8Array;
}

const HEADER_BYTES = 20;
/** Up to here a payload is copied behind its header: one write of one buffer costs less than two buffers do. */
const INLINE_BYTES = 4096;
const EMPTY = new Uint8Array(0);

/** The bytes of a frame: one buffer, or a header and the payload itself, which is not copied. */
export function encodeLinkFrame(frame: Partial<LinkFrame> & { readonly kind: LinkKind }): Uint8Array[] {
  const { kind, id = 0, timeoutMs = 0, subject = "", extra = "", payload = EMPTY } = frame;
  const textEnd = HEADER_BYTES + subject.length + extra.length;
  const inline = payload.byteLength <= INLINE_BYTES;
  const head = Buffer.allocUnsafe(inline ? textEnd + payload.byteLength : textEnd);
  head.writeUInt32LE(payload.byteLength, 0);
  head.writeUInt32LE(id, 4);
  head.writeUInt32LE(timeoutMs, 8);
  head.writeUInt16LE(subject.length, 12);
  head.writeUInt16LE(extra.length, 14);
  head.writeUInt32LE(kind, 16);
  head.write(subject, HEADER_BYTES, "latin1");
  head.write(extra, HEADER_BYTES + subject.length, "latin1");
  if (!inline) return [head, payload];
  head.set(payload, textEnd);
  return [head];
}

type Head = Omit<LinkFrame, "payload">;

/** Turns the chunks of a byte stream back into frames. */
export class LinkFrameReader {
  /** Bytes of a header that has not come whole. */
  private carry: Buffer | undefined;
  private head: Head | undefined;
  private payload: Buffer = Buffer.alloc(0);
  private filled = 0;

  constructor(private readonly onFrame: (frame: LinkFrame) => void) {}

  /** @throws {MillraceError} `MILL_FRAME_INVALID`: what came is no frame; nothing after it can be read */
  push(chunk: Buffer): void {
    let bytes = chunk;
    if (this.carry !== undefined) {
      bytes = Buffer.concat([this.carry, chunk]);
      this.carry = undefined;
    }
    let at = 0;
    while (at < bytes.length || this.isWhole()) {
      if (this.head === undefined) {
        const end = this.readHead(bytes, at);
        if (end === undefined) {
          this.carry = bytes.subarray(at);
          return;
        }
        at = end;
      }
      at += this.fill(bytes, at);
      if (this.isWhole()) this.emit();
    }
  }

  private isWhole(): boolean {
    return this.head !== undefined && this.filled === this.payload.length;
  }

  /** @returns where the payload starts, or nothing when the header has not come whole */
  private readHead(bytes: Buffer, at: number): number | undefined {
    if (bytes.length - at < HEADER_BYTES) return undefined;
    const length = bytes.readUInt32LE(at);
    const kind = bytes.readUInt32LE(at + 16);
    if (length > limits.frameBytesMax || !isLinkKind(kind)) throw invalid(kind, length);
    const textAt = at + HEADER_BYTES;
    const extraAt = textAt + bytes.readUInt16LE(at + 12);
    const end = extraAt + bytes.readUInt16LE(at + 14);
    if (bytes.length < end) return undefined;
    this.head = {
      kind,
      id: bytes.readUInt32LE(at + 4),
      timeoutMs: bytes.readUInt32LE(at + 8),
      subject: bytes.toString("latin1", textAt, extraAt),
      extra: bytes.toString("latin1", extraAt, end),
    };
    // Small ones come from Node's pool, whose slices start at multiples of 8; the others have an ArrayBuffer each.
    this.payload = Buffer.allocUnsafe(length);
    this.filled = 0;
    return end;
  }

  /** @returns the number of bytes taken */
  private fill(bytes: Buffer, at: number): number {
    const taken = bytes.copy(this.payload, this.filled, at);
    this.filled += taken;
    return taken;
  }

  private emit(): void {
    if (this.head === undefined) return;
    const frame = { ...this.head, payload: this.payload };
    this.head = undefined;
    this.onFrame(frame);
  }
}

function isLinkKind(kind: number): kind is LinkKind {
  return kind >= 1 && kind <= KIND_MAX;
}

function invalid(kind: number, length: number): MillraceError {
  return new MillraceError(
    "MILL_FRAME_INVALID",
    `the link between this process and its parent or child carried something else than a frame (kind ${kind}, ${length} bytes). Nothing else may write to its file descriptor.`,
    { kind, length },
  );
}
