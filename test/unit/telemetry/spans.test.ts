import assert from "node:assert/strict";
import {
  AlwaysOffSampler,
  BasicTracerProvider,
  InMemorySpanExporter,
  ParentBasedSampler,
  type Sampler,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import type { Clock } from "../../../src/base/ports.js";
import { realClock } from "../../../src/base/real/ports.js";
import { parseTraceparent, SpanTracer } from "../../../src/telemetry/spans.js";

const OTHER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

function tracerWith(sampler?: Sampler, clock: Clock = realClock) {
  const exporter = new InMemorySpanExporter();
  const spanProcessors = [new SimpleSpanProcessor(exporter)];
  const provider = new BasicTracerProvider({ spanProcessors, ...(sampler && { sampler }) });
  return { tracer: new SpanTracer(provider.getTracer("test"), clock), spans: () => exporter.getFinishedSpans() };
}

function clockAt(time: { nowMs: number; monotonicMs: number }): Clock {
  return { ...realClock, nowMs: () => time.nowMs, monotonicMs: () => time.monotonicMs };
}

describe("telemetry/spans: spans on the SDK", () => {
  it("a span is the child of the one that its parent's text names, in the same trace", () => {
    const { tracer, spans } = tracerWith();
    const root = tracer.start("root", "", {})!;
    tracer.start("child", root.traceparent, { kind: "server", attributes: { a: 1 } })!.end();
    root.end();
    const [child, parent] = spans();
    assert.equal(child!.parentSpanContext?.spanId, parent!.spanContext().spanId);
    assert.equal(child!.spanContext().traceId, parent!.spanContext().traceId);
    assert.deepEqual([child!.kind, child!.attributes], [1, { a: 1 }]);
    assert.equal(parent!.parentSpanContext, undefined);
  });

  it("a trace that is not recorded has no span, and one that is recorded elsewhere goes on (Y1)", () => {
    const { tracer, spans } = tracerWith(new ParentBasedSampler({ root: new AlwaysOffSampler() }));
    assert.equal(tracer.start("root", "", {}), undefined);
    tracer.start("child", OTHER, {})!.end();
    assert.equal(spans().length, 1);
  });

  it("what is no traceparent, or of a trace that is not recorded, has no child", () => {
    const { tracer } = tracerWith();
    const zeros = `00-${"0".repeat(32)}-00f067aa0ba902b7-01`;
    for (const text of ["x", OTHER.replace(/01$/, "00"), OTHER.toUpperCase(), zeros, `${OTHER}-x`]) {
      assert.equal(tracer.start("child", text, {}), undefined, text);
      assert.equal(parseTraceparent(text), undefined, text);
    }
  });

  it("links name spans of other traces; one of its own, or none, is no link", () => {
    const { tracer, spans } = tracerWith();
    const span = tracer.start("merged", "", { links: [OTHER, ""] })!;
    span.link(span.traceparent);
    span.link("");
    span.link(OTHER.replace("00f067", "10f067"));
    span.end();
    assert.deepEqual(
      spans()[0]!.links.map(({ context }) => context.spanId),
      ["00f067aa0ba902b7", "10f067aa0ba902b7"],
    );
  });

  it("an end with a code is an error; the first end counts", () => {
    const { tracer, spans } = tracerWith();
    const span = tracer.start("failing", "", {})!;
    span.end("MILL_SERVICE_FAILED");
    span.end();
    assert.equal(spans().length, 1);
    assert.deepEqual([spans()[0]!.status.code, spans()[0]!.attributes["error.type"]], [2, "MILL_SERVICE_FAILED"]);
  });

  it("times of the monotonic clock become times of day, and a clock that is set meanwhile turns no span around", () => {
    const time = { nowMs: 1_700_000_000_000, monotonicMs: 5_000 };
    const { tracer, spans } = tracerWith(undefined, clockAt(time));
    const span = tracer.start("early", "", { startMs: 4_000 })!;
    time.nowMs -= 3_600_000;
    time.monotonicMs = 70_000;
    tracer.start("late", "", {})!.end();
    span.end();
    const [late, early] = spans();
    assert.deepEqual(early!.startTime, [1_699_999_999, 0]);
    assert.deepEqual(early!.duration, [66, 0]);
    assert.equal(late!.startTime[0], 1_699_996_400);
  });
});
