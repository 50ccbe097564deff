/** The port of `base/telemetry.ts` on a registry of metrics and, where traces are recorded, a tracer. */
import type { Metric } from "../base/metrics.js";
import type { Attributes, Counter, Histogram, Observed, Span, SpanStart, Telemetry } from "../base/telemetry.js";
import type { Registry } from "./registry.js";

/** Starts spans; `spans.ts` has the one on OpenTelemetry. */
export interface Tracer {
  /** Whether a trace is worth to be begun: most are not recorded, and cost no more than this. */
  begins(): boolean;
  /** @param parent empty: it begins a trace @returns undefined: it is not recorded */
  start(name: string, parent: string, about: SpanStart): Span | undefined;
}

const NONE: SpanStart = {};

export class ProcessTelemetry implements Telemetry {
  readonly on = true;

  constructor(
    private readonly metrics: Registry,
    private readonly tracer: Tracer | undefined,
    private readonly common: Attributes = {},
  ) {}

  root(name: string, about: SpanStart = NONE): Span | undefined {
    if (this.tracer?.begins() !== true) return undefined;
    return this.tracer.start(name, "", this.#whole(about));
  }

  span(name: string, parent: string, about: SpanStart = NONE): Span | undefined {
    return parent === "" ? undefined : this.tracer?.start(name, parent, this.#whole(about));
  }

  counter(metric: Metric, attributes: Attributes = {}): Counter {
    return this.metrics.counter(metric, this.#of(metric, attributes));
  }

  histogram(metric: Metric, attributes: Attributes = {}): Histogram {
    return this.metrics.histogram(metric, this.#of(metric, attributes));
  }

  observe(metric: Metric, attributes: Attributes, read: () => number): Observed {
    return this.metrics.observe(metric, this.#of(metric, attributes), read);
  }

  with(attributes: Attributes): Telemetry {
    return new ProcessTelemetry(this.metrics, this.tracer, { ...this.common, ...attributes });
  }

  forget(attributes: Attributes): void {
    this.metrics.forget({ ...this.common, ...attributes });
  }

  #whole(about: SpanStart): SpanStart {
    return { ...about, attributes: { ...this.common, ...about.attributes } };
  }

  /** What is common to all is left out of a metric that does not list it. */
  #of(metric: Metric, attributes: Attributes): Attributes {
    const common = Object.entries(this.common).filter(([name]) => metric.attributes.includes(name));
    return { ...Object.fromEntries(common), ...attributes };
  }
}
