/**
 * The sending end of a channel over the bus.
 *
 * Data travels on the channel's data subject, barriers, the end and polls on its control subject; what the receiver says
 * comes back on the credit subject. Nothing is kept alive by repeating everything: the sender asks (`poll`) when it has
 * waited in vain, the receiver says what it has and what it lacks, and only that is sent again (`channel-window.ts`).
 *
 * Invariants:
 *   H1  A data frame is encoded once; what is sent again are the same bytes, the Arrow schema in the first included.
 *   H2  A barrier, and the end, are said again until a credit counts them.
 *   H3  While frames, barriers or the end have not arrived, or a batch was refused for lack of credit, a timer runs, with
 *       pauses from `limits.channelRepeatMs` to `channelRepeatMsMax`; otherwise there is none.
 *   H4  Frames of another attempt are ignored; what cannot be read is logged and dropped like a loss.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus, Subscription } from "../bus/bus.js";
import { type Deferred, deferred } from "../bus/deferred.js";
import type { ChannelSubjects } from "../bus/subjects.js";
import { traceOf } from "../types/batch-trace.js";
import { arrowSchema, type Columns } from "../types/columns.js";
import { encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import * as frames from "../wire/frames.js";
import type { ChannelSender } from "./channel.js";
import { Pace } from "./channel-pace.js";
import { Room } from "./channel-room.js";
import { SendWindow } from "./channel-window.js";

export interface BusChannelOptions {
  readonly bus: Bus;
  readonly ports: Pick<Ports, "clock" | "log" | "telemetry">;
  readonly channel: string;
  readonly attempt: number;
  readonly subjects: ChannelSubjects;
  readonly columns: Columns;
  /** Who reads it, for spans. */
  readonly operator?: string;
}

interface Unheard {
  readonly index: bigint;
  readonly frame: Uint8Array;
}

export class BusChannelSender implements ChannelSender {
  readonly local = false;
  #window = new SendWindow();
  #room = new Room();
  #pace: Pace;
  #schema: Uint8Array;
  #schemaId: Uint8Array;
  #subscription: Subscription | undefined;
  /** The bus asked to wait for this. */
  #pressure: Promise<void> | undefined;
  #barriers = 0n;
  #checkpoint = 0n;
  #unheard: Unheard[] = [];
  #end: { readonly frame: Uint8Array; heard: boolean } | undefined;
  /** What was outstanding when the timer was started: younger things are given time until the next tick. */
  #old = { frames: 0n, barriers: 0n, ended: false, refused: false };
  #delivered: Deferred<void> | undefined;

  constructor(private readonly options: BusChannelOptions) {
    this.#schema = encodeSchema(arrowSchema(options.columns));
    this.#schemaId = schemaId(this.#schema);
    const bounds = { delayMs: limits.channelRepeatMs, delayMsMax: limits.channelRepeatMsMax };
    this.#pace = new Pace(options.ports.clock, bounds, () => this.#guard(() => this.#repeat()));
  }

  /** Bytes kept to be sent again. */
  get keptBytes(): number {
    return this.#window.keptBytes;
  }

  async open(): Promise<void> {
    const { bus, subjects } = this.options;
    this.#subscription = await bus.subscribe(subjects.credit, ({ payload }) => this.#guard(() => this.#hear(payload)));
  }

  offer(batch: RecordBatch): boolean {
    this.#room.check();
    invariant(this.#end === undefined, `channel ${this.options.channel} is sent nothing after its end`);
    if (this.#pressure !== undefined) return this.#room.refuse();
    const pieces = this.#window.admits(0) ? encodeBatch(batch) : [];
    // Encoding copies, so what surely does not fit is refused by the size of its pieces.
    if (!this.#window.admits(pieces.reduce((sum, piece) => sum + piece.length, 0))) return this.#refuse();
    const frame = this.#encode(batch, pieces);
    if (!this.#window.admits(frame.length)) return this.#refuse();
    this.#publish(this.options.subjects.data, frame);
    this.#window.add(frame, this.options.ports.clock.monotonicMs());
    this.#watch();
    return true;
  }

  room(): Promise<void> {
    return this.#room.wait();
  }

  barrier(checkpoint: bigint): void {
    this.#room.check();
    if (this.#end !== undefined) return; // it counts as every later barrier
    invariant(checkpoint > this.#checkpoint, `channel ${this.options.channel}: barriers grow`);
    this.#checkpoint = checkpoint;
    const index = this.#barriers++;
    const header = { ...this.#address(), checkpoint, sequence: this.#window.sent, index };
    const frame = frames.barrierFrame.encode(header);
    this.#unheard.push({ index, frame });
    this.#publish(this.options.subjects.control, frame);
    this.#watch();
  }

  end(): void {
    this.#room.check();
    if (this.#end !== undefined) return;
    const header = { ...this.#address(), sequence: this.#window.sent, barriers: this.#barriers };
    this.#end = { frame: frames.endFrame.encode(header), heard: false };
    this.#publish(this.options.subjects.control, this.#end.frame);
    this.#watch();
  }

  async delivered(): Promise<void> {
    this.#room.check();
    if (!this.#undelivered()) return;
    this.#delivered ??= deferred<void>();
    await this.#delivered.promise;
  }

  close(): void {
    this.#fail(new MillraceError("MILL_BUS_CLOSED", `channel ${this.options.channel} was closed.`));
    this.#subscription?.unsubscribe();
  }

  #address() {
    return { channel: this.options.channel, attempt: this.options.attempt };
  }

  #encode(batch: RecordBatch, pieces: readonly Uint8Array[]): Uint8Array {
    const sequence = this.#window.sent;
    const schema = sequence === 0n ? this.#schema : null;
    const counts = { sequence, rows: batch.numRows, barriers: this.#barriers };
    const about = { schemaId: this.#schemaId, schema, traceparent: traceOf(batch) };
    return frames.dataFrame.encode({ ...this.#address(), ...counts, ...about }, pieces);
  }

  #refuse(): false {
    this.#room.refuse();
    this.#watch();
    return false;
  }

  #publish(subject: string, frame: Uint8Array): void {
    const pressure = this.options.bus.publish(subject, frame);
    if (!(pressure instanceof Promise) || pressure === this.#pressure) return;
    this.#pressure = pressure;
    pressure.then(
      () => this.#guard(() => this.#released(pressure)),
      (error: unknown) => this.#fail(error),
    );
  }

  #released(pressure: Promise<void>): void {
    if (this.#pressure !== pressure) return;
    this.#pressure = undefined;
    this.#sendAgain();
    if (this.#pressure === undefined) this.#room.open();
  }

  #hear(payload: Uint8Array): void {
    const heard = this.#read(payload);
    if (heard === undefined || heard.header.attempt !== this.options.attempt) return;
    if (heard.kind === "nack") {
      this.#window.ask(heard.header.from, heard.header.to, this.options.ports.clock.monotonicMs());
      this.#sendAgain();
    } else if (this.#window.believes(heard.header)) {
      this.#credit(heard.header);
    } else {
      this.options.ports.log.warn("a channel's credit counts more than was sent; ignored", this.#address());
    }
  }

  #read(payload: Uint8Array) {
    try {
      const kind = frames.frameKind(payload);
      if (kind === "nack") return { kind, header: frames.nackFrame.decode(payload).header } as const;
      return { kind: "credit", header: frames.creditFrame.decode(payload).header } as const;
    } catch (error) {
      this.options.ports.log.warn("a channel's credit cannot be read; dropped", { ...this.#address(), error });
      return undefined;
    }
  }

  #credit(header: frames.CreditHeader): void {
    const { room, ...credit } = this.#window.credit(header);
    let { news } = credit;
    for (; (this.#unheard[0]?.index ?? header.barriers) < header.barriers; news = true) this.#unheard.shift();
    if (header.ended && this.#end?.heard === false) {
      this.#end.heard = true;
      news = true;
    }
    if (!news) return;
    this.#pace.reset();
    if (room && this.#pressure === undefined) this.#room.open();
    if (!this.#undelivered()) {
      this.#delivered?.resolve();
      this.#delivered = undefined;
    }
    if (!this.#waits()) this.#pace.stop();
  }

  #sendAgain(): void {
    const nowMs = this.options.ports.clock.monotonicMs();
    while (this.#pressure === undefined) {
      const frame = this.#window.again(nowMs);
      if (frame === undefined) return;
      this.#publish(this.options.subjects.data, frame);
    }
  }

  #undelivered(): boolean {
    return this.#window.arrived < this.#window.sent || this.#unheard.length > 0 || this.#end?.heard === false;
  }

  #waits(): boolean {
    return this.#undelivered() || this.#room.refused;
  }

  #watch(): void {
    if (this.#pace.running) return;
    this.#old = {
      frames: this.#window.sent,
      barriers: this.#barriers,
      ended: this.#end !== undefined,
      refused: this.#room.refused,
    };
    this.#pace.start();
  }

  /** Says again what nobody has answered for a whole pause. */
  #repeat(): void {
    const old = this.#old;
    // What the bus has not sent yet need not be said again.
    if (this.#pressure === undefined) {
      const { control } = this.options.subjects;
      for (const { index, frame } of this.#unheard) if (index < old.barriers) this.#publish(control, frame);
      if (this.#end?.heard === false && old.ended) this.#publish(control, this.#end.frame);
      if (this.#window.arrived < old.frames || (old.refused && this.#room.refused))
        this.#publish(control, this.#poll());
    }
    if (this.#waits()) this.#watch();
  }

  #poll(): Uint8Array {
    return frames.pollFrame.encode({ ...this.#address(), sequence: this.#window.sent });
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#pace.stop();
    this.#window.clear();
    this.#unheard = [];
    this.#room.close(error);
    this.#delivered?.reject(error);
    this.#delivered = undefined;
  }
}
