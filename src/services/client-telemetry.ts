/** What a client tells of its calls: how long they wait for an instance, how long they take, and how they end. */
import { MillraceError } from "../base/errors.js";
import { METRICS } from "../base/metrics.js";
import { type Ports, telemetryOf } from "../base/ports.js";
import type { Histogram, Observed, Telemetry } from "../base/telemetry.js";
import type { Pending } from "./pending.js";
import { isOfRows } from "./row-errors.js";

/** Asked when metrics are collected. */
export interface ClientNumbers {
  queuedRows(): number;
  rowsInFlight(): number;
  retries(): number;
}

export class ClientTelemetry {
  readonly #telemetry: Telemetry;
  readonly #queue: Histogram;
  readonly #took: Readonly<Record<"ok" | "refused" | "failed", Histogram>>;
  #observed: Observed[] = [];

  constructor(
    private readonly ports: Pick<Ports, "clock" | "telemetry">,
    private readonly service: string,
    private readonly numbers: ClientNumbers,
  ) {
    this.#telemetry = telemetryOf(ports);
    const named = this.#named;
    const took = (outcome: string) =>
      this.#telemetry.histogram(METRICS.clientCall, { ...named, "millrace.outcome": outcome });
    this.#queue = this.#telemetry.histogram(METRICS.clientQueue, named);
    this.#took = { ok: took("ok"), refused: took("refused"), failed: took("failed") };
  }

  get on(): boolean {
    return this.#telemetry.on;
  }

  get #named() {
    return { "millrace.service": this.service };
  }

  open(): void {
    const { queuedRows, rowsInFlight, retries } = this.numbers;
    this.#observed = [
      this.#telemetry.observe(METRICS.clientQueued, this.#named, queuedRows),
      this.#telemetry.observe(METRICS.clientInFlight, this.#named, rowsInFlight),
      this.#telemetry.observe(METRICS.clientRetries, this.#named, retries),
    ];
  }

  close(): void {
    for (const observed of this.#observed.splice(0)) observed.stop();
  }

  /** Tells of a call that begins, and of its end, whichever it is. @param trace empty: its rows are not traced */
  follow(request: Pending, trace: string): void {
    const { clock } = this.ports;
    const { resolve, reject, rows } = request;
    const calledMs = clock.monotonicMs();
    const span = this.#telemetry.span(`call ${this.service}`, trace, {
      kind: "client",
      startMs: calledMs,
      attributes: { ...this.#named, "millrace.rows": rows },
    });
    const ended = (outcome: "ok" | "refused" | "failed", code: string) => {
      const nowMs = clock.monotonicMs();
      this.#took[outcome].record((nowMs - calledMs) / 1_000);
      span?.end(code, nowMs);
    };
    request.calledMs = calledMs;
    request.span = span;
    request.resolve = (answer) => {
      ended("ok", "");
      resolve(answer);
    };
    request.reject = (error) => {
      ended(isOfRows(error) ? "refused" : "failed", MillraceError.is(error) ? error.code : "MILL_INTERNAL");
      reject(error);
    };
  }

  /** It has been sent for the first time. */
  sent(request: Pending): void {
    const { calledMs, sentMs, span } = request;
    request.calledMs = 0;
    this.#queue.record((sentMs - calledMs) / 1_000);
    if (span === undefined) return;
    this.#telemetry.span(`client queue ${this.service}`, span.traceparent, { startMs: calledMs })?.end("", sentMs);
  }
}
