/**
 * A transactional output of an actor: what a sink operator and the dead letters have in common.
 *
 * Invariants:
 *   U1  What was written before a cut is pending in that checkpoint's snapshot, and in every later one, until it is published.
 *   U2  Nothing is published before its checkpoint is in the region's log; `publish` goes by number, oldest first.
 *   U3  A restored output publishes what its snapshot holds, and drops what no snapshot holds. Where that may take long, it is pending
 *       (U1) as it was before, and published like the rest.
 *   U4  Which owned content a checkpoint's output refers to is recorded before anything of it can be published, and in each snapshot in
 *       which it is pending.
 *   U5  Once it is aborted nothing is written any more: flows that were under way would fill what nobody drops.
 */
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { SinkWriter } from "../topology/endpoints.js";
import { type PendingOutput, sinkStateFrame } from "../wire/stored.js";
import { BlobReader, type BlobWriter } from "./blobs.js";
import type { Encode } from "./operator.js";
import { type OwnedIn, refersToNothing } from "./owned-content.js";

/** A frame's header is small; what some sinks prepare is not. */
const INLINE_BYTES_MAX = 4 * 1024;

interface Pending {
  readonly checkpoint: bigint;
  readonly prepared: Promise<Uint8Array>;
  readonly contents: Iterable<string>;
}

/** How an output keeps alive what it refers to. */
export interface OutputContent {
  readonly ownedIn: OwnedIn;
  /** Undefined: what is published is looked through by whoever has to know. @param name of what is published; undefined: nobody can say */
  readonly record?:
    | ((checkpoint: bigint, name: string | undefined, contents: readonly string[]) => Promise<void>)
    | undefined;
}

export class TransactionalOutput {
  /** A promise, because two operators may refuse their first record at the same time. */
  #opening: Promise<SinkWriter> | undefined;
  #writer: SinkWriter | undefined;
  #pending: Pending[] = [];
  #publishing: Promise<void> = Promise.resolve();
  /** What was written since the last cut refers to. */
  #contents = new Set<string>();
  #aborted = false;

  constructor(
    private readonly openWriter: () => Promise<SinkWriter>,
    private readonly content: OutputContent = { ownedIn: refersToNothing },
    /** Told of each checkpoint that is published. */
    private readonly onPublished: (checkpoint: bigint) => void = () => {},
  ) {}

  async open(): Promise<SinkWriter> {
    this.#opening ??= this.openWriter();
    this.#writer = await this.#opening;
    return this.#writer;
  }

  /** @param contents owned content that it refers to */
  write(batch: RecordBatch, contents = this.content.ownedIn(batch)): void | Promise<void> {
    if (this.#aborted) throw new MillraceError("MILL_JOB_FAILED", "the output was aborted: its actor has stopped."); // U5
    if (this.#writer === undefined) return this.open().then(() => this.write(batch, contents));
    for (const hash of contents) this.#contents.add(hash);
    return this.#writer.write(batch);
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
      const contents = [...this.#contents];
      this.#contents.clear();
      const prepared = this.#recorded(this.#writer, checkpoint, contents);
      prepared.catch(() => {}); // met by whoever encodes
      this.#pending.push({ checkpoint, prepared, contents });
    }
    const pending = [...this.#pending];
    if (pending.length === 0) return undefined;
    return async (blobs) => {
      const all = await Promise.all(pending.map(async (one) => ({ ...one, prepared: await one.prepared })));
      const kept = all.filter(({ prepared }) => prepared.length > 0);
      return sinkStateFrame.encode({ pending: kept.map((one) => encodePending(one, blobs)) });
    };
  }

  /** U4 */
  async #recorded(writer: SinkWriter, checkpoint: bigint, contents: readonly string[]): Promise<Uint8Array> {
    const prepared = writer.prepare(checkpoint); // at once: it cuts
    if (contents.length === 0) return prepared;
    const recorded = this.content.record?.(checkpoint, writer.publishes?.(checkpoint), contents);
    const [bytes] = await Promise.all([prepared, recorded]);
    return bytes;
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
    this.#pending = pending.map(({ checkpoint, contents }, i) => ({
      checkpoint,
      prepared: Promise.resolve(prepared[i]!),
      contents: blobs.contents(contents),
    }));
  }

  /** U2 */
  publish(upTo: bigint): Promise<void> {
    this.#publishing = this.#publishing.then(async () => {
      for (let first = this.#pending[0]; first !== undefined && first.checkpoint <= upTo; first = this.#pending[0]) {
        await this.#writer!.commit(await first.prepared);
        this.#pending.shift();
        this.onPublished(first.checkpoint);
      }
    });
    return this.#publishing;
  }

  async abort(): Promise<void> {
    this.#aborted = true;
    await (await this.#opening)?.abort();
  }
}

function encodePending(
  { checkpoint, prepared, contents }: { checkpoint: bigint; prepared: Uint8Array; contents: Iterable<string> },
  blobs: BlobWriter,
): PendingOutput {
  const listed = blobs.addContents(contents);
  if (prepared.length <= INLINE_BYTES_MAX) return { checkpoint, prepared, blob: -1, contents: listed };
  return { checkpoint, prepared: new Uint8Array(), blob: blobs.addBytes(prepared), contents: listed };
}
