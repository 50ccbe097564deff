/**
 * Dead letters of one actor: records that an operator refused, each with its reason, written through a transactional
 * sink like any other output of the region (rule 11).
 */
import { isErrorCode } from "../base/errors.js";
import type { Sink, SinkContext } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import { type Row, t } from "../types/columns.js";
import type { BadRecord } from "./operator.js";
import { TransactionalOutput } from "./output.js";

export const deadLetterColumns = {
  operator: t.utf8,
  code: t.utf8,
  message: t.utf8,
  /** The row as its operator saw it, as JSON: bytes in base64, 64-bit integers as text. */
  record: t.utf8,
};

export class DeadLetters {
  readonly output: TransactionalOutput;

  constructor(sink: Sink, context: Omit<SinkContext, "columns">) {
    this.output = new TransactionalOutput(() => sink.open({ ...context, columns: deadLetterColumns }));
  }

  async write(record: BadRecord): Promise<void> {
    const row: Row<typeof deadLetterColumns> = {
      operator: record.operator,
      code: isErrorCode(record.code) ? record.code : "MILL_OPERATOR_FAILED",
      message: record.message,
      record: JSON.stringify(record.row, showValue),
    };
    await this.output.write(batchFromRows(deadLetterColumns, [row]));
  }
}

function showValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  return value;
}
