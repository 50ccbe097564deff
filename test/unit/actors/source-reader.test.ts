import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { SourceReader } from "../../../src/actors/source-reader.js";
import { requestSplit } from "../../../src/actors/split-request.js";
import { SplitsAhead, type SplitWish } from "../../../src/actors/splits-ahead.js";
import { MillraceError } from "../../../src/base/errors.js";
import { realPorts } from "../../../src/base/real/ports.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import type { Source } from "../../../src/topology/endpoints.js";
import { batchFromRows, columnOf } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { lineageOf } from "../../../src/types/lineage.js";
import { splitAssignmentFrame, splitRequestFrame } from "../../../src/wire/control.js";
import { sourceStateFrame } from "../../../src/wire/stored.js";
import { FakeClock } from "../coordinator/fake-ports.js";
import { source } from "./checkpoint-world.js";
import { gate, numbered, range, testRuntime, turns, until } from "./support.js";

const SUBJECT = "mr.test.splits";
const NONE = { split: null, done: false, code: "", message: "", more: [] };

/** Splits by the number of the question; every answer is by the book. */
async function setUp({
  positions = false,
  splits = 2,
  answer = (_times: number): "lose" | "fail" | undefined => undefined,
} = {}) {
  const clock = new FakeClock();
  const ports = { ...realPorts(), clock };
  const bus = new MemoryBus(ports);
  const asked: bigint[] = [];
  const subscription = await bus.subscribe(SUBJECT, ({ payload, replyTo }) => {
    const { number } = splitRequestFrame.decode(payload).header;
    asked.push(number);
    const what = answer(asked.length);
    if (what === "lose") return;
    const error = { ...NONE, code: "MILL_SOURCE_EMPTY", message: "nothing there" };
    const split = { id: `0-${Number(number) - 1}`, payload: new Uint8Array(), rows: 6 };
    const given = Number(number) <= splits ? { ...NONE, split } : { ...NONE, done: true };
    void bus.publish(replyTo!, splitAssignmentFrame.encode(what === "fail" ? error : given));
  });
  const made = source(
    numbered,
    0,
    { splits, batches: 3, rows: 2, positions },
    (n) => ({ n }),
    async () => {},
  );
  const start = (emit: (batch: RecordBatch) => void | Promise<void> = () => {}) => {
    const runtime = testRuntime();
    const out: number[] = [];
    const ask = (number: bigint, wish: () => SplitWish) =>
      requestSplit(bus, clock, SUBJECT, { operator: "in", reader: "in-0", number }, wish, runtime.signal);
    const splits = new SplitsAhead(ask, clock);
    const reader = new SourceReader(
      made as unknown as Source,
      (number) => splits.take(number),
      { ...runtime, ports },
      (batch) => {
        for (let i = 0; i < batch.numRows; i++) out.push(columnOf(batch, "n").get(i) as number);
        return emit(batch);
      },
    );
    return { reader, out, runtime };
  };
  return { clock, asked, start, subscription };
}

const cutOf = (reader: SourceReader) => reader.cut(1n)({} as never) as Uint8Array;

describe("actors/source-reader: a place in the splits", () => {
  for (const positions of [false, true]) {
    it(`restored from any cut it goes on with the next batch, ${positions ? "at its position" : "skipping those before"} (E2, rule 6)`, async () => {
      const { start } = await setUp({ positions });
      const cuts: { readonly state: Uint8Array; readonly seen: number }[] = [];
      const whole = start(() => void cuts.push({ state: cutOf(whole.reader), seen: whole.out.length }));
      cuts.push({ state: cutOf(whole.reader), seen: 0 });
      await whole.reader.run();
      cuts.push({ state: cutOf(whole.reader), seen: whole.out.length });
      assert.deepEqual(whole.out, range(0, 12));
      for (const { state, seen } of cuts) {
        const again = start();
        again.reader.restore(state);
        await again.reader.run();
        assert.deepEqual(again.out, range(seen, 12));
      }
    });
  }

  it("reads on in the splits that others had begun, in order, before it asks for one of its own (M3 of checkpoint/redistribute)", async () => {
    const { asked, start } = await setUp({ splits: 1 });
    const { reader, out } = start();
    const one = { payload: new Uint8Array(), rows: 6, position: null };
    const begun = {
      taken: 0n,
      ended: false,
      split: { id: "0-2", payload: one.payload, rows: 6 },
      batches: 2n,
      position: null,
    };
    reader.restore(sourceStateFrame.encode({ ...begun, started: [{ ...one, id: "0-1", batches: 1n }] }));
    await reader.run();
    assert.deepEqual(out, [...range(16, 18), ...range(8, 12), ...range(0, 6)]);
    assert.deepEqual(asked, [1n, 2n]);
    const { header } = sourceStateFrame.decode(cutOf(reader));
    assert.deepEqual([header.taken, header.ended, header.started], [1n, true, []]);
  });

  it("a batch counts from the moment it is through the gate, no sooner (rule 3 of the gate)", async () => {
    const { start } = await setUp();
    const { reader, out, runtime } = start();
    await runtime.gate.close();
    const run = reader.run();
    await turns(10);
    assert.deepEqual(out, []);
    const state = cutOf(reader);
    runtime.gate.open();
    await run;
    const again = start();
    again.reader.restore(state);
    await again.reader.run();
    assert.deepEqual(again.out, range(0, 12));
  });

  it("hands on the next batch when the last was taken", async () => {
    const { start } = await setUp();
    const taken = gate();
    const { reader, out } = start(() => taken.promise);
    const run = reader.run();
    await turns(10);
    assert.deepEqual(out, [0, 1]);
    taken.open();
    await run;
    assert.equal(reader.ended, true);
  });
});

describe("actors/source-reader: asking for splits", () => {
  it("asks the same question until it is answered; its number grows with each split (D1)", async () => {
    const { clock, asked, start } = await setUp({
      answer: (times) => (times === 1 || times === 3 ? "lose" : undefined),
    });
    const { reader, out } = start();
    let over = false;
    const run = reader.run().finally(() => (over = true));
    for (let i = 0; i < 20 && !over; i++) await clock.advance(1_000);
    await run;
    assert.deepEqual(asked, [1n, 1n, 2n, 2n, 3n]);
    assert.deepEqual(out, range(0, 12));
  });

  it("asks again where nobody answers: the enumerator may be on its way to another host", async () => {
    const { clock, start, subscription } = await setUp();
    subscription.unsubscribe();
    const { reader, runtime } = start();
    const errors: unknown[] = [];
    const run = reader.run().catch((cause: unknown) => errors.push(cause));
    await clock.advance(2_000);
    assert.deepEqual(errors, []);
    runtime.stop();
    await run;
    assert.deepEqual(
      errors.map((error) => MillraceError.from(error).code),
      ["MILL_JOB_FAILED"],
    );
  });

  it("fails with what keeps the source from being listed", async () => {
    const { start } = await setUp({ answer: () => "fail" });
    const { reader } = start();
    let message = "";
    reader.run().catch((error: MillraceError) => {
      message = `${error.code}: ${error.message}`;
    });
    await until("the error", () => message !== "");
    assert.equal(message, "MILL_SOURCE_EMPTY: nothing there");
  });
});

describe("actors/source-reader: one object handed on many times", () => {
  it("is other rows each time (lineage G1)", async () => {
    const runtime = testRuntime();
    const same = batchFromRows({ n: t.int32 }, [{ n: 1 }]) as unknown as RecordBatch;
    const split = { id: "0", payload: new Uint8Array(), rows: 3 };
    const endless = {
      read: async function* () {
        for (let i = 0; i < 3; i++) yield same;
      },
    } as unknown as Source;
    const emitted: RecordBatch[] = [];
    const reader = new SourceReader(
      endless,
      async (number) => (number === 1n ? split : undefined),
      runtime,
      (batch) => void emitted.push(batch),
    );
    await reader.run();
    assert.equal(new Set(emitted.map((batch) => lineageOf(batch)?.origin)).size, 3);
  });
});
