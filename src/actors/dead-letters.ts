/**
 * Dead letters of one actor: records that an operator refused, each with its reason, written through a transactional
 * sink like any other output of the region (DESIGN 6, rule 11). The file appears only when the region commits.
 */
import { isErrorCode } from "../base/errors.js";
import type { Sink, SinkContext, SinkWriter } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import { type Row, t } from "../types/columns.js";
import type { BadRecord } from "./operator.js";

export const deadLetterColumns = {
  operator: t.utf8,
  code: t.utf8,
  message: t.utf8,
  /** The row as its operator saw it, as JSON: bytes in base64, 64-bit integers as text. */
  record: t.utf8,
};

export class DeadLetters {
  /** A promise, because two operators may refuse their first record at the same time. */
  #writer: Promise<SinkWriter> | undefined;

  constructor(
    private readonly sink: Sink,
    private readonly context: Omit<SinkContext, "columns">,
  ) {}

  async write(record: BadRecord): Promise<void> {
    this.#writer ??= this.sink.open({ ...this.context, columns: deadLetterColumns });
    const writer = await this.#writer;
    const row: Row<typeof deadLetterColumns> = {
      operator: record.operator,
      code: isErrorCode(record.code) ? record.code : "MILL_OPERATOR_FAILED",
      message: record.message,
      record: JSON.stringify(record.row, showValue),
    };
    await writer.write(batchFromRows(deadLetterColumns, [row]));
  }

  /** Undefined when nothing was refused: no empty file then. */
  async prepare(checkpoint: bigint): Promise<Uint8Array | undefined> {
    return (await this.#writer)?.prepare(checkpoint);
  }

  async commit(prepared: Uint8Array): Promise<void> {
    await (await this.#writer)?.commit(prepared);
  }

  async abort(): Promise<void> {
    await (await this.#writer)?.abort();
  }
}

function showValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array)
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
  return value;
}
