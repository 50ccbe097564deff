/** Telemetry that can be turned off and on again while a job runs: what is told of batches goes nowhere meanwhile. */
import type { Metric } from "../src/base/metrics.js";
import type { Attributes, Counter, Histogram, Observed, Span, SpanStart, Telemetry } from "../src/base/telemetry.js";

export interface Switch {
  isOn: boolean;
}

export class SwitchedTelemetry implements Telemetry {
  readonly on = true;

  constructor(
    private readonly telemetry: Telemetry,
    private readonly to: Switch,
  ) {}

  root(name: string, about?: SpanStart): Span | undefined {
    return this.to.isOn ? this.telemetry.root(name, about) : undefined;
  }

  span(name: string, parent: string, about?: SpanStart): Span | undefined {
    return this.to.isOn ? this.telemetry.span(name, parent, about) : undefined;
  }

  counter(metric: Metric, attributes?: Attributes): Counter {
    const [{ to }, counter] = [this, this.telemetry.counter(metric, attributes)];
    return {
      add(count) {
        if (to.isOn) counter.add(count);
      },
    };
  }

  histogram(metric: Metric, attributes?: Attributes): Histogram {
    const [{ to }, histogram] = [this, this.telemetry.histogram(metric, attributes)];
    return {
      record(value) {
        if (to.isOn) histogram.record(value);
      },
    };
  }

  observe(metric: Metric, attributes: Attributes, read: () => number): Observed {
    return this.telemetry.observe(metric, attributes, read);
  }

  with(attributes: Attributes): Telemetry {
    return new SwitchedTelemetry(this.telemetry.with(attributes), this.to);
  }

  forget(attributes: Attributes): void {
    this.telemetry.forget(attributes);
  }
}
