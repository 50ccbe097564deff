/**
 * Carries a payload over the server's `max_payload` as consecutive messages on the same subject, each with the header
 *
 *   Mr-Part: <publisher>.<number> <offset>/<total>
 *
 * (bytes; the first part has offset 0 and the reply subject). Payloads that fit have no header and pay nothing.
 * `docs/bus.md` says it for other languages.
 *
 *   P1  A payload is delivered only when every part of it came, in order and without a gap.
 *   P2  A newer split payload of the same publisher on the same subject ends an unfinished one.
 *   P3  What is being put together stays within `limits.busReassemblyBytesMax`; the one longest without a part goes first.
 */
import { headers, type MsgHdrs } from "@nats-io/transport-node";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";

export const PART_HEADER = "Mr-Part";
/** `NATS/1.0`, the header's name and value, and line ends: they count towards `max_payload`. */
export const PART_HEADER_BYTES_MAX = 128;

const PART = /^([a-zA-Z0-9_-]{1,40})\.(\d{1,15}) (\d{1,10})\/(\d{1,10})$/;

export interface Part {
  readonly headers: MsgHdrs;
  readonly payload: Uint8Array;
}

/** The parts of `payload`, each with its header at most `maxPayload` bytes. */
export function* split(payload: Uint8Array, maxPayload: number, publisher: string, number: number): Generator<Part> {
  const size = maxPayload - PART_HEADER_BYTES_MAX;
  for (let offset = 0; offset < payload.byteLength; offset += size) {
    const header = headers();
    header.set(PART_HEADER, `${publisher}.${number} ${offset}/${payload.byteLength}`);
    yield { headers: header, payload: payload.subarray(offset, offset + size) };
  }
}

interface Unfinished {
  readonly number: string;
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
  filled: number;
}

export interface Whole {
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
}

/** Puts the split payloads of one subscription together. */
export class Reassembly {
  /** By publisher and subject, the one that has waited longest for its next part first. */
  private readonly unfinished = new Map<string, Unfinished>();
  private bytes = 0;

  constructor(private readonly log: Log) {}

  /** @returns the whole payload when `data` was its last part */
  add(subject: string, header: string, data: Uint8Array, replyTo: string | undefined): Whole | undefined {
    const fields = PART.exec(header);
    if (fields === null) {
      this.log.error(`a message has a ${PART_HEADER} header that cannot be read, and was dropped`, { subject, header });
      return undefined;
    }
    const [, publisher = "", number = "", offsetText = "", totalText = ""] = fields;
    const [offset, total] = [Number(offsetText), Number(totalText)];
    const key = `${publisher} ${subject}`;
    const entry = offset === 0 ? this.begin(key, number, total, replyTo, subject) : this.unfinished.get(key);
    if (entry === undefined || !fits(entry, number, offset, total, data)) {
      if (entry !== undefined) this.drop(key, "a part of it is missing");
      return undefined;
    }
    entry.payload.set(data, offset);
    entry.filled += data.byteLength;
    this.unfinished.delete(key);
    if (entry.filled === total) {
      this.bytes -= total;
      return entry;
    }
    this.unfinished.set(key, entry); // at the end of the map: it has just got a part
    return undefined;
  }

  /** After a reconnect: the parts that are missing will not come. */
  clear(): void {
    for (const key of [...this.unfinished.keys()]) this.drop(key, "the connection was lost in its middle");
  }

  private begin(
    key: string,
    number: string,
    total: number,
    replyTo: string | undefined,
    subject: string,
  ): Unfinished | undefined {
    if (this.unfinished.has(key)) this.drop(key, "its publisher has begun another");
    if (total > limits.frameBytesMax) {
      const limit = limits.frameBytesMax;
      this.log.error("a split message is over limits.frameBytesMax, and was dropped", { subject, total, limit });
      return undefined;
    }
    for (const oldest of this.unfinished.keys()) {
      if (this.bytes + total <= limits.busReassemblyBytesMax) break;
      this.drop(oldest, "too many were unfinished at once (limits.busReassemblyBytesMax)");
    }
    // Not zeroed: P1 delivers it only when every byte was written. Its own ArrayBuffer, so aligned for Arrow.
    const entry = { number, payload: Buffer.allocUnsafeSlow(total), replyTo, filled: 0 };
    this.bytes += total;
    this.unfinished.set(key, entry);
    return entry;
  }

  private drop(key: string, reason: string): void {
    const entry = this.unfinished.get(key);
    if (entry === undefined) return;
    this.unfinished.delete(key);
    this.bytes -= entry.payload.byteLength;
    this.log.warn(`an unfinished split message was dropped: ${reason}`, {
      subject: key.slice(key.indexOf(" ") + 1),
      received: entry.filled,
      total: entry.payload.byteLength,
    });
  }
}

function fits(entry: Unfinished, number: string, offset: number, total: number, data: Uint8Array): boolean {
  return (
    entry.number === number &&
    entry.payload.byteLength === total &&
    entry.filled === offset &&
    data.byteLength > 0 &&
    offset + data.byteLength <= total
  );
}

/** A member of a queue group gets some of the parts only. */
export function queueGroupError(subject: string, queue: string, total: string): MillraceError {
  return new MillraceError(
    "MILL_FRAME_TOO_LARGE",
    `message ${total} on ${subject} came in parts, which queue group ${queue} would share out among its members. Send less than the server's max_payload, or subscribe without a group.`,
    { subject, queue },
  );
}
