/**
 * What a topology knows of its sources and sinks. `src/connectors` has the ones that ship; anybody may write more.
 */
import type { RecordBatch } from "apache-arrow";
import type { Log } from "../base/ports.js";
import type { ArrowColumns, Columns } from "../types/columns.js";
import type { ContentRange } from "../types/content-refs.js";
import type { Content, ObjectRef } from "../types/content-types.js";

/** A piece of a source's input, read by one reader at a time. */
export interface Split {
  /** Unique within the source, the same whenever the source is listed again. */
  readonly id: string;
  /** Whatever the source needs to open it. */
  readonly payload: Uint8Array;
  /** Rows in it, if that is known without reading: progress bars count in it. */
  readonly rows: number;
}

/**
 * Content, wherever it is: a value that holds its bytes, or a reference to `file:`, `s3:`, `http(s):` and `data:` addresses. Size and
 * SHA-256 are checked where the reference says them. docs/content.md has the errors, and which of them a retry may help.
 */
export interface ContentAccess {
  /** All of it. The bytes are shared with others who read the same content: copy them before you change them. */
  bytes(value: ObjectRef | Content, signal?: AbortSignal): Promise<Uint8Array>;
  /** In pieces, of any length, never held whole in memory. What does not fit size or hash fails before the last piece is handed out. */
  stream(value: ObjectRef | Content, signal?: AbortSignal): AsyncIterable<Uint8Array>;
  /** A part of it, to be read later or elsewhere; nothing is read. */
  slice(value: Content, range: ContentRange): Content;
  slice(value: ObjectRef, range: ContentRange): ObjectRef;
  /** Everything that matches, sorted by URI. */
  list(pattern: string): Promise<{ readonly uri: string; readonly sizeBytes: number; readonly version: string }[]>;
  /**
   * Keeps bytes for the job, under their hash; they live as long as something of it refers to them. The bytes are given away.
   * @returns a reference that every process of the job can read
   */
  put(bytes: Uint8Array, options?: { readonly mediaType?: string; readonly signal?: AbortSignal }): Promise<Content>;
}

/** What a source gets when it lists its splits or reads one. */
export interface SourceContext {
  readonly content: ContentAccess;
  readonly log: Log;
  readonly signal: AbortSignal;
}

/** How far a split has been read: nothing yet, or what a checkpoint of its reader holds. */
export interface SplitProgress {
  /** Batches of the split that have been taken. */
  readonly batches: number;
  /** Position that came with the last of them, if the source gives positions. */
  readonly position: Uint8Array | undefined;
}

/**
 * A batch of a source that can continue in the middle of a split: after this batch, at `position`. One without rows is handed to
 * nobody: it says that the source has come further, so that what is before may be let go of.
 */
export interface PositionedBatch<C extends Columns = Columns> {
  readonly batch: RecordBatch<ArrowColumns<C>>;
  readonly position: Uint8Array;
}

/**
 * Where records come from.
 *
 * Invariants that every source keeps:
 *   E1  A split that is read again gives the same batches in the same order, also in another process.
 *   E2  Either every batch comes with a position or none does. With positions, `read` continues after `from.position`.
 *       Without, it ignores `from` and reads from the split's start: its caller skips the first `from.batches`.
 */
export interface Source<C extends Columns = Columns> {
  readonly kind: string;
  readonly columns: C;
  /** For `millrace plan` and messages. */
  readonly describe: string;
  /** Local files that a job on other machines cannot see: a submission uploads what matches and calls `relocated`. */
  readonly localPattern?: string;
  relocated?(pattern: string): Source<C>;
  /** Lists the input. @throws `MILL_SOURCE_EMPTY` when there is none */
  splits(context: SourceContext): AsyncIterable<Split>;
  /** Reads one split in order, from its start or from where a checkpoint left it (E1, E2). */
  read(
    split: Split,
    context: SourceContext,
    from: SplitProgress,
  ): AsyncIterable<RecordBatch<ArrowColumns<C>> | PositionedBatch<C>>;
  /**
   * A committed checkpoint of the split's reader has passed `position`: nobody asks for what is before it again.
   * A hint: it may come twice, late, or not at all.
   */
  release?(split: Split, position: Uint8Array, context: SourceContext): Promise<void>;
}

/** One file or object prefix that a sink writes to; resolved by whoever runs the job. */
export interface OutputFolder {
  /** For messages. */
  readonly url: string;
  /**
   * Publishes one object atomically: bytes in hand, or pieces as they come, which are let go of one by one. A piece may be filled again
   * when the next one is asked for. Pieces that fail, or the signal, leave nothing behind.
   */
  put(name: string, body: Uint8Array | AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /** Makes what was put as `from` visible as `to`; does nothing when that has been done. */
  move(from: string, to: string): Promise<void>;
  /** Does nothing when there is no such name. Of pieces that are still coming, or whose process died, nothing that `list` gives is left either. */
  delete(name: string): Promise<void>;
  /** Every name that starts with `prefix`, also of pieces that are still coming, or whose process died, where the store can tell (S3 cannot). */
  list(prefix: string): Promise<string[]>;
}

/** What a sink gets when one of its parallel instances opens. */
export interface SinkContext<C extends Columns = Columns> {
  readonly columns: C;
  /** Id of the operator and number of the parallel instance: with the checkpoint, they name what is published. */
  readonly operator: string;
  readonly subtask: number;
  /** Grows with every restart of the region; staged names contain it, published ones do not. */
  readonly attempt: number;
  readonly output: OutputFolder;
  readonly log: Log;
}

/**
 * A transactional writer: nothing that it was given is visible before `commit`.
 *
 * Invariants that every writer keeps (`test/conformance/sink.ts`):
 *   W1  `prepare` cuts at once, before it returns its promise: what is written after the call belongs to the next
 *       checkpoint. Several may be under way at a time.
 *   W2  When `prepare` has resolved, what it covers is durable; its bytes are all that `commit` needs, in any process.
 *   W3  Committing again changes nothing, also from the writer of another attempt, also long after.
 *   W4  What one attempt writes never touches what another has prepared or published.
 */
export interface SinkWriter {
  write(batch: RecordBatch): void | Promise<void>;
  /**
   * Asked before `write`: undefined, or a promise to wait for first, which may take as long as a reader elsewhere does. Whoever
   * waits must not keep a checkpoint from being taken meanwhile.
   */
  room?(): Promise<void> | undefined;
  /** The input has ended: nothing is written any more. What tells readers so belongs to the next `prepare`. */
  end?(): void;
  /**
   * @param checkpoint grows from call to call, and is not given again by a later attempt for other rows that are committed
   * @returns what the snapshot of the checkpoint keeps until it is committed; empty: there is nothing to commit
   */
  prepare(checkpoint: bigint): Promise<Uint8Array>;
  /**
   * Asked right after `prepare`, where its rows refer to content that belongs to the job: the name below `SinkContext.output` under
   * which they will be published. As long as that is there, the content is kept; without a name, for as long as the job has any.
   */
  publishes?(checkpoint: bigint): string;
  /** Publishes; the checkpoint's manifest exists. Empty bytes are allowed, and nothing. */
  commit(prepared: Uint8Array): Promise<void>;
  /**
   * Called once, before the first `write` of an attempt that is not the first. Commits all of `pending`, oldest first, and
   * removes what lower attempts of this operator and subtask staged and `pending` does not name.
   *
   * @param pending what was prepared and is not known to be committed, from the manifest that the attempt starts with
   */
  recover(pending: readonly Uint8Array[]): Promise<void>;
  /**
   * Asked instead of `recover`, by whoever goes on meanwhile: takes up from `pending`, and commits none of it. The caller keeps it,
   * and commits it afterwards, oldest first. For writers whose commits may wait for as long as a reader elsewhere takes.
   */
  resume?(pending: readonly Uint8Array[]): Promise<void>;
  /** Drops what was written and not prepared. Deletes nothing that was prepared: a manifest may name it. Nothing is written after it. */
  abort(): Promise<void>;
}

/**
 * Where a stream ends. What it writes becomes visible with the checkpoint that it belongs to. Made by `parquet`, `jsonl`, `arrow`, or written by
 * you.
 */
export interface Sink {
  readonly kind: string;
  readonly describe: string;
  /** Folder or `s3://bucket/prefix`; a relative one is under the job's output root. */
  readonly url: string;
  /** @throws `MILL_TOPOLOGY_TYPE` for a column that the format cannot hold */
  check(columns: Columns): void;
  open(context: SinkContext): Promise<SinkWriter>;
}
