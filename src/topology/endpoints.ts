/**
 * What a topology knows of its sources and sinks. `src/connectors` has the ones that ship; anybody may write more.
 */
import type { RecordBatch } from "apache-arrow";
import type { Log } from "../base/ports.js";
import type { ArrowColumns, Columns, ObjectRef } from "../types/columns.js";

/** A piece of a source's input, read by one reader at a time. */
export interface Split {
  /** Unique within the source, the same whenever the source is listed again. */
  readonly id: string;
  /** Whatever the source needs to open it. */
  readonly payload: Uint8Array;
  /** Rows in it, if that is known without reading: progress bars count in it. */
  readonly rows: number;
}

/** Content by URI; verified where the reference says how. */
export interface ContentAccess {
  read(ref: ObjectRef, signal?: AbortSignal): Promise<Uint8Array>;
  list(pattern: string): Promise<{ readonly uri: string; readonly sizeBytes: number; readonly version: string }[]>;
}

export interface SourceContext {
  readonly content: ContentAccess;
  readonly log: Log;
  readonly signal: AbortSignal;
}

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
  /** Reads one split from its start, in order. */
  read(split: Split, context: SourceContext): AsyncIterable<RecordBatch<ArrowColumns<C>>>;
}

/** One file or object prefix that a sink writes to; resolved by whoever runs the job. */
export interface OutputFolder {
  /** For messages. */
  readonly url: string;
  /** Publishes one object atomically. */
  put(name: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void>;
  /** Makes what was put as `from` visible as `to`; does nothing when that has been done. */
  move(from: string, to: string): Promise<void>;
  delete(name: string): Promise<void>;
}

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
 * `prepare` makes everything written since the last one durable and returns what `commit` needs; committing the
 * same again changes nothing.
 */
export interface SinkWriter {
  write(batch: RecordBatch): void | Promise<void>;
  prepare(checkpoint: bigint): Promise<Uint8Array>;
  commit(prepared: Uint8Array): Promise<void>;
  /** Drops what was written and not prepared. */
  abort(): Promise<void>;
}

export interface Sink {
  readonly kind: string;
  readonly describe: string;
  /** Folder or `s3://bucket/prefix`; a relative one is under the job's output root. */
  readonly url: string;
  /** @throws `MILL_TOPOLOGY_TYPE` for a column that the format cannot hold */
  check(columns: Columns): void;
  open(context: SinkContext): Promise<SinkWriter>;
}
