/**
 * A channel between two hosts: data frames in order, bounded by credit that the receiver grants.
 *
 * Invariants:
 *   H1  The receiver hands batches on in the order of their sequence numbers, each once.
 *   H2  The sender is never more than the granted bytes and frames ahead of what the receiver has handed on; a frame
 *       larger than the whole grant goes alone.
 *   H3  A gap in the sequence, or an end that does not match it, fails the receiver: nothing is lost silently. Frames
 *       that an end counts are waited for `limits.channelEndTimeoutMs`, because two subjects have no order between them.
 *   H4  Frames of another attempt are ignored.
 *
 * Ends and credits use subjects of their own and need no credit.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock, Timer } from "../base/ports.js";
import type { Bus, BusMessage, Subscription } from "../bus/bus.js";
import type { ChannelSubjects } from "../bus/subjects.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { decodeBatch, encodeBatch, SchemaReceiver, SchemaSender } from "../wire/arrow.js";
import { creditFrame, dataFrame, endFrame } from "../wire/frames.js";
import type { ChannelReceiver, ChannelSender } from "./channels.js";
import { Mailbox } from "./mailbox.js";

export interface BusChannelOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly channel: string;
  readonly attempt: number;
  readonly subjects: ChannelSubjects;
  readonly columns: Columns;
}

export class BusChannelSender implements ChannelSender {
  #sequence = 0n;
  #sentBytes = 0n;
  #grantedBytes = 0n;
  #grantedFrames = 0n;
  #acknowledged = 0n;
  #wake: (() => void) | undefined;
  #closed = false;
  #schema: SchemaSender;
  #subscription: Subscription | undefined;

  constructor(private readonly options: BusChannelOptions) {
    this.#schema = new SchemaSender(arrowSchema(options.columns));
  }

  async open(): Promise<void> {
    this.#subscription = await this.options.bus.subscribe(this.options.subjects.credit, (message) => {
      const credit = creditFrame.decode(message.payload).header;
      if (credit.attempt !== this.options.attempt || credit.acknowledged < this.#acknowledged) return;
      this.#acknowledged = credit.acknowledged;
      this.#grantedBytes = credit.bytesGranted;
      this.#grantedFrames = credit.framesGranted;
      this.#wake?.();
    });
  }

  async send(batch: RecordBatch): Promise<void> {
    const { bus, channel, attempt, subjects } = this.options;
    const frame = dataFrame.encode(
      { channel, attempt, sequence: this.#sequence, rows: batch.numRows, ...this.#schema.next() },
      encodeBatch(batch),
    );
    while (!this.#mayGo(frame.length)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      if (this.#closed) throw new MillraceError("MILL_BUS_CLOSED", `channel ${channel} was closed.`);
    }
    this.#sequence += 1n;
    this.#sentBytes += BigInt(frame.length);
    await bus.publish(subjects.data, frame);
  }

  async end(): Promise<void> {
    const { bus, channel, attempt, subjects } = this.options;
    await bus.flush(); // data goes before the end that counts it, though they travel on two subjects
    await bus.publish(subjects.control, endFrame.encode({ channel, attempt, sequence: this.#sequence }));
    await bus.flush();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
    this.#subscription?.unsubscribe();
  }

  #mayGo(bytes: number): boolean {
    if (this.#grantedFrames === 0n) return false;
    if (this.#acknowledged === this.#sequence) return true;
    return this.#sequence < this.#grantedFrames && this.#sentBytes + BigInt(bytes) <= this.#grantedBytes;
  }
}

export class BusChannelReceiver implements ChannelReceiver {
  #arrived = new Mailbox<{ readonly batch: RecordBatch; readonly bytes: number }>({
    // The sender's credit is the bound; this one only has to be no smaller.
    bytesMax: Number.POSITIVE_INFINITY,
    itemsMax: Number.POSITIVE_INFINITY,
  });
  #expected = 0n;
  #end: bigint | undefined;
  #missing: Timer | undefined;
  #takenFrames = 0n;
  #takenBytes = 0n;
  #schema: SchemaReceiver;
  #local: Schema;
  #subscriptions: Subscription[] = [];

  constructor(private readonly options: BusChannelOptions) {
    this.#schema = new SchemaReceiver();
    this.#local = arrowSchema(options.columns);
  }

  async open(): Promise<void> {
    const { bus, subjects } = this.options;
    this.#subscriptions = await Promise.all([
      bus.subscribe(subjects.data, (message) => this.#guard(() => this.#onData(message))),
      bus.subscribe(subjects.control, (message) => this.#guard(() => this.#onEnd(message))),
    ]);
  }

  start(): void | Promise<void> {
    return this.#grant();
  }

  async next(): Promise<RecordBatch | undefined> {
    const arrived = await this.#arrived.take();
    if (arrived === undefined) return undefined;
    this.#takenFrames += 1n;
    this.#takenBytes += BigInt(arrived.bytes);
    await this.#grant();
    return arrived.batch;
  }

  close(): void {
    this.#missing?.cancel();
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
    this.#arrived.close();
  }

  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#arrived.fail(error);
    }
  }

  #onData(message: BusMessage): void {
    const { header, payload } = dataFrame.decode(message.payload);
    if (header.attempt !== this.options.attempt || header.sequence < this.#expected) return;
    if (header.sequence > this.#expected) throw this.#lost(this.#expected, header.sequence);
    this.#schema.accept(header);
    const batch = decodeBatch(this.#local, payload);
    this.#expected += 1n;
    void this.#arrived.put({ batch, bytes: message.payload.length }, 0);
    this.#closeIfEnded();
  }

  #onEnd(message: BusMessage): void {
    const { attempt, sequence } = endFrame.decode(message.payload).header;
    if (attempt !== this.options.attempt) return;
    this.#end = sequence;
    this.#closeIfEnded();
  }

  #closeIfEnded(): void {
    const end = this.#end;
    if (end === undefined) return;
    if (this.#expected > end) {
      throw new MillraceError(
        "MILL_FRAME_INVALID",
        `channel ${this.options.channel}: its end counts ${end} frames, but ${this.#expected} came. Update every process to one version.`,
      );
    }
    if (this.#expected === end) {
      this.#missing?.cancel();
      this.#arrived.close();
      return;
    }
    this.#missing ??= this.options.clock.after(limits.channelEndTimeoutMs, () => {
      this.#arrived.fail(this.#lost(this.#expected, end));
    });
  }

  #lost(from: bigint, to: bigint): MillraceError {
    return new MillraceError(
      "MILL_CHANNEL_GAP",
      `channel ${this.options.channel}: frames ${from} to ${to - 1n} did not arrive. Run the job again; if it happens often, look for slow consumers in the NATS server's log.`,
      { channel: this.options.channel, from, to },
    );
  }

  async #grant(): Promise<void> {
    const { bus, channel, attempt, subjects } = this.options;
    const frame = creditFrame.encode({
      channel,
      attempt,
      acknowledged: this.#takenFrames,
      bytesGranted: this.#takenBytes + BigInt(limits.channelCreditBytes),
      framesGranted: this.#takenFrames + BigInt(limits.channelCreditFrames),
    });
    await bus.publish(subjects.credit, frame);
  }
}
