/** A registry's metrics as the SDK's readers and exporters take them. Sums are cumulative since the process began. */
import { ValueType } from "@opentelemetry/api";
import { millisToHrTime } from "@opentelemetry/core";
import { emptyResource, type Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import type { Clock } from "../base/ports.js";
import type { CollectedMetric, Registry } from "./registry.js";

export const SCOPE = { name: "millrace" };

export class RegistryProducer implements MetricProducer {
  readonly #startMs: number;

  constructor(
    private readonly registry: Registry,
    private readonly clock: Clock,
    private readonly resource: Resource = emptyResource(),
  ) {
    this.#startMs = clock.nowMs();
  }

  async collect(): Promise<CollectionResult> {
    const endMs = this.clock.nowMs();
    const metrics = this.registry.collect().map((one) => dataOf(one, this.#startMs, endMs));
    return { resourceMetrics: { resource: this.resource, scopeMetrics: [{ scope: SCOPE, metrics }] }, errors: [] };
  }
}

function dataOf({ metric, points }: CollectedMetric, startMs: number, endMs: number): MetricData {
  const { name, description, unit, kind } = metric;
  const [startTime, endTime] = [millisToHrTime(startMs), millisToHrTime(endMs)];
  const base = {
    descriptor: { name, description, unit, valueType: ValueType.DOUBLE },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const dataPoints = points.map(({ attributes, value }) => ({ startTime, endTime, attributes, value }));
  if (kind === "histogram") return { ...base, dataPointType: DataPointType.HISTOGRAM, dataPoints: dataPoints as never };
  if (kind === "gauge") return { ...base, dataPointType: DataPointType.GAUGE, dataPoints: dataPoints as never };
  return { ...base, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints: dataPoints as never };
}
