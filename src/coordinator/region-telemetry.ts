/** What is told of the regions' checkpoints: how long each took and how large it was, and how often a region started again. */
import { limits } from "../base/limits.js";
import { METRICS } from "../base/metrics.js";
import { type Ports, telemetryOf } from "../base/ports.js";
import type { Counter, Histogram, Span, Telemetry } from "../base/telemetry.js";
import type { RegionRecord } from "../wire/stored.js";

interface Known {
  readonly duration: Histogram;
  readonly size: Histogram;
  readonly restarts: Counter;
  open: { readonly checkpoint: bigint; readonly startMs: number; readonly span: Span | undefined } | undefined;
}

export class RegionTelemetry {
  #telemetry: Telemetry;
  /** By job and region; of `limits.telemetryJobsMax` jobs, the one that a checkpoint was opened for last comes last. */
  #regions = new Map<string, Map<string, Known>>();

  constructor(private readonly ports: Pick<Ports, "clock" | "telemetry">) {
    this.#telemetry = telemetryOf(ports);
  }

  opened(job: string, region: string, checkpoint: bigint): void {
    if (!this.#telemetry.on) return;
    const startMs = this.ports.clock.monotonicMs();
    const known = this.#known(job, region);
    known.open?.span?.end("GIVEN_UP", startMs);
    const attributes = {
      "millrace.job": job,
      "millrace.region": region,
      "millrace.checkpoint": Number(checkpoint),
    };
    known.open = { checkpoint, startMs, span: this.#telemetry.root("checkpoint", { startMs, attributes }) };
  }

  /** Span of the checkpoint that is open; empty: it is not traced, or another leader opened it. */
  traceOf(job: string, region: string, checkpoint: bigint): string {
    const open = this.#regions.get(job)?.get(region)?.open;
    return open?.checkpoint === checkpoint ? (open.span?.traceparent ?? "") : "";
  }

  /** The record is in the region's log. */
  recorded(job: string, region: string, { kind, number, actors }: RegionRecord): void {
    if (!this.#telemetry.on) return;
    const known = this.#known(job, region);
    const { open } = known;
    if (open?.checkpoint !== number) return; // another leader's
    known.open = undefined;
    const nowMs = this.ports.clock.monotonicMs();
    if (kind !== "COMMIT") {
      open.span?.end("GIVEN_UP", nowMs);
      return;
    }
    const bytes = Number(actors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0n));
    known.duration.record((nowMs - open.startMs) / 1_000);
    known.size.record(bytes);
    open.span?.set("millrace.bytes", bytes);
    open.span?.end("", nowMs);
  }

  restarted(job: string, region: string): void {
    if (this.#telemetry.on) this.#known(job, region).restarts.add(1);
  }

  #known(job: string, region: string): Known {
    const regions = this.#regions.get(job) ?? new Map<string, Known>();
    this.#regions.delete(job);
    this.#regions.set(job, regions);
    this.#forgetOldest();
    let known = regions.get(region);
    if (known === undefined) {
      const named = { "millrace.job": job, "millrace.region": region };
      known = {
        duration: this.#telemetry.histogram(METRICS.checkpointDuration, named),
        size: this.#telemetry.histogram(METRICS.checkpointSize, named),
        restarts: this.#telemetry.counter(METRICS.restarts, named),
        open: undefined,
      };
      regions.set(region, known);
    }
    return known;
  }

  /** A coordinator sees many jobs in its life. One that has been forgotten and goes on begins to count anew. */
  #forgetOldest(): void {
    const [oldest] = this.#regions.keys();
    if (oldest === undefined || this.#regions.size <= limits.telemetryJobsMax) return;
    this.#regions.delete(oldest);
    this.#telemetry.forget({ "millrace.job": oldest });
  }
}
