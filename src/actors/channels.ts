/**
 * The two ends of a channel. Between actors of one host a channel is a mailbox and passes batches by reference
 * (`LocalChannel`); between hosts it is `bus-channel.ts`. Actors do not know which they have.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { batchBytes } from "../types/batches.js";
import { Mailbox } from "./mailbox.js";

export interface ChannelSender {
  open(): Promise<void>;
  /** Resolves when the receiver's credit allows the next. */
  send(batch: RecordBatch): void | Promise<void>;
  /** No more will be sent; resolves when that was said. */
  end(): void | Promise<void>;
  close(): void;
}

export interface ChannelReceiver {
  /** Subscribes: from then on nothing that is sent is missed. */
  open(): Promise<void>;
  /** Grants the sender its first credit. */
  start(): void | Promise<void>;
  /** The next batch in order, or undefined when the sender has ended. @throws when something was lost */
  next(): Promise<RecordBatch | undefined>;
  close(): void;
}

export class LocalChannel implements ChannelSender, ChannelReceiver {
  #mailbox = new Mailbox<RecordBatch>({ bytesMax: limits.channelCreditBytes, itemsMax: limits.channelCreditFrames });

  async open(): Promise<void> {}
  start(): void {}

  send(batch: RecordBatch): void | Promise<void> {
    return this.#mailbox.put(batch, batchBytes(batch));
  }
  end(): void {
    this.#mailbox.close();
  }
  next(): Promise<RecordBatch | undefined> {
    return this.#mailbox.take();
  }
  /** Not an end: whoever closes without one has failed, and the other side waits until it is told to stop, too. */
  close(): void {}
}
