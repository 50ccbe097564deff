/** Writes the answers of one instance to its clients. The schema is spelt out to each client once. */
import type { Schema } from "apache-arrow";
import { type ErrorFacts, MillraceError } from "../base/errors.js";
import { encodeBatch, encodeSchema, schemaId } from "../wire/arrow.js";
import { type AnswerHeader, answerFrame, type LoadReport } from "../wire/frames.js";
import type { RowOutcome } from "./handler-call.js";
import type { Sender } from "./request-queue.js";
import { shortened } from "./row-errors.js";

export interface AnswerWriterOptions {
  readonly instance: string;
  readonly schema: Schema;
  load(): LoadReport;
  publish(client: string, frame: Uint8Array): void;
}

type Words = Pick<AnswerHeader, "status" | "code" | "message"> & { readonly retryAfterMs?: number };

export class AnswerWriter {
  #schema: Uint8Array;
  #schemaId: Uint8Array;
  #schemaSentTo = new Set<string>();

  constructor(private readonly options: AnswerWriterOptions) {
    this.#schema = encodeSchema(options.schema);
    this.#schemaId = schemaId(this.#schema);
  }

  ok(request: Sender, { records, rejected }: RowOutcome, repeatedRows: number): void {
    const schema = this.#schemaSentTo.has(request.client) ? null : this.#schema;
    const rejectedRows = rejected.size === 0 ? NOTHING.rejectedRows : [...rejected.values()];
    const outcome = { rejectedRows, rows: request.rows, schema, repeatedRows };
    try {
      this.#write(request, OK, outcome, encodeBatch(records));
      if (schema !== null) this.#schemaSentTo.add(request.client);
    } catch (cause) {
      this.failed(request, MillraceError.from(cause, "MILL_SERVICE_FAILED", "its answer cannot be sent"));
    }
  }

  failed(request: Sender, { code, message, facts }: MillraceError): void {
    this.#write(request, { status: "FAILED", code, message: shortened(message), retryAfterMs: retryAfterMs(facts) });
  }

  /** The rows are the client's again. */
  refused(request: Sender, status: "REJECTED" | "RETURNED" | "EXPIRED", message: string): void {
    this.#write(request, { status, code: "", message });
  }

  #write(
    { id, client, trace }: Sender,
    words: Words,
    outcome: Pick<AnswerHeader, "rejectedRows" | "rows" | "schema" | "repeatedRows"> = NOTHING,
    payload: readonly Uint8Array[] = [],
  ): void {
    const { instance, load, publish } = this.options;
    const { status, code, message, retryAfterMs: waitMs = 0 } = words;
    const { rejectedRows, rows, schema, repeatedRows } = outcome;
    const header: AnswerHeader = {
      id,
      instance,
      status,
      code,
      message,
      rejectedRows,
      rows,
      load: load(),
      schemaId: this.#schemaId,
      schema,
      retryAfterMs: waitMs,
      repeatedRows,
      traceparent: trace?.answeredBy ?? "",
    };
    trace?.span.end(status === "OK" ? "" : code || status);
    publish(client, answerFrame.encode(header, payload));
  }
}

const OK: Words = { status: "OK", code: "", message: "" };
const NOTHING = { rejectedRows: [], rows: 0, schema: null, repeatedRows: 0 };

function retryAfterMs({ retryAfterMs: ms }: ErrorFacts): number {
  return typeof ms === "number" && ms > 0 ? Math.min(Math.ceil(ms), 2 ** 31 - 1) : 0;
}
