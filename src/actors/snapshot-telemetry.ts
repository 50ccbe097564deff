/**
 * Spans of an actor's snapshots, below the span of their checkpoint: how long each took to be encoded and to be written.
 *
 * The coordinator's word names the checkpoint's trace. A barrier may overtake it, and all that follows from the barrier: what was measured
 * until then waits for it, of the newest snapshot alone.
 */
import { type Ports, telemetryOf } from "../base/ports.js";
import type { Telemetry } from "../base/telemetry.js";

/** One that is under way. One that was overtaken by a later is not told of. */
export interface SnapshotUnderWay {
  encoded(bytes: number): void;
  /** @param code of what went wrong; empty: nothing */
  ended(code?: string): void;
}

interface Measured {
  readonly checkpoint: bigint;
  readonly startMs: number;
  readonly endMs: number;
  readonly code: string;
  /** undefined: it did not come to that. */
  readonly encoded: { readonly atMs: number; readonly bytes: number } | undefined;
}

const nothing: SnapshotUnderWay = { encoded() {}, ended() {} };

export class SnapshotTelemetry {
  readonly #telemetry: Telemetry;
  /** Of the checkpoint that the coordinator asked for last. */
  #asked = { checkpoint: 0n, traceparent: "" };
  #untold: Measured | undefined;

  constructor(
    private readonly ports: Pick<Ports, "clock" | "telemetry">,
    private readonly actor: string,
  ) {
    this.#telemetry = telemetryOf(ports);
  }

  /** @param traceparent of the checkpoint; empty: it is not traced */
  asked(checkpoint: bigint, traceparent: string): void {
    this.#asked = { checkpoint, traceparent };
    const untold = this.#untold;
    if (untold === undefined || untold.checkpoint > checkpoint) return;
    this.#untold = undefined;
    if (untold.checkpoint === checkpoint) this.#tell(untold);
  }

  /** @param bytes of one that was encoded before, and is written again */
  begun(checkpoint: bigint, bytes?: number): SnapshotUnderWay {
    const { clock } = this.ports;
    if (!this.#telemetry.on) return nothing;
    const startMs = clock.monotonicMs();
    let encoded: Measured["encoded"] = bytes === undefined ? undefined : { atMs: startMs, bytes };
    return {
      encoded: (size) => {
        encoded = { atMs: clock.monotonicMs(), bytes: size };
      },
      ended: (code = "") => {
        const measured = { checkpoint, startMs, endMs: clock.monotonicMs(), code, encoded };
        if (this.#asked.checkpoint === checkpoint) this.#tell(measured);
        else if (this.#asked.checkpoint < checkpoint) this.#untold = measured;
      },
    };
  }

  #tell({ checkpoint, startMs, endMs, code, encoded }: Measured): void {
    const attributes = {
      "millrace.actor": this.actor,
      "millrace.checkpoint": Number(checkpoint),
      ...(encoded !== undefined && { "millrace.bytes": encoded.bytes }),
    };
    const span = this.#telemetry.span("snapshot", this.#asked.traceparent, { startMs, attributes });
    if (span === undefined) return;
    const part = (name: string, fromMs: number, untilMs: number) =>
      this.#telemetry.span(name, span.traceparent, { startMs: fromMs })?.end("", untilMs);
    if (encoded !== undefined) {
      if (encoded.atMs > startMs) part("encode snapshot", startMs, encoded.atMs);
      part("write snapshot", encoded.atMs, endMs);
    }
    span.end(code, endMs);
  }
}
