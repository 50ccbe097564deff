/** Telemetry that keeps what it is told: spans by name with their parents and times, and sums of metrics. */
import type { Metric } from "../../../src/base/metrics.js";
import { METRICS } from "../../../src/base/metrics.js";
import type { Span, SpanStart } from "../../../src/base/telemetry.js";
import { Registry } from "../../../src/telemetry/registry.js";
import { ProcessTelemetry } from "../../../src/telemetry/telemetry.js";

export interface ToldSpan {
  readonly name: string;
  readonly traceparent: string;
  readonly parent: string;
  readonly about: SpanStart;
  readonly links: string[];
  readonly attributes: Record<string, unknown>;
  /** [code, time], once it has ended. */
  ended: readonly [string, number | undefined] | undefined;
}

export class Told {
  readonly spans: ToldSpan[] = [];
  readonly registry = new Registry();
  readonly telemetry = new ProcessTelemetry(this.registry, {
    begins: () => true,
    start: (name, parent, about) => this.#start(name, parent, about),
  });

  #start(name: string, parent: string, about: SpanStart): Span {
    const traceparent = `span-${this.spans.length + 1}`;
    const links = [...(about.links ?? [])];
    const attributes: Record<string, unknown> = { ...about.attributes };
    const told: ToldSpan = { name, traceparent, parent, about, links, attributes, ended: undefined };
    this.spans.push(told);
    return {
      traceparent,
      set: (key, value) => {
        attributes[key] = value;
      },
      link: (other) => void links.push(other),
      end: (code = "", endMs) => {
        told.ended ??= [code, endMs];
      },
    };
  }

  named(name: string): ToldSpan {
    const found = this.spans.find((span) => span.name === name);
    if (found === undefined) throw new Error(`no span ${name}: ${this.spans.map((span) => span.name)}`);
    return found;
  }

  /** A counter's sum; sum and count of a histogram. Over all attributes. */
  total(metric: keyof typeof METRICS): number | readonly [sum: number, count: number] {
    const wanted: Metric = METRICS[metric];
    const points = this.registry.collect().find((one) => one.metric.name === wanted.name)?.points ?? [];
    let [sum, count] = [0, 0];
    for (const { value } of points) {
      sum += typeof value === "number" ? value : value.sum;
      count += typeof value === "number" ? 1 : value.count;
    }
    return wanted.kind === "histogram" ? [Math.round(sum * 1e6) / 1e6, count] : sum;
  }
}
