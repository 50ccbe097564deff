/**
 * A channel between two actors of one host: batches pass by reference, in `batchBytes`. Nothing is lost here, so there is
 * nothing to repair and no timer.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { batchBytes } from "../types/batches.js";
import type { ChannelItem, ChannelReceiver, ChannelSender, Queued } from "./channel.js";
import { Handover } from "./channel-handover.js";
import { Room } from "./channel-room.js";

export class LocalChannel {
  readonly sender: ChannelSender;
  readonly receiver: ChannelReceiver;

  constructor(channel: string) {
    const room = new Room();
    const window = new LocalWindow();
    const handover = new Handover(channel, (bytes) => {
      window.leave(bytes);
      room.open();
    });
    this.sender = new LocalSender(channel, room, window, handover);
    this.receiver = new LocalReceiver(channel, room, window, handover);
  }
}

/** Batches that were sent and not handed on. */
class LocalWindow {
  granted = false;
  #batches = 0;
  #bytes = 0;

  get queued(): Queued {
    return { batches: this.#batches, bytes: this.#bytes };
  }

  /** @returns whether it was let in */
  enter(bytes: number): boolean {
    const fits = this.#batches < limits.channelCreditFrames && this.#bytes + bytes <= limits.channelCreditBytes;
    if (!this.granted || (this.#batches > 0 && !fits)) return false;
    this.#batches += 1;
    this.#bytes += bytes;
    return true;
  }

  leave(bytes: number): void {
    this.#batches -= 1;
    this.#bytes -= bytes;
  }
}

class LocalSender implements ChannelSender {
  readonly local = true;

  constructor(
    private readonly channel: string,
    private readonly waiting: Room,
    private readonly window: LocalWindow,
    private readonly handover: Handover,
  ) {}

  async open(): Promise<void> {}

  offer(batch: RecordBatch): boolean {
    this.waiting.check();
    invariant(!this.handover.ended, `channel ${this.channel} is sent nothing after its end`);
    const bytes = batchBytes(batch);
    if (!this.window.enter(bytes)) return this.waiting.refuse();
    this.handover.add(batch, bytes, this.handover.barriers);
    return true;
  }

  room(): Promise<void> {
    return this.waiting.wait();
  }

  barrier(checkpoint: bigint): void {
    this.waiting.check();
    if (!this.handover.ended) this.handover.addBarrier(checkpoint, this.handover.arrived);
  }

  end(): void {
    this.waiting.check();
    this.handover.addEnd(this.handover.arrived, this.handover.barriers);
  }

  async delivered(): Promise<void> {
    this.waiting.check();
  }

  /** Not an end: whoever closes without one has failed, and the receiver waits until it is told to stop, too. */
  close(): void {
    this.waiting.close(closed(this.channel));
  }
}

class LocalReceiver implements ChannelReceiver {
  constructor(
    private readonly channel: string,
    private readonly room: Room,
    private readonly window: LocalWindow,
    private readonly handover: Handover,
  ) {}

  async open(): Promise<void> {}

  start(heard: (checkpoint: bigint) => void): void {
    this.window.granted = true;
    this.room.open();
    this.handover.listen(heard);
  }

  next(hold?: (batch: RecordBatch) => void): Promise<ChannelItem | undefined> {
    return this.handover.next(hold);
  }

  capture(checkpoint: bigint): Promise<readonly RecordBatch[]> {
    return this.handover.capture(checkpoint);
  }

  queued(): Queued {
    return this.window.queued;
  }

  /** The sender meets a full channel, until it is told to stop, too. */
  close(): void {
    this.handover.fail(closed(this.channel));
  }
}

function closed(channel: string): MillraceError {
  return new MillraceError("MILL_BUS_CLOSED", `channel ${channel} was closed.`);
}
