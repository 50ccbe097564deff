/**
 * What the operators of an actor tell: rows, batches and bytes that they are handed, rows that they hand on, and for a batch that is traced
 * a span for each step. All of it once a batch; where nothing is kept, the ways between operators are as they were.
 */
import type { RecordBatch } from "apache-arrow";
import { METRICS } from "../base/metrics.js";
import { type Ports, telemetryOf } from "../base/ports.js";
import type { Counter, Histogram, Span, Telemetry } from "../base/telemetry.js";
import type { OperatorNode } from "../topology/nodes.js";
import { traceOf, withTrace } from "../types/batch-trace.js";
import { batchBytes } from "../types/batches.js";
import type { Emit } from "./operator.js";

/** Those that work on a batch while they are handed it. Row functions, `infer` and sinks have spans of their own; the others only pass on. */
const WORKING = new Set<OperatorNode["kind"]>(["map", "apply", "reduce", "process"]);

type Clocked = Pick<Ports, "clock" | "telemetry">;

export class OperatorTelemetry {
  readonly #telemetry: Telemetry;
  readonly #named: { readonly "millrace.operator": string };
  /** Of batches that the operator works on, by their trace. */
  readonly #working = new Map<string, Span>();

  constructor(
    ports: Pick<Ports, "telemetry">,
    private readonly node: Pick<OperatorNode, "id" | "kind">,
  ) {
    this.#telemetry = telemetryOf(ports);
    this.#named = { "millrace.operator": node.id };
  }

  /** The way into the operator. */
  entrance(process: Emit): Emit {
    const { kind } = this.node;
    if (!this.#telemetry.on || kind === "source" || kind === "durable") return process; // nobody hands them anything
    const rows = this.#telemetry.counter(METRICS.operatorRowsIn, this.#named);
    const batches = this.#telemetry.counter(METRICS.operatorBatchesIn, this.#named);
    const bytes = this.#telemetry.counter(METRICS.operatorBytesIn, this.#named);
    const works = WORKING.has(kind);
    return (batch) => {
      rows.add(batch.numRows);
      batches.add(1);
      bytes.add(batchBytes(batch));
      const trace = works ? traceOf(batch) : "";
      return trace === "" ? process(batch) : this.#work(batch, trace, process);
    };
  }

  /** The way out of it. */
  exit(emit: Emit): Emit {
    if (!this.#telemetry.on) return emit;
    const rows = this.#telemetry.counter(METRICS.operatorRowsOut, this.#named);
    return (batch) => {
      rows.add(batch.numRows);
      // What comes after the operator is in its call, but not its work.
      if (this.#working.size > 0) this.#working.get(traceOf(batch))?.end();
      return emit(batch);
    };
  }

  async #work(batch: RecordBatch, trace: string, process: Emit): Promise<void> {
    const attributes = { ...this.#named, "millrace.rows": batch.numRows };
    const span = this.#telemetry.span(`process ${this.node.id}`, trace, { attributes });
    if (span === undefined) return process(batch);
    this.#working.set(trace, span);
    try {
      await process(batch);
      span.end();
    } catch (error) {
      span.end((error as { code?: string }).code ?? "MILL_OPERATOR_FAILED");
      throw error;
    } finally {
      if (this.#working.get(trace) === span) this.#working.delete(trace);
    }
  }
}

/** Of a batch on its way through an operator, which ends it; undefined: the batch is not traced. @param verb what is done with it */
export function batchSpan(
  ports: Pick<Ports, "telemetry">,
  verb: string,
  operator: string,
  batch: RecordBatch,
): Span | undefined {
  const trace = traceOf(batch);
  if (trace === "") return undefined;
  const attributes = { "millrace.operator": operator, "millrace.rows": batch.numRows };
  return telemetryOf(ports).span(`${verb} ${operator}`, trace, { attributes });
}

/** Waits for room at a receiver. */
export class SendTelemetry {
  readonly #telemetry: Telemetry;
  readonly #wait: Histogram;

  constructor(
    private readonly ports: Clocked,
    private readonly operator: string,
  ) {
    this.#telemetry = telemetryOf(ports);
    this.#wait = this.#telemetry.histogram(METRICS.creditWait, { "millrace.operator": operator });
  }

  /** @param waiting what resolves when the batch has been taken */
  waited(batch: RecordBatch, waiting: Promise<void>): Promise<void> {
    return this.#telemetry.on ? this.#waited(batch, waiting) : waiting;
  }

  async #waited(batch: RecordBatch, waiting: Promise<void>): Promise<void> {
    const startMs = this.ports.clock.monotonicMs();
    await waiting;
    const nowMs = this.ports.clock.monotonicMs();
    this.#wait.record((nowMs - startMs) / 1_000);
    const about = { startMs, attributes: { "millrace.operator": this.operator } };
    this.#telemetry.span(`wait for credit ${this.operator}`, traceOf(batch), about)?.end("", nowMs);
  }
}

/** Batches that a source reads: where a trace begins, and where one goes on that came through a durable exchange. */
export class ReadTelemetry {
  readonly #telemetry: Telemetry;
  /** When the source was asked for the batch that comes next. */
  #askedMs: number | undefined;

  /** @param begins false: its batches have come from another source, which has decided what is traced */
  constructor(
    private readonly ports: Clocked,
    private readonly operator: string,
    private readonly begins: boolean,
  ) {
    this.#telemetry = telemetryOf(ports);
  }

  /** The source is asked for a batch. Where others make the rows, most of the time until they come is not spent on reading them. */
  asks(): void {
    if (this.#telemetry.on && this.begins) this.#askedMs = this.ports.clock.monotonicMs();
  }

  /** The way out of the source. */
  exit(emit: Emit): Emit {
    return this.#telemetry.on ? (batch) => emit(this.#read(batch)) : emit;
  }

  /** @returns the batch itself */
  #read(batch: RecordBatch): RecordBatch {
    const attributes = { "millrace.operator": this.operator, "millrace.rows": batch.numRows };
    const name = `read ${this.operator}`;
    const about = {
      attributes,
      kind: "consumer",
      ...(this.#askedMs !== undefined && { startMs: this.#askedMs }),
    } as const;
    const span = this.begins ? this.#telemetry.root(name, about) : this.#telemetry.span(name, traceOf(batch), about);
    if (span === undefined) return batch;
    span.end();
    return withTrace(batch, span.traceparent);
  }
}

/** For the `Counter` of rows that an operator refuses. */
export function deadLetterCounter(ports: Pick<Ports, "telemetry">, operator: string): Counter {
  return telemetryOf(ports).counter(METRICS.deadLetters, { "millrace.operator": operator });
}
