/**
 * The metrics of one process: instruments that add up, and what they have come to. It knows no package of OpenTelemetry, so a
 * process keeps its metrics without loading one; `metric-data.ts` says them in their terms.
 *
 * Own code, because the instruments of the SDK look up, sort and encode their attributes on every call, which would cost a
 * request more than all else that it costs here.
 *
 * Invariants:
 *   Z1  Adding to an instrument looks up nothing and allocates nothing.
 *   Z2  A metric has at most `limits.telemetrySeriesMax` sets of attributes; the rest is counted together under
 *       `otel.metric.overflow`.
 *   Z3  An attribute that its metric does not list is refused where the instrument is made.
 *   Z4  Every instrument that was made is there, also one that nothing was added to.
 */
import { invariant } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Metric } from "../base/metrics.js";
import type { Attributes, Counter, Histogram, Observed } from "../base/telemetry.js";

export interface HistogramValue {
  readonly buckets: { readonly boundaries: number[]; readonly counts: number[] };
  readonly sum: number;
  readonly count: number;
  readonly min?: number;
  readonly max?: number;
}

export interface Point {
  readonly attributes: Attributes;
  readonly value: number | HistogramValue;
}

export interface CollectedMetric {
  readonly metric: Metric;
  readonly points: readonly Point[];
}

class Buckets implements Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  record(value: number): void {
    let i = 0;
    while (i < this.#bounds.length && value > this.#bounds[i]!) i++;
    this.#counts[i]! += 1;
    this.#sum += value;
    this.#count += 1;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  get value(): HistogramValue {
    const buckets = { boundaries: [...this.#bounds], counts: [...this.#counts] };
    const both = { buckets, sum: this.#sum, count: this.#count };
    return this.#count === 0 ? both : { ...both, min: this.#min, max: this.#max };
  }
}

/** One set of attributes of a metric. */
class Series implements Counter {
  /** It is told once more, and then left out. */
  ending = false;
  #sum = 0;
  readonly #reads = new Set<() => number>();
  readonly buckets: Buckets | undefined;
  private readonly isSum: boolean;

  constructor(
    readonly attributes: Attributes,
    metric: Metric,
  ) {
    this.isSum = metric.kind === "counter";
    if (metric.kind === "histogram") this.buckets = new Buckets(metric.bounds ?? []);
  }

  add(count: number): void {
    this.#sum += count;
  }

  /** What a counter's reader has come to stays with it. */
  observe(read: () => number): Observed {
    this.#reads.add(read);
    return {
      stop: () => {
        if (this.#reads.delete(read) && this.isSum) this.#sum += read();
      },
    };
  }

  get value(): number | HistogramValue {
    if (this.buckets !== undefined) return this.buckets.value;
    let sum = this.#sum;
    for (const read of this.#reads) sum += read();
    return sum;
  }
}

const OVERFLOW: Attributes = { "otel.metric.overflow": true };

export class Registry {
  #metrics = new Map<string, { readonly metric: Metric; readonly series: Map<string, Series> }>();

  constructor(private readonly seriesMax: number = limits.telemetrySeriesMax) {}

  counter(metric: Metric, attributes: Attributes): Counter {
    return this.#series(metric, attributes);
  }

  histogram(metric: Metric, attributes: Attributes): Histogram {
    const { buckets } = this.#series(metric, attributes);
    invariant(buckets !== undefined, `the metric ${metric.name} is a histogram`);
    return buckets;
  }

  observe(metric: Metric, attributes: Attributes, read: () => number): Observed {
    return this.#series(metric, attributes).observe(read);
  }

  collect(): CollectedMetric[] {
    const all = [...this.#metrics.values()].map(({ metric, series }) => ({
      metric,
      points: [...series.values()].map(({ attributes, value }) => ({ attributes, value })),
    }));
    for (const { series } of this.#metrics.values()) {
      for (const [key, { ending }] of series) if (ending) series.delete(key);
    }
    return all;
  }

  forget(named: Attributes): void {
    const pairs = Object.entries(named);
    for (const { series } of this.#metrics.values()) {
      for (const one of series.values()) {
        if (pairs.every(([name, value]) => one.attributes[name] === value)) one.ending = true;
      }
    }
  }

  #series(metric: Metric, given: Attributes): Series {
    const names = Object.keys(given).sort();
    for (const name of names) {
      invariant(metric.attributes.includes(name), `the metric ${metric.name} has no attribute ${name}`); // Z3
    }
    let known = this.#metrics.get(metric.name);
    if (known === undefined) {
      known = { metric, series: new Map() };
      this.#metrics.set(metric.name, known);
    }
    const key = JSON.stringify(names.map((name) => [name, given[name]]));
    const found = known.series.get(key);
    if (found !== undefined) {
      found.ending = false;
      return found;
    }
    const full = known.series.size >= this.seriesMax - 1;
    const overflow = full ? known.series.get("") : undefined;
    if (overflow !== undefined) return overflow;
    const made = new Series(full ? OVERFLOW : { ...given }, metric);
    known.series.set(full ? "" : key, made);
    return made;
  }
}
