/**
 * The door to traces and metrics. What implements it is `src/telemetry`; without one, nothing is kept and nothing is allocated.
 *
 * Invariants that every implementation keeps:
 *   Y1  Whether a trace is recorded is decided once, where it begins (`root`). Only spans of recorded traces have a `traceparent`,
 *       and only where there is one does `span` make another: what is not recorded costs a look at an empty text.
 *   Y2  Instruments are made beforehand; adding to one allocates nothing.
 *   Y3  Names and attributes are those of `metrics.ts`. Values of attributes are ids of what a plan declares: never of rows,
 *       requests, attempts or checkpoints.
 */
import type { Metric } from "./metrics.js";

export type Attributes = Readonly<Record<string, string | number | boolean>>;

export type SpanKind = "internal" | "server" | "client" | "producer" | "consumer";

export interface SpanStart {
  readonly kind?: SpanKind;
  /** By the monotonic clock. Default: now. */
  readonly startMs?: number;
  readonly attributes?: Attributes;
  /** Spans of other traces that this one also works for. */
  readonly links?: readonly string[];
}

export interface Span {
  /** As in a W3C `traceparent` header; never empty. */
  readonly traceparent: string;
  set(name: string, value: string | number | boolean): void;
  /** Does nothing where `traceparent` is empty, or of this trace. */
  link(traceparent: string): void;
  /** @param code of what went wrong; empty: nothing. The first end counts. */
  end(code?: string, endMs?: number): void;
}

export interface Counter {
  add(count: number): void;
}

export interface Histogram {
  record(value: number): void;
}

export interface Observed {
  stop(): void;
}

export interface Telemetry {
  /** False: what is handed to it goes nowhere, so what only serves it can be left out. */
  readonly on: boolean;
  /** Begins a trace. undefined: it is not recorded. */
  root(name: string, about?: SpanStart): Span | undefined;
  /** A span of the trace that `parent` names. undefined: there is none, or it is not recorded. */
  span(name: string, parent: string, about?: SpanStart): Span | undefined;
  /** The same instrument for the same metric and attributes. */
  counter(metric: Metric, attributes?: Attributes): Counter;
  histogram(metric: Metric, attributes?: Attributes): Histogram;
  /** @param read asked when metrics are collected; what several give for the same attributes is added up */
  observe(metric: Metric, attributes: Attributes, read: () => number): Observed;
  /** The same with attributes that all its spans and metrics have. */
  with(attributes: Attributes): Telemetry;
  /** What is known of metrics with these attributes is told once more, and then no more: what they name has ended. */
  forget(attributes: Attributes): void;
}

const nothing = { add() {}, record() {}, stop() {} };

export const noTelemetry: Telemetry = {
  on: false,
  root: () => undefined,
  span: () => undefined,
  counter: () => nothing,
  histogram: () => nothing,
  observe: () => nothing,
  with: () => noTelemetry,
  forget() {},
};
