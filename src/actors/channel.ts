/**
 * A pipelined channel between two actors, as they see it. Implementations: `local-channel.ts` within a host, by reference;
 * `channel-sender.ts` and `channel-receiver.ts` over the bus.
 *
 * What every implementation guarantees:
 *   N1  The receiver is handed every batch once, in order, and each barrier after the batches that were sent before it
 *       and before those that were sent after it.
 *   N2  The sender is never more than the granted bytes and frames ahead of what was handed on; a batch larger than the
 *       whole grant goes alone.
 *   N3  Loss, duplication, reordering and delay by the bus are repaired here; both ends work until `close`.
 */
import type { RecordBatch } from "apache-arrow";

export type ChannelItem =
  | { readonly kind: "batch"; readonly batch: RecordBatch }
  | { readonly kind: "barrier"; readonly checkpoint: bigint };

export interface Queued {
  readonly batches: number;
  readonly bytes: number;
}

export interface ChannelSender {
  /** Both ends are in this process: batches pass by reference. */
  readonly local: boolean;
  open(): Promise<void>;
  /**
   * Sends the batch if credit and bus allow; false: nothing has happened, wait for `room` and offer it again. What was
   * taken must not be changed afterwards.
   * @throws {MillraceError} what closed or broke the channel; `MILL_FRAME_TOO_LARGE`
   */
  offer(batch: RecordBatch): boolean;
  /** Resolves when offering may succeed. Several may wait; rejects when the channel is closed. */
  room(): Promise<void>;
  /** Stands after every batch that was taken by `offer`, before every later one. Needs no credit; says nothing after `end`. */
  barrier(checkpoint: bigint): void;
  /** No more will come. Goes on saying so until the receiver knows. */
  end(): void;
  /** Resolves when the receiver has every batch and knows of every barrier and of the end. Rejects when the channel is closed. */
  delivered(): Promise<void>;
  close(): void;
}

export interface ChannelReceiver {
  /** Subscribes: from then on nothing that is sent is missed. */
  open(): Promise<void>;
  /**
   * Grants the sender its first credit.
   * @param heard told of each barrier once, in order, as soon as it is known to come, before `next` hands it on
   */
  start(heard: (checkpoint: bigint) => void): void;
  /**
   * The next item, or undefined when the sender has ended. One taker at a time.
   * @param hold given a batch at the moment from which no capture has it; what is returned comes a little later
   * @throws {MillraceError} `MILL_PLAN_MISMATCH`: the sender's columns are others; what closed or broke the channel
   */
  next(hold?: (batch: RecordBatch) => void): Promise<ChannelItem | undefined>;
  /**
   * The batches before barrier `checkpoint` that `next` has not handed on at the moment of the call, in order; resolves when
   * the barrier and all of them have come. `next` hands the batches on as usual, and leaves that barrier out. An end before
   * the barrier counts as the barrier; one that `next` has handed on leaves nothing to capture.
   * @throws {MillraceError} `MILL_CHANNEL_GAP`: a later barrier came in its place; what closed or broke the channel
   */
  capture(checkpoint: bigint): Promise<readonly RecordBatch[]>;
  /** What has come and waits to be taken. */
  queued(): Queued;
  close(): void;
}
