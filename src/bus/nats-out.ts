/**
 * The publishing half of a NATS connection: splits what is too large, counts what the server has not confirmed (N1,
 * N2 of `nats-bus.ts`), and remembers what the server has refused (N3).
 */
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { PART_HEADER_BYTES_MAX, split } from "./nats-parts.js";
import { Pending } from "./pending.js";

/** A PING goes out after this many bytes; its PONG says that the server has taken them. */
const MARK_BYTES = limits.busPendingBytesMax / 8;
const MAX_PAYLOAD_MIN = 16 * PART_HEADER_BYTES_MAX;
const REFUSED_SUBJECTS_MAX = 256;
/** On an empty answer: why there will be no other. */
export const ERROR_HEADER = "Mr-Error";

export class NatsOut {
  private readonly pending = new Pending();
  private unmarkedBytes = 0;
  private nextNumber = 1;
  private lastMaxPayload = 0;
  private readonly refused = new Map<string, MillraceError>();
  private refusal: MillraceError | undefined;

  constructor(
    private readonly connection: NatsConnection,
    /** Names this connection in the header of a part. */
    private readonly publisher: string,
  ) {}

  /** The server's limit; while the connection is down, the last server's. */
  maxPayload(): number {
    this.lastMaxPayload = this.connection.info?.max_payload ?? this.lastMaxPayload;
    return this.lastMaxPayload;
  }

  /** @throws {MillraceError} `MILL_CONFIG` for a server whose limit leaves no room for parts */
  checkServer(urls: string): void {
    const maxPayload = this.maxPayload();
    if (maxPayload >= MAX_PAYLOAD_MIN) return;
    throw new MillraceError(
      "MILL_CONFIG",
      `NATS at ${urls} takes messages of up to ${maxPayload} bytes only. Set its max_payload to ${MAX_PAYLOAD_MIN} or more (its default is 1 MB).`,
      { maxPayload },
    );
  }

  send(subject: string, payload: Uint8Array, replyTo: string | undefined): void {
    if (this.refused.size > 0) this.checkRefused(subject);
    const maxPayload = this.maxPayload();
    if (payload.byteLength <= maxPayload) {
      this.connection.publish(subject, payload, replyTo === undefined ? undefined : { reply: replyTo });
    } else {
      let reply = replyTo;
      for (const part of split(payload, maxPayload, this.publisher, this.nextNumber++)) {
        this.connection.publish(subject, part.payload, { headers: part.headers, ...(reply && { reply }) });
        reply = undefined; // once: each one would bring a "no responders" of its own
      }
    }
    this.unmarkedBytes += payload.byteLength;
    if (this.unmarkedBytes >= MARK_BYTES) this.mark();
  }

  /** Nothing while there is room, else a promise of it (B4). */
  whenRoom(): Promise<void> | undefined {
    if (this.pending.size() + this.unmarkedBytes <= limits.busPendingBytesMax) return undefined;
    this.mark();
    return this.pending.whenRoom();
  }

  /** The connection has ended: nobody has to wait for it. */
  release(): void {
    this.pending.release();
  }

  sendError(subject: string, error: MillraceError): void {
    const header = headers();
    header.set(ERROR_HEADER, `${error.code} ${error.message}`);
    this.connection.publish(subject, undefined, { headers: header });
  }

  /** The server has refused a publication to `subject`: so will it the next ones, until the connection is a new one. */
  refuse(subject: string, error: MillraceError): void {
    if (this.refused.size < REFUSED_SUBJECTS_MAX) this.refused.set(subject, error);
    this.refusal = error;
  }

  forgetRefusals(): void {
    this.refused.clear();
    this.refusal = undefined;
  }

  /** The refusal of a publication that nobody was told of yet. */
  takeRefusal(): MillraceError | undefined {
    const refusal = this.refusal;
    this.refusal = undefined;
    return refusal;
  }

  private checkRefused(subject: string): void {
    const error = this.refused.get(subject);
    if (error !== undefined) throw error;
  }

  private mark(): void {
    const bytes = this.unmarkedBytes;
    this.unmarkedBytes = 0;
    this.pending.add(bytes);
    const taken = () => this.pending.remove(bytes);
    // A lost connection has thrown its buffer away: those bytes wait no longer either.
    this.connection.flush().then(taken, taken);
  }
}
