/**
 * A pipelined channel between two actors, as they see it. Implementations: `local-channel.ts` within a host, by reference;
 * `channel-sender.ts` and `channel-receiver.ts` over the bus.
 *
 * What every implementation guarantees:
 *   N1  The receiver is handed every batch once, in order, and each barrier after the batches that were sent before it.
 *   N2  The sender is never more than the granted bytes and frames ahead of what was handed on; a batch larger than the
 *       whole grant goes alone.
 *   N3  Loss, duplication, reordering and delay by the bus are repaired here; both ends work until `close`.
 */
import type { RecordBatch } from "apache-arrow";

export type ChannelItem =
  | { readonly kind: "batch"; readonly batch: RecordBatch }
  | { readonly kind: "barrier"; readonly checkpoint: bigint };

export interface ChannelSender {
  open(): Promise<void>;
  /** Sends the batch if credit allows; false: nothing has happened, wait for `room` and offer it again. */
  offer(batch: RecordBatch): boolean;
  /** Resolves when offering may succeed. Several may wait; rejects when the channel is closed. */
  room(): Promise<void>;
  /** Stands after every batch that was taken by `offer`, before every later one. Needs no credit. */
  barrier(checkpoint: bigint): void;
  /** No more will come. Goes on saying so until the receiver knows. */
  end(): void;
  close(): void;
}

export interface ChannelReceiver {
  /** Subscribes: from then on nothing that is sent is missed. */
  open(): Promise<void>;
  /** Grants the sender its first credit. @param heard told as soon as a barrier is known to come, before `next` hands it on */
  start(heard: (checkpoint: bigint) => void): void;
  /** The next item, or undefined when the sender has ended. One taker at a time. */
  next(): Promise<ChannelItem | undefined>;
  /**
   * The batches before barrier `checkpoint` that `next` has not handed on at the moment of the call, in order; resolves when
   * the barrier and all of them have come. `next` hands the batches on as usual, and leaves that barrier out. An end before
   * the barrier counts as the barrier.
   */
  capture(checkpoint: bigint): Promise<readonly RecordBatch[]>;
  close(): void;
}
