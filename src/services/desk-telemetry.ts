/**
 * What an instance tells of its requests and calls: how long each request waited for earlier calls and for others to share its own, and how long
 * calls took. A request that is traced has a span from its arrival to its answer.
 *
 * A call of several traced requests is one span: the first one's child, and linked to the others. Each of them is linked to it in turn.
 */
import { METRICS } from "../base/metrics.js";
import type { Histogram, Span, Telemetry } from "../base/telemetry.js";

/** Of a request that is traced. */
export class RequestTrace {
  /** The call that has answered it; empty: none has. */
  answeredBy = "";

  constructor(
    readonly span: Span,
    private readonly telemetry: Telemetry,
  ) {}

  /** It waited from its arrival until `freeMs` for earlier calls, and from then on for the call to be made. */
  waited(service: string, arrivedMs: number, freeMs: number, nowMs: number): void {
    const parent = this.span.traceparent;
    this.telemetry.span(`queue wait ${service}`, parent, { startMs: arrivedMs })?.end("", freeMs);
    this.telemetry.span(`batch wait ${service}`, parent, { startMs: freeMs })?.end("", nowMs);
  }
}

interface Waiting {
  readonly arrivedMs: number;
  readonly trace?: RequestTrace | undefined;
}

/** A call of the handler that is under way. */
export interface CallTelemetry {
  /** Its span; empty: it is not traced. */
  readonly traceparent: string;
  end(code: string, nowMs: number): void;
}

export class DeskTelemetry {
  #queueWait: Histogram;
  #batchWait: Histogram;
  #rows: Histogram;
  #ok: Histogram;
  #failed: Histogram;
  /** Since when another call could have begun. */
  #freeMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly telemetry: Telemetry,
    private readonly service: string,
  ) {
    const named = { "millrace.service": service };
    this.#queueWait = telemetry.histogram(METRICS.queueWait, named);
    this.#batchWait = telemetry.histogram(METRICS.batchWait, named);
    this.#rows = telemetry.histogram(METRICS.callRows, named);
    this.#ok = telemetry.histogram(METRICS.callDuration, { ...named, "millrace.outcome": "ok" });
    this.#failed = telemetry.histogram(METRICS.callDuration, { ...named, "millrace.outcome": "failed" });
  }

  get on(): boolean {
    return this.telemetry.on;
  }

  /** A call has ended, and there was no room for another before. */
  freed(nowMs: number): void {
    this.#freeMs = nowMs;
  }

  /** Requests leave the queue together. */
  taken(requests: readonly Waiting[], nowMs: number): void {
    for (const { arrivedMs, trace } of requests) {
      const freeMs = Math.min(Math.max(arrivedMs, this.#freeMs), nowMs);
      this.#queueWait.record((freeMs - arrivedMs) / 1_000);
      this.#batchWait.record((nowMs - freeMs) / 1_000);
      trace?.waited(this.service, arrivedMs, freeMs, nowMs);
    }
  }

  /** The handler is called with their rows. */
  called(requests: readonly Waiting[], rows: number, startMs: number): CallTelemetry {
    this.#rows.record(rows);
    const span = this.#spanOf(requests, rows, startMs);
    return {
      traceparent: span?.traceparent ?? "",
      end: (code, nowMs) => {
        (code === "" ? this.#ok : this.#failed).record((nowMs - startMs) / 1_000);
        span?.end(code, nowMs);
      },
    };
  }

  #spanOf(requests: readonly Waiting[], rows: number, startMs: number): Span | undefined {
    const [first, ...others] = requests.flatMap(({ trace }) => (trace === undefined ? [] : [trace]));
    if (first === undefined) return undefined;
    const span = this.telemetry.span(`inference ${this.service}`, first.span.traceparent, {
      startMs,
      attributes: { "millrace.service": this.service, "millrace.rows": rows, "millrace.requests": requests.length },
      links: others.map((trace) => trace.span.traceparent),
    });
    if (span === undefined) return undefined;
    first.answeredBy = span.traceparent;
    for (const trace of others) {
      trace.answeredBy = span.traceparent;
      trace.span.link(span.traceparent);
    }
    return span;
  }
}
