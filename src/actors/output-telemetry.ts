/**
 * Spans of what a sink writes, and of its commits. A commit publishes many batches at once: its span is the child of the first that is traced,
 * and linked to the others.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { type Ports, telemetryOf } from "../base/ports.js";
import type { Span, Telemetry } from "../base/telemetry.js";
import { traceOf } from "../types/batch-trace.js";

export class OutputTelemetry {
  readonly #telemetry: Telemetry;
  /** Spans of what was written since the last cut, up to `limits.telemetryLinksMax`. */
  #written: string[] = [];
  #commits: { readonly checkpoint: bigint; readonly span: Span }[] = [];

  constructor(
    ports: Pick<Ports, "telemetry">,
    private readonly operator: string,
  ) {
    this.#telemetry = telemetryOf(ports);
  }

  /** From the moment that the sink is handed the batch. */
  writing(batch: RecordBatch): Span | undefined {
    const trace = traceOf(batch);
    if (trace === "") return undefined;
    const attributes = { "millrace.operator": this.operator, "millrace.rows": batch.numRows };
    return this.#telemetry.span(`write ${this.operator}`, trace, { attributes });
  }

  written(span: Span): void {
    span.end();
    if (this.#written.length < limits.telemetryLinksMax) this.#written.push(span.traceparent);
  }

  /** What was written until now is this checkpoint's. */
  cut(checkpoint: bigint): void {
    const [first, ...links] = this.#written;
    if (first === undefined) return;
    this.#written = [];
    const attributes = { "millrace.operator": this.operator, "millrace.checkpoint": Number(checkpoint) };
    const span = this.#telemetry.span(`commit ${this.operator}`, first, { kind: "producer", attributes, links });
    if (span !== undefined) this.#commits.push({ checkpoint, span });
  }

  /** It is published, and all before it. */
  published(checkpoint: bigint): void {
    for (
      let first = this.#commits[0];
      first !== undefined && first.checkpoint <= checkpoint;
      first = this.#commits[0]
    ) {
      first.span.end();
      this.#commits.shift();
    }
  }
}
