/**
 * What an operator is at run time: a step that is handed batches and hands on its own.
 *
 * Invariants that every operator keeps:
 *   R1  `emit` is the last thing it does with a batch; one that emits several times notes its progress before each call.
 *       So a batch is in one place at every moment: the operator's, or that of whoever it was handed to.
 *   R2  `end` resolves when everything that came of the input has been handed on.
 *   R3  A batch that was handed on is not changed afterwards; batches are passed by reference.
 *   R4  `cut` takes references, at once; what it returns encodes them later, while the operator works on.
 */
import type { RecordBatch } from "apache-arrow";
import type { ErrorCode } from "../base/errors.js";
import type { Log, Ports } from "../base/ports.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { GrantedGpu } from "../topology/operator-context.js";
import type { BlobReader, BlobWriter } from "./blobs.js";
import type { Gate, Saved } from "./gate.js";

/** Takes one batch; resolves when it may be given the next. Called by a flow that is inside the actor's gate. */
export type Emit = (batch: RecordBatch) => void | Promise<void>;

/** Encodes what was cut: a frame of the operator's kind of state. */
export type Encode = (blobs: BlobWriter) => Uint8Array | Promise<Uint8Array>;

export interface Operator {
  open?(): Promise<void>;
  process(batch: RecordBatch): void | Promise<void>;
  /** Called outside the gate, once the input has ended. */
  end(): void | Promise<void>;
  close?(): void | Promise<void>;
  /** Its state at this moment; undefined: there is none. */
  cut?(checkpoint: bigint): Encode | undefined;
  /** That checkpoint, and all before it, are committed: what it holds will not be asked for again. A hint; it may come twice. */
  committed?(checkpoint: bigint): void | Promise<void>;
  /** Before anything is processed: goes on from there. */
  restore?(state: Uint8Array, blobs: BlobReader): void | Promise<void>;
  /** Requests that have no answer yet, and rows that are held until they have: of `infer` alone. */
  underWay?(): UnderWay;
}

export interface UnderWay {
  readonly requests: number;
  readonly rows: number;
}

/** A record that its operator refuses, and why. */
export interface BadRecord {
  readonly operator: string;
  readonly code: ErrorCode | string;
  readonly message: string;
  /** The row as its operator saw it. */
  readonly row: Readonly<Record<string, unknown>>;
  /** That row alone, as it came in: what it takes to hand it to the operator again. */
  readonly batch: RecordBatch;
}

/** What an actor lends to its operators. */
export interface OperatorRuntime {
  readonly operator: string;
  readonly subtask: number;
  readonly attempt: number;
  readonly gpus: readonly GrantedGpu[];
  readonly ports: Ports;
  readonly log: Log;
  /** Empty: batches have their own. */
  readonly traceparent: string;
  readonly content: ContentAccess;
  readonly signal: AbortSignal;
  readonly counters: Counters;
  readonly gate: Pick<Gate, "flow">;
  /** Waits outside the gate, with a batch on its way into this operator, until `take` succeeds; see `Parking`. */
  park(batch: RecordBatch, take: () => boolean, changed: () => Promise<void>, saved?: Saved): Promise<void>;
  /** Snapshots hold the batch, as one on its way into this operator, until what is returned is called by a flow that is inside. */
  keep(batch: RecordBatch, saved: Saved): () => void;
  /** Takes the record out of the stream, or throws what fails the actor, as the user chose. */
  refuse(record: Omit<BadRecord, "operator">): void | Promise<void>;
  /** Fails the actor from outside a call. */
  fail(error: unknown): void;
}

/** Totals of one actor since its start. */
export interface Counters {
  rowsRead: number;
  rowsWritten: number;
  deadLetters: number;
  /** Rows that `infer` operators have sent and not yet handed on. */
  rowsInFlight: number;
}
