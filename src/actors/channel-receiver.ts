/**
 * The receiving end of a channel over the bus: grants credit, puts frames in order, asks for what is missing, and hands on
 * (`channel-handover.ts`). What the sender does: `channel-sender.ts`.
 *
 * Invariants:
 *   I1  The grant is what was handed on plus `limits.channelCreditBytes` and `channelCreditFrames`; frames that came count
 *       against it until they are handed on, so what is held here stays within it (or is one larger frame). A credit
 *       goes out for each quarter of the grant that came or was handed on, and whenever nothing is left to hand on.
 *   I2  A frame that is missing is asked for once it has been late for `limits.channelGapMs`, by a timer that runs only
 *       while something is missing, with pauses that grow.
 *   I3  Every barrier, end and poll is answered with a credit; that makes good a credit that was lost.
 *   I4  Frames of another attempt are ignored. What cannot be read is logged and counts as lost; when the same thing has
 *       been wrong `limits.channelBrokenFramesMax` times, sending again does not help, and the channel fails.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { telemetryOf } from "../base/ports.js";
import type { Span } from "../base/telemetry.js";
import type { Subscription } from "../bus/bus.js";
import { withTrace } from "../types/batch-trace.js";
import { arrowSchema } from "../types/columns.js";
import { decodeBatch, encodeSchema, SchemaReceiver, schemaId } from "../wire/arrow.js";
import * as frames from "../wire/frames.js";
import type { ChannelItem, ChannelReceiver, Queued } from "./channel.js";
import { Arrivals } from "./channel-arrivals.js";
import { Handover } from "./channel-handover.js";
import { Pace } from "./channel-pace.js";
import type { BusChannelOptions } from "./channel-sender.js";

/** Ranges that are asked for at a time. */
const NACKS_MAX = 16;
/** Barriers that came before an earlier one; the sender has one or two outstanding. */
const BARRIERS_AHEAD_MAX = 64n;
/** Different things that are wrong at a time; more are random bytes. */
const BROKEN_KINDS_MAX = 64;

interface DataArrived {
  readonly header: frames.DataHeader;
  readonly payload: Uint8Array;
  readonly bytes: number;
}

/** Frames that no credit has counted yet. */
class Uncredited {
  #frames = 0;
  #bytes = 0;

  /** @returns whether they are a quarter of the grant */
  add(bytes: number): boolean {
    this.#frames += 1;
    this.#bytes += bytes;
    return this.#frames * 4 >= limits.channelCreditFrames || this.#bytes * 4 >= limits.channelCreditBytes;
  }

  clear(): void {
    this.#frames = 0;
    this.#bytes = 0;
  }
}

export class BusChannelReceiver implements ChannelReceiver {
  #data = new Arrivals<DataArrived>();
  #barriers = new Arrivals<frames.BarrierHeader>();
  #handover: Handover;
  #pace: Pace;
  /** Frames below this number were missing when the timer was started; younger ones may only be late. */
  #suspected = 0n;
  #started = false;
  #failed = false;
  #heldBytes = 0;
  #handedBytes = 0n;
  /** Since the last credit. */
  #handedOn = new Uncredited();
  #arrived = new Uncredited();
  /** How often in a row, by what is wrong. */
  #broken = new Map<string, number>();
  #schema: Schema;
  #schemaId: Uint8Array;
  #foreignSchemas = new SchemaReceiver();
  #subscriptions: Subscription[] = [];
  /** Of batches that are traced, until they are handed on. */
  #waiting = new Map<RecordBatch, Span>();

  constructor(private readonly options: BusChannelOptions) {
    this.#schema = arrowSchema(options.columns);
    this.#schemaId = schemaId(encodeSchema(this.#schema));
    this.#handover = new Handover(options.channel, (bytes) => this.#taken(bytes));
    const bounds = { delayMs: limits.channelGapMs, delayMsMax: limits.channelRepeatMsMax };
    this.#pace = new Pace(options.ports.clock, bounds, () => this.#guard(() => this.#askAgain()));
  }

  /** Bytes of frames that came and were not handed on. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  async open(): Promise<void> {
    const { bus, subjects } = this.options;
    this.#subscriptions = await Promise.all([
      bus.subscribe(subjects.data, ({ payload }) => this.#guard(() => this.#onData(payload))),
      bus.subscribe(subjects.control, ({ payload }) => this.#guard(() => this.#onControl(payload))),
    ]);
  }

  start(heard: (checkpoint: bigint) => void): void {
    this.#started = true;
    this.#credit();
    this.#handover.listen(heard);
  }

  next(hold?: (batch: RecordBatch) => void): Promise<ChannelItem | undefined> {
    return this.#handover.next((batch) => {
      if (this.#waiting.size > 0) this.#leaves(batch);
      hold?.(batch);
    });
  }

  capture(checkpoint: bigint): Promise<readonly RecordBatch[]> {
    return this.#handover.capture(checkpoint);
  }

  queued(): Queued {
    return { batches: this.#handover.waiting, bytes: this.#heldBytes };
  }

  close(): void {
    this.#fail(new MillraceError("MILL_BUS_CLOSED", `channel ${this.options.channel} was closed.`));
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #onData(bytes: Uint8Array): void {
    const read = this.#read("data frames", () => frames.dataFrame.decode(bytes));
    if (read === undefined || read.header.attempt !== this.options.attempt) return;
    const { sequence } = read.header;
    if (sequence < 0n || sequence >= this.#framesGranted()) {
      this.#drop("data frames", "it is beyond the granted credit");
    } else if (this.#data.add(sequence, { ...read, bytes: bytes.length })) {
      this.#heldBytes += bytes.length;
      this.#advance();
    }
  }

  /** Hands over what has no gap before it any more. */
  #advance(): void {
    for (let arrived = this.#data.take(); arrived !== undefined; arrived = this.#data.take()) {
      const { header, payload, bytes } = arrived;
      const batch = this.#read(`frame ${header.sequence}`, () => decodeBatch(this.#schemaOf(header), payload));
      if (batch === undefined) {
        this.#data.giveBack();
        this.#heldBytes -= bytes;
        break;
      }
      this.#pace.reset();
      if (header.traceparent !== "") this.#enters(batch, header.traceparent);
      this.#handover.add(batch, bytes, header.barriers);
      // Not for more room, which this does not give: the sender need not keep what is here.
      if (this.#arrived.add(bytes)) this.#credit();
    }
    this.#watch();
  }

  #enters(batch: RecordBatch, trace: string): void {
    const { ports, operator = "" } = this.options;
    const attributes = { "millrace.operator": operator, "millrace.rows": batch.numRows };
    const span = telemetryOf(ports).span(`receive ${operator}`, trace, { kind: "consumer", attributes });
    if (span !== undefined) this.#waiting.set(batch, span);
    withTrace(batch, span?.traceparent ?? trace);
  }

  #leaves(batch: RecordBatch): void {
    this.#waiting.get(batch)?.end();
    this.#waiting.delete(batch);
  }

  #onControl(bytes: Uint8Array): void {
    const control = this.#read("control frames", () => frames.decodeFrame(bytes));
    if (control === undefined) return;
    const header = control.header as frames.BarrierHeader | frames.EndHeader | frames.PollHeader;
    if (header.attempt !== this.options.attempt) return;
    if (header.sequence > this.#framesGranted()) {
      this.#drop("control frames", "it counts frames beyond the granted credit");
      return;
    }
    this.#data.learn(header.sequence);
    if (control.kind === "barrier") this.#onBarrier(header as frames.BarrierHeader);
    if (control.kind === "end") this.#onEnd(header as frames.EndHeader);
    this.#credit();
    this.#watch();
  }

  #onBarrier(barrier: frames.BarrierHeader): void {
    const { index } = barrier;
    if (index < 0n || index - this.#barriers.next > BARRIERS_AHEAD_MAX)
      this.#drop("control frames", "its index cannot be true");
    else this.#barriers.add(index, barrier);
    for (let next = this.#barriers.take(); next !== undefined; next = this.#barriers.take()) {
      this.#handover.addBarrier(next.checkpoint, next.sequence);
    }
  }

  #onEnd({ sequence, barriers }: frames.EndHeader): void {
    if (sequence < this.#data.next) {
      throw new MillraceError(
        "MILL_FRAME_INVALID",
        `channel ${this.options.channel}: its end counts ${sequence} frames, but ${this.#data.next} came. Update every process to one version.`,
      );
    }
    this.#handover.addEnd(sequence, barriers);
  }

  #taken(bytes: number): void {
    this.#heldBytes -= bytes;
    this.#handedBytes += BigInt(bytes);
    // One credit for several, unless the sender may be waiting for just this one.
    if (this.#handedOn.add(bytes) || this.#handover.waiting === 0) this.#guard(() => this.#credit());
  }

  #framesGranted(): bigint {
    return this.#started ? this.#handover.handed + BigInt(limits.channelCreditFrames) : 0n;
  }

  #credit(): void {
    if (!this.#started || this.#failed) return;
    const { bus, channel, attempt, subjects } = this.options;
    this.#handedOn.clear();
    this.#arrived.clear();
    const frame = frames.creditFrame.encode({
      channel,
      attempt,
      acknowledged: this.#handover.handed,
      bytesGranted: this.#handedBytes + BigInt(limits.channelCreditBytes),
      framesGranted: this.#framesGranted(),
      arrived: this.#data.next,
      barriers: this.#barriers.next,
      ended: this.#handover.ended,
    });
    this.#publish(bus.publish(subjects.credit, frame));
  }

  /** Credits are small: back-pressure does not hold them up, but a bus that fails is told of. */
  #publish(published: void | Promise<void>): void {
    if (published instanceof Promise) published.catch((error: unknown) => this.#fail(error));
  }

  #watch(): void {
    if (this.#failed) return;
    if (!this.#data.gap) this.#pace.stop();
    else if (!this.#pace.running) {
      this.#suspected = this.#data.known;
      this.#pace.start();
    }
  }

  #askAgain(): void {
    const { bus, channel, attempt, subjects } = this.options;
    for (const { from, to } of this.#data.missing(this.#suspected, NACKS_MAX)) {
      this.#publish(bus.publish(subjects.credit, frames.nackFrame.encode({ channel, attempt, from, to })));
    }
    this.#watch();
  }

  #schemaOf(header: frames.DataHeader): Schema {
    if (Buffer.compare(header.schemaId, this.#schemaId) === 0) return this.#schema;
    const sent = this.#foreignSchemas.accept(header);
    const theirs = describe(sent);
    const ours = describe(this.#schema);
    if (theirs === ours) return this.#schema;
    throw new MillraceError(
      "MILL_PLAN_MISMATCH",
      `channel ${this.options.channel}: the sender's columns are (${theirs}), here they are (${ours}). Run every process with one version of the topology.`,
    );
  }

  /** What `read` gives, or nothing when it cannot be read (I4). */
  #read<T>(what: string, read: () => T): T | undefined {
    try {
      const result = read();
      if (this.#broken.size > 0) this.#broken.delete(what);
      return result;
    } catch (error) {
      if (!MillraceError.is(error) || error.code === "MILL_PLAN_MISMATCH") throw error;
      const { fingerprint } = error.facts;
      this.#drop(fingerprint === undefined ? what : `schema ${fingerprint}`, error.message, error);
      return undefined;
    }
  }

  #drop(what: string, why: string, cause?: MillraceError): void {
    const { channel, attempt, ports } = this.options;
    const times = (this.#broken.get(what) ?? 0) + 1;
    if (this.#broken.size >= BROKEN_KINDS_MAX) this.#broken.clear();
    this.#broken.set(what, times);
    ports.log.warn("a channel's frame is dropped, as if it had been lost", { channel, attempt, what, why });
    if (times < limits.channelBrokenFramesMax) return;
    throw new MillraceError(
      cause?.code ?? "MILL_FRAME_INVALID",
      `channel ${channel}: ${what} were dropped ${times} times in a row; the last time: ${why}`,
      { channel },
      { cause },
    );
  }

  #guard(act: () => void): void {
    if (this.#failed) return;
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#failed = true;
    this.#pace.stop();
    this.#data.clear();
    this.#waiting.clear();
    this.#heldBytes = 0;
    this.#handover.fail(error);
  }
}

function describe(schema: Schema): string {
  return schema.fields.map((field) => `${field.name}: ${field.type}`).join(", ");
}
