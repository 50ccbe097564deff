/**
 * Dead letters of one actor: records that an operator refused, each with its reason, written through a transactional
 * sink like any other output of the region (rule 11).
 */
import { isErrorCode } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Sink, SinkContext } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import { type Row, t } from "../types/columns.js";
import type { BadRecord } from "./operator.js";
import { type OutputContent, TransactionalOutput } from "./output.js";
import { ownedInText } from "./owned-content.js";

export const deadLetterColumns = {
  operator: t.utf8,
  code: t.utf8,
  message: t.utf8,
  /**
   * The row as its operator saw it, as JSON: bytes in base64, 64-bit integers as text. Of content the reference and the size, of a
   * tensor the first elements.
   */
  record: t.utf8,
};

const SHOWN_ELEMENTS = 8;

export class DeadLetters {
  readonly output: TransactionalOutput;

  /** @param prefix that addresses of owned content begin with; undefined: the job has none */
  constructor(
    sink: Sink,
    context: Omit<SinkContext, "columns">,
    content?: OutputContent,
    private readonly prefix?: string,
  ) {
    this.output = new TransactionalOutput(() => sink.open({ ...context, columns: deadLetterColumns }), content);
  }

  async write(record: BadRecord): Promise<void> {
    const row: Row<typeof deadLetterColumns> = {
      operator: record.operator,
      code: isErrorCode(record.code) ? record.code : "MILL_OPERATOR_FAILED",
      message: record.message,
      record: JSON.stringify(record.row, showValue),
    };
    await this.output.write(batchFromRows(deadLetterColumns, [row]), ownedInText(row.record, this.prefix));
  }
}

/** What a value is, as far as it fits into a line: the bytes of content, and most elements of a tensor, say nothing there. */
function showValue(this: unknown, key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (!ArrayBuffer.isView(value)) return value;
  if (!(value instanceof Uint8Array)) return shortened(value as Float32Array);
  if ((key === "bytes" && isContent(this)) || value.length > limits.inlineLimitBytes) return `${value.length} bytes`;
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
}

function isContent(holder: unknown): boolean {
  return ["uri", "sizeBytes", "sha256", "mediaType"].every((part) => Object.hasOwn(holder as object, part));
}

function shortened(elements: Float32Array): string {
  const first = Array.from(elements.subarray(0, SHOWN_ELEMENTS), String);
  const dots = elements.length > SHOWN_ELEMENTS ? ["..."] : [];
  return `${elements.constructor.name}(${elements.length}) [${[...first, ...dots].join(", ")}]`;
}
