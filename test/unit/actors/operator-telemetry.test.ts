import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { OperatorTelemetry, ReadTelemetry, SendTelemetry } from "../../../src/actors/operator-telemetry.js";
import { OutputTelemetry } from "../../../src/actors/output-telemetry.js";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { OperatorNode } from "../../../src/topology/nodes.js";
import { traceOf, withTrace } from "../../../src/types/batch-trace.js";
import { batchBytes, batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { derived } from "../../../src/types/lineage.js";
import { Told } from "../telemetry/told.js";

const numbers = (rows: number) =>
  batchFromRows(
    { n: t.int32 },
    Array.from({ length: rows }, (_, n) => ({ n })),
  ) as unknown as RecordBatch;
const node = (kind: OperatorNode["kind"]) => ({ id: "work", kind }) as Pick<OperatorNode, "id" | "kind">;

describe("actors/operator-telemetry: steps of an actor", () => {
  it("leaves the ways between operators as they are where nothing is kept", () => {
    const emit = () => {};
    const telemetry = new OperatorTelemetry(realPorts(), node("map"));
    assert.equal(telemetry.entrance(emit), emit);
    assert.equal(telemetry.exit(emit), emit);
    const waiting = Promise.resolve();
    assert.equal(new SendTelemetry(realPorts(), "work").waited(numbers(1), waiting), waiting);
  });

  it("counts rows, batches and bytes on the way in, and rows on the way out", async () => {
    const told = new Told();
    const telemetry = new OperatorTelemetry(told, node("filter"));
    const out = telemetry.exit(() => {});
    const enter = telemetry.entrance((batch) => out(derived(numbers(1), batch)));
    await enter(numbers(3));
    await enter(numbers(2));
    assert.deepEqual([told.total("operatorRowsIn"), told.total("operatorRowsOut")], [5, 2]);
    assert.equal(told.total("operatorBatchesIn"), 2);
    assert.equal(told.total("operatorBytesIn"), batchBytes(numbers(3)) + batchBytes(numbers(2)));
    assert.deepEqual(told.spans, [], "what is not traced has no span");
  });

  it("ends a step's span when it hands something on, not when what follows is done", async () => {
    const told = new Told();
    const telemetry = new OperatorTelemetry(told, node("map"));
    const out = telemetry.exit(() => assert.notEqual(told.named("process work").ended, undefined));
    const enter = telemetry.entrance((batch) => {
      assert.equal(told.named("process work").ended, undefined);
      return out(derived(numbers(1), batch));
    });
    await enter(withTrace(numbers(1), "trace"));
    assert.equal(told.named("process work").parent, "trace");
  });

  it("a step that throws ends its span with the code", async () => {
    const told = new Told();
    const enter = new OperatorTelemetry(told, node("map")).entrance(() => {
      throw new Error("no");
    });
    await assert.rejects(async () => enter(withTrace(numbers(1), "trace")));
    assert.equal(told.named("process work").ended![0], "MILL_OPERATOR_FAILED");
  });

  it("a source begins traces; the reader of a durable exchange only goes on with what its writer traced", () => {
    const told = new Told();
    const ports = { ...realPorts(), telemetry: told.telemetry };
    const read = (begins: boolean, batch: RecordBatch) => {
      let trace = "";
      const telemetry = new ReadTelemetry(ports, "texts", begins);
      telemetry.asks();
      void telemetry.exit((handed) => {
        trace = traceOf(handed);
      })(batch);
      return trace;
    };
    assert.deepEqual([read(true, numbers(2)), told.spans[0]!.parent], ["span-1", ""]);
    assert.equal(read(false, numbers(2)), "");
    assert.equal(read(false, withTrace(numbers(2), "of the writer")), "span-2");
    assert.equal(told.spans[1]!.parent, "of the writer");
    assert.equal(told.spans.length, 2);
  });

  it("a wait for credit is told once it is over", async () => {
    const told = new Told();
    const ports = { ...realPorts(), telemetry: told.telemetry };
    await new SendTelemetry(ports, "work").waited(withTrace(numbers(1), "trace"), Promise.resolve());
    const [, count] = told.total("creditWait") as readonly [number, number];
    assert.deepEqual([count, told.named("wait for credit work").parent], [1, "trace"]);
  });
});

describe("actors/output-telemetry: writes and commits of a sink", () => {
  const write = (output: OutputTelemetry, trace: string) =>
    output.written(output.writing(withTrace(numbers(1), trace))!);

  it("a commit is the child of the first batch that is traced, linked to the others, and ends when it is published", () => {
    const told = new Told();
    const output = new OutputTelemetry(told, "words");
    for (const trace of ["a", "b", "c"]) write(output, trace);
    output.cut(1n);
    write(output, "d");
    output.cut(2n);
    output.cut(3n); // nothing was written
    const [one, two, ...others] = told.spans.filter(({ name }) => name === "commit words");
    assert.deepEqual(others, []);
    assert.deepEqual([one!.parent, one!.links], ["span-1", ["span-2", "span-3"]]);
    assert.deepEqual([one!.ended, one!.attributes["millrace.checkpoint"]], [undefined, 1]);
    output.published(1n);
    assert.deepEqual([one!.ended?.[0], two!.ended], ["", undefined]);
    output.published(2n);
    assert.equal(two!.ended?.[0], "");
  });

  it("links are bounded", () => {
    const told = new Told();
    const output = new OutputTelemetry(told, "words");
    for (let i = 0; i < 2 * limits.telemetryLinksMax; i++) write(output, `trace-${i}`);
    output.cut(1n);
    assert.equal(told.named("commit words").links.length, limits.telemetryLinksMax - 1);
  });
});
