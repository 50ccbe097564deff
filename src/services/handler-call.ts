/**
 * One call of a loaded handler: what it answers is checked, what it refuses is collected, and a call that is too large for
 * the memory is made again in halves.
 *
 * Invariants:
 *   K1  What is given back has as many rows as were given, in the declared columns; or it throws what was wrong.
 *   K2  `MILL_OUT_OF_MEMORY` halves a call down to single rows; the size is told to `onOutOfMemory`.
 */
import type { RecordBatch, Schema } from "apache-arrow";
import { MillraceError } from "../base/errors.js";
import type { Log } from "../base/ports.js";
import type { ContentAccess } from "../topology/endpoints.js";
import type { CallContext, LoadedHandler } from "../topology/service.js";
import type { Columns } from "../types/columns.js";
import { concatBatches } from "../types/concat.js";
import type { RejectedRow } from "../wire/frames.js";
import type { CallAbort } from "./call-abort.js";
import { asDeclared } from "./declared-batch.js";
import { shortened } from "./row-errors.js";

export interface HandlerCall {
  readonly abort: CallAbort;
  readonly timeLeftMs: number;
  /** Empty: it is not traced. */
  readonly traceparent: string;
  rowId(row: number): string;
}

export interface RowOutcome {
  readonly records: RecordBatch;
  readonly rejected: ReadonlyMap<number, RejectedRow>;
}

export class CheckedHandler {
  #maker: string;

  constructor(
    service: string,
    private readonly handler: LoadedHandler<Columns, Columns>,
    private readonly declared: Schema,
    private readonly content: ContentAccess,
    private readonly log: Log,
    private readonly onOutOfMemory: (rows: number) => void,
  ) {
    this.#maker = `the handler of service "${service}"`;
  }

  /** @throws {MillraceError} `MILL_SERVICE_FAILED` for what the handler threw, or another code that it chose */
  async call(batch: RecordBatch, call: HandlerCall): Promise<RowOutcome> {
    try {
      const rejected = new Map<number, RejectedRow>();
      const answered = await this.handler.infer(batch, this.#contextOf(batch.numRows, call, rejected));
      return { records: this.#checked(batch.numRows, answered), rejected };
    } catch (cause) {
      const error = MillraceError.from(cause, "MILL_SERVICE_FAILED");
      if (error.code !== "MILL_OUT_OF_MEMORY" || call.abort.aborted) throw error;
      this.onOutOfMemory(batch.numRows);
      if (batch.numRows === 1) throw error;
      return this.#inHalves(batch, call);
    }
  }

  async #inHalves(batch: RecordBatch, call: HandlerCall): Promise<RowOutcome> {
    const half = batch.numRows >> 1;
    const first = await this.call(batch.slice(0, half), call);
    const second = await this.call(batch.slice(half), { ...call, rowId: (row) => call.rowId(half + row) });
    const rejected = new Map(first.rejected);
    for (const [row, reason] of second.rejected) rejected.set(half + row, { ...reason, row: half + row });
    return { records: concatBatches([first.records, second.records]), rejected };
  }

  #contextOf(rows: number, call: HandlerCall, rejected: Map<number, RejectedRow>): CallContext {
    const { abort, timeLeftMs, rowId, traceparent } = call;
    const { log } = this;
    return {
      get signal() {
        return abort.signal;
      },
      content: this.content,
      timeLeftMs,
      rowId,
      traceparent,
      log: traceparent === "" ? log : log.child({ trace: traceparent }),
      reject(row, cause) {
        if (!Number.isInteger(row) || row < 0 || row >= rows) {
          throw new MillraceError(
            "MILL_SERVICE_FAILED",
            `the handler refused row ${row} of a call with ${rows} rows; rows are numbered from 0.`,
          );
        }
        const error = MillraceError.from(cause, "MILL_RECORD_INVALID");
        if (!rejected.has(row)) rejected.set(row, { row, code: error.code, message: shortened(error.message) });
      },
    };
  }

  /** K1 */
  #checked(rows: number, answered: unknown): RecordBatch {
    const records = asDeclared(this.#maker, this.declared, answered);
    if (records.numRows === rows) return records;
    throw new MillraceError(
      "MILL_SERVICE_FAILED",
      `the handler was given ${rows} rows and answered with ${records.numRows}; it must answer each row in its place.`,
    );
  }
}
