/**
 * A transactional output of an actor: what a sink operator and the dead letters have in common.
 *
 * Invariants:
 *   U1  What was written before a cut is pending in that checkpoint's snapshot, and in every later one, until it is published.
 *   U2  Nothing is published before its checkpoint is in the region's log; `publish` goes by number, oldest first.
 *   U3  A restored output publishes what its snapshot holds, and drops what no snapshot holds. Where that may take long, it is pending
 *       (U1) as it was before, and published like the rest.
 */
import type { RecordBatch } from "apache-arrow";
import type { SinkWriter } from "../topology/endpoints.js";
import { type PendingOutput, sinkStateFrame } from "../wire/stored.js";
import { BlobReader, type BlobWriter } from "./blobs.js";
import type { Encode } from "./operator.js";

/** A frame's header is small; what some sinks prepare is not. */
const INLINE_BYTES_MAX = 4 * 1024;

interface Pending {
  readonly checkpoint: bigint;
  readonly prepared: Promise<Uint8Array>;
}

export class TransactionalOutput {
  /** A promise, because two operators may refuse their first record at the same time. */
  #opening: Promise<SinkWriter> | undefined;
  #writer: SinkWriter | undefined;
  #pending: Pending[] = [];
  #publishing: Promise<void> = Promise.resolve();

  constructor(private readonly openWriter: () => Promise<SinkWriter>) {}

  async open(): Promise<SinkWriter> {
    this.#opening ??= this.openWriter();
    this.#writer = await this.#opening;
    return this.#writer;
  }

  write(batch: RecordBatch): void | Promise<void> {
    if (this.#writer !== undefined) return this.#writer.write(batch);
    return this.open().then((writer) => writer.write(batch));
  }

  /** Undefined, or what to wait for before the next `write`; see `SinkWriter`. */
  room(): Promise<void> | undefined {
    return this.#writer?.room?.();
  }

  /** Nothing is written any more; the next cut says so. */
  end(): void {
    this.#writer?.end?.();
  }

  /** Whoever writes holds the gate until it is done, so a writer that is not open has been given nothing. */
  cut(checkpoint: bigint): Encode | undefined {
    if (this.#writer !== undefined) {
      const prepared = this.#writer.prepare(checkpoint);
      prepared.catch(() => {}); // met by whoever encodes
      this.#pending.push({ checkpoint, prepared });
    }
    const pending = [...this.#pending];
    if (pending.length === 0) return undefined;
    return async (blobs) => {
      const all = await Promise.all(
        pending.map(async (one) => ({ checkpoint: one.checkpoint, prepared: await one.prepared })),
      );
      const kept = all.filter(({ prepared }) => prepared.length > 0);
      return sinkStateFrame.encode({ pending: kept.map((one) => encodePending(one, blobs)) });
    };
  }

  /** Whether all that was cut is published. */
  get isPublished(): boolean {
    return this.#pending.length === 0;
  }

  /** U3 @param state undefined where the snapshot has none of it */
  async recover(state: Uint8Array | undefined, blobs = new BlobReader([], new Uint8Array())): Promise<void> {
    const pending = state === undefined ? [] : sinkStateFrame.decode(state).header.pending;
    const writer = await this.open();
    const prepared = pending.map((one) => (one.blob < 0 ? one.prepared : blobs.bytes(one.blob)));
    if (writer.resume === undefined) return writer.recover(prepared);
    await writer.resume(prepared);
    this.#pending = pending.map(({ checkpoint }, i) => ({ checkpoint, prepared: Promise.resolve(prepared[i]!) }));
  }

  /** U2 */
  publish(upTo: bigint): Promise<void> {
    this.#publishing = this.#publishing.then(async () => {
      for (let first = this.#pending[0]; first !== undefined && first.checkpoint <= upTo; first = this.#pending[0]) {
        await this.#writer!.commit(await first.prepared);
        this.#pending.shift();
      }
    });
    return this.#publishing;
  }

  async abort(): Promise<void> {
    await (await this.#opening)?.abort();
  }
}

function encodePending(one: { checkpoint: bigint; prepared: Uint8Array }, blobs: BlobWriter): PendingOutput {
  if (one.prepared.length <= INLINE_BYTES_MAX) return { ...one, blob: -1 };
  return { checkpoint: one.checkpoint, prepared: new Uint8Array(), blob: blobs.addBytes(one.prepared) };
}
