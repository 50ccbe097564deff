/**
 * Spans on the OpenTelemetry SDK. There is no "current" span: whoever makes one names its parent, as rows wait and are put together
 * where no call stack and no asynchronous context would know whose they are.
 */

import type { Span as SdkSpan, Tracer as SdkTracer } from "@opentelemetry/api";
import {
  type Link,
  ROOT_CONTEXT,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from "@opentelemetry/api";
import type { Clock } from "../base/ports.js";
import type { Span, SpanStart } from "../base/telemetry.js";
import type { Tracer } from "./telemetry.js";

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const;

const TRACEPARENT = /^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$/;

/** How often, and from how much on, the distance between the two clocks is set anew. */
const CLOCK_CHECK_MS = 60_000;
const CLOCK_OFF_MS = 10;

/** undefined: it is none, or of a trace that is not recorded. */
export function parseTraceparent(text: string): SpanContext | undefined {
  const match = TRACEPARENT.exec(text);
  if (match === null || (Number.parseInt(match[3]!, 16) & TraceFlags.SAMPLED) === 0) return undefined;
  return { traceId: match[1]!, spanId: match[2]!, traceFlags: TraceFlags.SAMPLED, isRemote: true };
}

export class SpanTracer implements Tracer {
  /** Milliseconds to add to the monotonic clock's: a span that is told its times by one clock never ends before it starts. */
  #offsetMs: number;
  #checkedMs: number;

  constructor(
    private readonly tracer: SdkTracer,
    private readonly clock: Clock,
    /** False: a trace that would begin now is not recorded. Asked before anything is made for it; true: the tracer's own sampler decides. */
    readonly begins: () => boolean = () => true,
  ) {
    this.#checkedMs = clock.monotonicMs();
    this.#offsetMs = clock.nowMs() - this.#checkedMs;
  }

  start(
    name: string,
    parent: string,
    { kind = "internal", startMs, attributes, links = [] }: SpanStart,
  ): Span | undefined {
    const nowMs = this.clock.monotonicMs();
    this.#setClock(nowMs);
    let context = ROOT_CONTEXT;
    if (parent !== "") {
      const known = parseTraceparent(parent);
      if (known === undefined) return undefined;
      context = trace.setSpanContext(ROOT_CONTEXT, known);
    }
    const options = {
      kind: KINDS[kind],
      startTime: this.#offsetMs + (startMs ?? nowMs),
      links: links.flatMap(linkTo),
      ...(attributes && { attributes }),
    };
    const span = this.tracer.startSpan(name, options, context);
    return span.isRecording() ? new RecordedSpan(span, () => this.#offsetMs, this.clock) : undefined;
  }

  /** A machine's time is set while a process runs for weeks. */
  #setClock(nowMs: number): void {
    if (nowMs - this.#checkedMs < CLOCK_CHECK_MS) return;
    this.#checkedMs = nowMs;
    const offsetMs = this.clock.nowMs() - nowMs;
    if (Math.abs(offsetMs - this.#offsetMs) > CLOCK_OFF_MS) this.#offsetMs = offsetMs;
  }
}

class RecordedSpan implements Span {
  readonly traceparent: string;
  /** Of its start: a span's two times are of one clock. */
  readonly #offsetMs: number;

  constructor(
    private readonly span: SdkSpan,
    offsetMs: () => number,
    private readonly clock: Clock,
  ) {
    const { traceId, spanId } = span.spanContext();
    this.traceparent = `00-${traceId}-${spanId}-01`;
    this.#offsetMs = offsetMs();
  }

  set(name: string, value: string | number | boolean): void {
    this.span.setAttribute(name, value);
  }

  link(traceparent: string): void {
    if (sameTrace(traceparent, this.traceparent)) return;
    for (const link of linkTo(traceparent)) this.span.addLink(link);
  }

  end(code = "", endMs = this.clock.monotonicMs()): void {
    if (!this.span.isRecording()) return;
    if (code !== "") {
      this.span.setAttribute("error.type", code);
      this.span.setStatus({ code: SpanStatusCode.ERROR, message: code });
    }
    this.span.end(this.#offsetMs + endMs);
  }
}

function sameTrace(a: string, b: string): boolean {
  return a.slice(0, 35) === b.slice(0, 35);
}

function linkTo(traceparent: string): Link[] {
  const context = parseTraceparent(traceparent);
  return context === undefined ? [] : [{ context }];
}
