import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import type { AnswerWriter } from "../../../src/services/answer-writer.js";
import { Desk } from "../../../src/services/desk.js";
import { CheckedHandler } from "../../../src/services/handler-call.js";
import { type Service, service } from "../../../src/topology/service.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { noContent } from "../actors/support.js";
import { fakePorts } from "../coordinator/fake-ports.js";

const columns = { n: t.int32 };
const records = batchFromRows(columns, [{ n: 1 }]) as unknown as RecordBatch;

/** A desk that writes down when it looks at what has come, and when it calls. */
function deskOf(rowsMax: number) {
  const events: string[] = [];
  const ports = fakePorts();
  const infer = async (batch: RecordBatch) => {
    events.push("call");
    return batch;
  };
  const echo = service("echo", {
    input: columns,
    output: columns,
    batch: { rowsMax },
    handler: { kind: "echo", assets: {}, load: async () => ({ infer: infer as never }) },
  }) as unknown as Service;
  const desk = new Desk({
    service: echo,
    handler: () =>
      new CheckedHandler("echo", { infer: infer as never }, arrowSchema(columns), noContent, ports.log, () => {}),
    ports,
    answers: { ok() {} } as unknown as AnswerWriter,
    saved: undefined,
    yieldToMessages: async () => void events.push("look"),
    onHung: () => {},
  });
  const take = (id: string) =>
    desk.take({
      ...{ id, client: "c", rows: 1, bucket: "", bytes: 1, cost: 0, arrivedMs: 0 },
      ...{ dueMs: Number.POSITIVE_INFINITY, records, rowIds: [] },
    });
  return { take, events, settle: () => ports.clock.settle() };
}

describe("services/desk: looking at what has come before a call begins", () => {
  it("a full call of an idle instance begins at once", async () => {
    const { take, events, settle } = deskOf(1);
    take("a");
    await settle();
    assert.equal(events[0], "call");
  });

  it("so does the next one: an instance looks when it has answered, and not when it is asked", async () => {
    const { take, events, settle } = deskOf(1);
    take("a");
    await settle();
    assert.equal(events.at(-1), "look");
    events.length = 0;
    take("b");
    assert.deepEqual(events, ["call"]);
  });

  it("behind another call it does not: what has come meanwhile may cancel it", async () => {
    const { take, events, settle } = deskOf(1);
    take("a");
    take("b");
    await settle();
    assert.deepEqual(events.join(" ").match(/^call( look)+ call/)?.length, 2, events.join(" "));
  });

  it("nor does a call that has room for more rows", async () => {
    const { take, events, settle } = deskOf(2);
    take("a");
    await settle();
    assert.deepEqual(events.slice(0, 2), ["look", "call"]);
  });
});
