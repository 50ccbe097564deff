/**
 * What an operator is at run time: a step that is handed batches and hands on its own.
 *
 * Invariants that every operator keeps:
 *   R1  `process` is called again only after the call before has resolved; whoever drives it waits. That wait is the
 *       back-pressure of a chain.
 *   R2  `end` resolves when everything that came of the input has been handed on.
 *   R3  A batch that was handed on is not changed afterwards; batches are passed by reference.
 */
import type { RecordBatch } from "apache-arrow";
import type { ErrorCode } from "../base/errors.js";
import type { Log, Ports } from "../base/ports.js";
import type { ContentAccess } from "../topology/endpoints.js";

/** Takes one batch; resolves when it may be given the next. */
export type Emit = (batch: RecordBatch) => void | Promise<void>;

export interface Operator {
  open?(): Promise<void>;
  process(batch: RecordBatch): void | Promise<void>;
  end(): void | Promise<void>;
  close?(): void | Promise<void>;
}

/** A record that its operator refuses, and why. */
export interface BadRecord {
  readonly operator: string;
  readonly code: ErrorCode | string;
  readonly message: string;
  /** The row as its operator saw it. */
  readonly row: Readonly<Record<string, unknown>>;
}

/** What an actor lends to its operators. */
export interface OperatorRuntime {
  readonly operator: string;
  readonly subtask: number;
  readonly attempt: number;
  readonly ports: Ports;
  readonly log: Log;
  readonly content: ContentAccess;
  readonly signal: AbortSignal;
  readonly counters: Counters;
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

/** Runs calls one after another, for an operator that several inputs drive. */
export class Turnstile {
  #last: Promise<void> = Promise.resolve();

  pass(call: () => void | Promise<void>): Promise<void> {
    const turn = this.#last.then(call);
    this.#last = turn.catch(() => {});
    return turn;
  }
}
