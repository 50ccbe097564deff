/**
 * Dead letters of one actor: records that an operator refused, each with its reason, written through a transactional
 * sink like any other output of the region (rule 11).
 */
import type { RecordBatch } from "apache-arrow";
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { ContentAccess, Sink, SinkContext } from "../topology/endpoints.js";
import { batchFromRows } from "../types/batches.js";
import { type Row, t } from "../types/columns.js";
import { encodeRow } from "../wire/arrow-row.js";
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
  /** When, in milliseconds since 1970, by the clock of the operator's host. */
  atMs: t.timestamp,
  /**
   * The same row whole, to be handed to the operator again: `wire/arrow-row.ts` in base64, or the address of content of the job and, behind
   * `#`, its bytes where it is large; empty: it cannot be.
   */
  row: t.utf8,
};

const SHOWN_ELEMENTS = 8;

export class DeadLetters {
  readonly output: TransactionalOutput;

  /** @param kept.prefix that addresses of owned content begin with; undefined: the job has none */
  constructor(
    sink: Sink,
    context: Omit<SinkContext, "columns">,
    private readonly clock: Pick<Clock, "nowMs">,
    content?: OutputContent,
    private readonly kept: { readonly content?: Pick<ContentAccess, "put">; readonly prefix?: string | undefined } = {},
  ) {
    this.output = new TransactionalOutput(() => sink.open({ ...context, columns: deadLetterColumns }), content);
  }

  async write(record: BadRecord): Promise<void> {
    const row: Row<typeof deadLetterColumns> = {
      operator: record.operator,
      code: isErrorCode(record.code) ? record.code : "MILL_OPERATOR_FAILED",
      message: record.message,
      record: JSON.stringify(record.row, showValue),
      atMs: Math.trunc(this.clock.nowMs()),
      row: await this.#whole(record.batch),
    };
    const contents = ownedInText(`${row.record} ${row.row}`, this.kept.prefix);
    await this.output.write(batchFromRows(deadLetterColumns, [row]), contents);
  }

  async #whole(batch: RecordBatch): Promise<string> {
    let bytes: Uint8Array;
    try {
      bytes = encodeRow(batch);
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_RECORD_INVALID") return ""; // a column is of a type that is not sent
      throw error;
    }
    if (bytes.length <= limits.inlineLimitBytes) return Buffer.from(bytes).toString("base64");
    const { content, prefix } = this.kept;
    if (content === undefined || prefix === undefined) return "";
    return `${(await content.put(bytes)).uri}#${bytes.length}`;
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
