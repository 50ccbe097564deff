import assert from "node:assert/strict";
import { DeskTelemetry, RequestTrace } from "../../../src/services/desk-telemetry.js";
import { Told } from "../telemetry/told.js";

function request(told: Told, arrivedMs: number) {
  const span = told.telemetry.span("serve shout", "from the client", { startMs: arrivedMs })!;
  return { arrivedMs, trace: new RequestTrace(span, told.telemetry) };
}

describe("services/desk-telemetry: how long requests wait, and for what", () => {
  it("until another call can begin it is the queue's wait, and from then on the batch's", () => {
    const told = new Told();
    const desk = new DeskTelemetry(told.telemetry, "shout");
    desk.freed(1_300);
    desk.taken([request(told, 1_000), request(told, 1_350)], 1_400);
    assert.deepEqual(told.total("queueWait"), [0.3, 2]);
    assert.deepEqual(told.total("batchWait"), [0.15, 2]);
    const [queue, batch] = [told.named("queue wait shout"), told.named("batch wait shout")];
    assert.deepEqual([queue.about.startMs, queue.ended], [1_000, ["", 1_300]]);
    assert.deepEqual([batch.about.startMs, batch.ended], [1_300, ["", 1_400]]);
    assert.deepEqual([queue.parent, batch.parent], ["span-1", "span-1"]);
  });

  it("where no call has kept them waiting there is no queue's wait, and none is negative", () => {
    const told = new Told();
    const desk = new DeskTelemetry(told.telemetry, "shout");
    desk.freed(5_000);
    desk.taken([{ arrivedMs: 1_000 }], 1_200);
    desk.freed(0);
    desk.taken([{ arrivedMs: 1_000 }], 1_200);
    assert.deepEqual(told.total("queueWait"), [0.2, 2]);
    assert.deepEqual(told.total("batchWait"), [0.2, 2]);
  });

  it("a call of several is the child of the first that is traced, linked to the others, and they to it", () => {
    const told = new Told();
    const desk = new DeskTelemetry(told.telemetry, "shout");
    const [first, second] = [request(told, 0), request(told, 0)];
    const call = desk.called([{ arrivedMs: 0 }, first, second], 3, 100);
    call.end("MILL_SERVICE_FAILED", 350);
    const inference = told.named("inference shout");
    assert.equal(inference.parent, first.trace.span.traceparent);
    assert.deepEqual(inference.links, [second.trace.span.traceparent]);
    assert.deepEqual(inference.ended, ["MILL_SERVICE_FAILED", 350]);
    assert.deepEqual([first.trace.answeredBy, second.trace.answeredBy], [inference.traceparent, inference.traceparent]);
    assert.deepEqual(told.spans[1]!.links, [inference.traceparent]);
    assert.deepEqual(told.total("callDuration"), [0.25, 1]);
    assert.deepEqual(told.total("callRows"), [3, 1]);
  });
});
