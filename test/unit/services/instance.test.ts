import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../../src/base/errors.js";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { batchFromRows } from "../../../src/types/batches.js";
import { t } from "../../../src/types/columns.js";
import { loadReportFrame } from "../../../src/wire/frames.js";
import { gate, within } from "../actors/support.js";
import { Bench, doubles, type Infer, numbers, subjects, valuesOf } from "./instance-bench.js";

describe("services/instance: loading and warming", () => {
  it("takes requests only after load and warmup have succeeded (N1, guarantee 5)", async () => {
    const loading = gate();
    const warming = gate();
    const bench = await new Bench({ load: () => loading.promise, warm: () => warming.promise }).listen();
    const subject = subjects.instanceRequest(bench.service.id, "double-0" as InstanceId);
    const started = bench.instance.start();
    for (const [state, door] of [
      ["LOADING", loading],
      ["WARMING", warming],
    ] as const) {
      await bench.clock.settle();
      assert.equal(bench.instance.state, state);
      await assert.rejects(bench.bus.request(subject, new Uint8Array(1)), { code: "MILL_BUS_NO_RESPONDER" });
      door.open();
    }
    await within("READY", started);
    const id = bench.send([1, 2]);
    await bench.clock.settle();
    assert.deepEqual(bench.events, ["load", "loaded", "warm", "warmed"]);
    assert.deepEqual(bench.answer(id).doubled, [2, 4]);
    assert.deepEqual(bench.states, ["LOADING", "WARMING", "READY"]);
  });

  for (const phase of ["load", "warm"] as const) {
    it(`a failing ${phase} is reported FAILED with its code and reason, and takes no request`, async () => {
      const error = new MillraceError("MILL_MODEL_CORRUPT", "model m.onnx cannot be loaded");
      const bench = await new Bench({ [phase]: () => Promise.reject(error) }).listen();
      await assert.rejects(bench.instance.start(), error);
      await bench.clock.settle();
      assert.equal(bench.instance.state, "FAILED");
      const last = bench.reports.at(-1)!;
      assert.deepEqual([last.state, last.code, last.reason], ["FAILED", "MILL_MODEL_CORRUPT", error.message]);
      const subject = subjects.instanceRequest(bench.service.id, "double-0" as InstanceId);
      await assert.rejects(bench.bus.request(subject, new Uint8Array(1)), { code: "MILL_BUS_NO_RESPONDER" });
      assert.equal(bench.clock.waiting, 0, "a failed instance has no heartbeat");
    });
  }

  it("a handler's own error is MILL_SERVICE_FAILED naming the service, its words and cause kept", async () => {
    const cause = new Error("no such device");
    const bench = await new Bench({ load: () => Promise.reject(cause) }).listen();
    await assert.rejects(bench.instance.start(), (error: MillraceError) => {
      assert.equal(error.code, "MILL_SERVICE_FAILED");
      assert.match(error.message, /service "double".*no such device/);
      assert.equal(error.cause, cause);
      return true;
    });
  });

  it("reports on a heartbeat, each report with a higher number than the one before", async () => {
    const bench = await new Bench().ready();
    const before = bench.reports.length;
    await bench.clock.advance(3 * limits.heartbeatIntervalMs);
    assert.equal(bench.reports.length, before + 3);
    assert.ok(bench.reports.every((report, i) => i === 0 || report.sequence > bench.reports[i - 1]!.sequence));
  });

  it("tells all of every change of its load, where there are other instances and other clients (N11)", async () => {
    let finish = () => {};
    const infer: Infer = (batch) =>
      new Promise((resolve) => {
        finish = () => resolve(doubles(batch));
      });
    const bench = await new Bench({ infer }).ready();
    const depths = () => bench.reports.map(({ queuedRows, runningRows }) => queuedRows + runningRows);
    await peerReports(bench);
    bench.send([1], { client: "client-1" });
    await bench.clock.settle();
    assert.deepEqual(depths(), [], "its only client knows what it sent");
    bench.send([2], { client: "client-2" });
    await bench.clock.settle();
    assert.equal(depths().at(-1), 2);
    finish();
    await bench.clock.settle();
    assert.equal(depths().at(-1), 1, "what was answered is not running any more");
  });
});

describe("services/instance: batching", () => {
  it("puts waiting requests together up to rowsMax and answers each with its own rows (N3)", async () => {
    const bench = await new Bench({ batch: { rowsMax: 4, delayMsMax: 50 } }).ready();
    const ids = [bench.send([1]), bench.send([2, 3]), bench.send([4], { client: "client-2" })];
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1, 2, 3, 4]]);
    assert.deepEqual(
      ids.map((id) => bench.answer(id).doubled),
      [[2], [4, 6], [8]],
    );
  });

  it("waits delayMsMax for more rows, counted from the oldest, then calls with what it has", async () => {
    const bench = await new Bench({ batch: { rowsMax: 4, delayMsMax: 50 } }).ready();
    bench.send([1]);
    await bench.clock.advance(30);
    bench.send([2]);
    await bench.clock.advance(19);
    assert.deepEqual(bench.calls, []);
    await bench.clock.advance(1);
    assert.deepEqual(bench.calls, [[1, 2]]);
  });

  it("calls at once when what it waited for arrives before the time is up", async () => {
    const bench = await new Bench({ batch: { rowsMax: 2, delayMsMax: 50 } }).ready();
    bench.send([1]);
    await bench.clock.advance(10);
    bench.send([2]);
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1, 2]]);
  });

  it("keeps buckets apart, in the order of their oldest requests", async () => {
    const bench = await new Bench({ batch: { rowsMax: 8, delayMsMax: 5 } }).ready();
    for (const [value, bucket] of [
      [1, "small"],
      [2, "large"],
      [3, "small"],
    ] as const) {
      bench.send([value], { bucket });
    }
    await bench.clock.advance(5);
    assert.deepEqual(bench.calls, [[1, 3], [2]]);
  });

  it("never has two calls under way (N3)", async () => {
    const doors = [gate(), gate()];
    let running = 0;
    let most = 0;
    const bench: Bench = await new Bench({
      infer: async (batch) => {
        most = Math.max(most, ++running);
        await doors[bench.calls.length - 1]!.promise;
        running--;
        return doubles(batch);
      },
    }).ready();
    bench.send([1]);
    await bench.clock.settle();
    const second = bench.send([2]);
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1]]);
    doors[0]!.open();
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1], [2]]);
    doors[1]!.open();
    await bench.clock.settle();
    assert.equal(most, 1);
    assert.deepEqual(bench.answer(second).doubled, [4]);
  });

  it("says in its reports what is queued and running, and how long a row takes", async () => {
    const bench: Bench = await new Bench({
      infer: async (batch) => {
        await bench.clock.sleep(30);
        return doubles(batch);
      },
      batch: { rowsMax: 3 },
    }).ready();
    bench.send([1, 2, 3]);
    await bench.clock.settle();
    bench.send([4]);
    bench.send([5]);
    await bench.clock.settle();
    const id = bench.send([6], { says: 2 }); // an answer at once, with the load of now
    await bench.clock.settle();
    const { load } = bench.answer(id).header;
    assert.deepEqual([load.queuedRows, load.runningRows, load.rowMs], [2, 3, 0]);
    await bench.clock.advance(30);
    assert.equal(bench.answers.find((told) => told.header.status === "OK")!.header.load.rowMs, 10);
  });
});

describe("services/instance: what is refused, and what fails", () => {
  /** An instance whose first call does not end before the door is opened, so that what follows is queued. */
  async function busy(infer: Infer = async (batch) => doubles(batch)) {
    const door = gate();
    const bench: Bench = await new Bench({
      infer: async (batch, context) => {
        if (bench.calls.length === 1) await door.promise;
        return infer(batch, context);
      },
      batch: { rowsMax: limits.instanceQueueRowsMax },
    }).ready();
    const first = bench.send([0]);
    await bench.clock.settle();
    return { bench, door, first };
  }

  const many = (count: number) => Array.from({ length: count }, (_, i) => i);

  it("REJECTED above the rows of its queue, and takes more when it has room again (N4)", async () => {
    const { bench, door } = await busy();
    const fits = bench.send(many(limits.instanceQueueRowsMax));
    await bench.clock.settle();
    const over = bench.send([1]);
    await bench.clock.settle();
    assert.equal(bench.answer(over).header.status, "REJECTED");
    door.open();
    await bench.clock.settle();
    assert.equal(bench.answer(fits).header.status, "OK");
    const later = bench.send([1]);
    await bench.clock.settle();
    assert.equal(bench.answer(later).header.status, "OK");
  });

  it("one request that is larger than the whole queue passes alone (N4)", async () => {
    const { bench, door } = await busy();
    const large = bench.send(many(limits.instanceQueueRowsMax + 1));
    await bench.clock.settle();
    door.open();
    await bench.clock.settle();
    assert.equal(bench.answer(large).header.status, "OK");
  });

  it("REJECTED above the bytes of its queue (N4)", async () => {
    const { bench, door } = await busy();
    // The bytes are those of the frame; a large schema is the cheapest way to many.
    const padding = new Uint8Array(limits.frameHeaderBytesMax - 4_096);
    const fit = Math.floor(limits.instanceQueueBytesMax / limits.frameHeaderBytesMax);
    const ids = many(fit + 2).map(() => bench.send([1], { schema: padding }));
    await bench.clock.settle();
    assert.equal(bench.answer(ids.at(-1)!).header.status, "REJECTED");
    door.open();
    await bench.clock.settle();
    assert.equal(bench.answer(ids[fit - 1]!).header.status, "OK");
    const again = [1, 2, 3].map((n) => bench.send([n], { schema: padding }));
    await bench.clock.settle();
    for (const id of again) assert.equal(bench.answer(id).header.status, "OK", "what has left still counts");
  });

  it("a handler that throws fails the requests of that call and no other (N2)", async () => {
    const bench = await new Bench({
      infer: async (batch) => {
        if (valuesOf(batch).includes(13)) throw new Error("thirteen is not served");
        return doubles(batch);
      },
    }).ready();
    const bad = bench.send([13]);
    const good = bench.send([1]);
    await bench.clock.settle();
    const { header } = bench.answer(bad);
    assert.deepEqual([header.status, header.code], ["FAILED", "MILL_SERVICE_FAILED"]);
    assert.match(header.message, /thirteen is not served/);
    assert.deepEqual(bench.answer(good).doubled, [2]);
    assert.equal(bench.instance.state, "READY");
  });

  it("an answer with another number of rows fails, and says both numbers", async () => {
    const bench = await new Bench({ infer: async () => doubles(numbers(1)) }).ready();
    const id = bench.send([1, 2]);
    await bench.clock.settle();
    const { header } = bench.answer(id);
    assert.deepEqual([header.status, header.code], ["FAILED", "MILL_SERVICE_FAILED"]);
    assert.match(header.message, /given 2 rows and answered with 1/);
  });

  it("an answer without a declared column, or with another type, fails and names it", async () => {
    const made = [numbers(1), batchFromRows({ doubled: t.utf8 }, [{ doubled: "2" }]), "two"];
    const bench: Bench = await new Bench({ infer: async () => made[bench.calls.length - 1] as RecordBatch }).ready();
    const ids = made.map((_, i) => bench.send([i]));
    await bench.clock.settle();
    for (const [i, words] of [/"doubled" as Int32.*no such column/, /"doubled" as Int32.*Utf8/, /two/].entries()) {
      const { header } = bench.answer(ids[i]!);
      assert.deepEqual([header.status, header.code], ["FAILED", "MILL_TOPOLOGY_TYPE"]);
      assert.match(header.message, words);
      assert.match(header.message, /service "double"/);
    }
  });

  it("a refused row is told to the request that it came in, with its number there", async () => {
    const bench = await new Bench({
      infer: async (batch, context) => {
        for (const [row, value] of valuesOf(batch).entries()) {
          if (value >= 10) context.reject(row, new MillraceError("MILL_IMAGE_INVALID", `${value} is too much`));
        }
        return doubles(batch);
      },
      batch: { rowsMax: 5, delayMsMax: 5 },
    }).ready();
    const ids = [bench.send([1, 11]), bench.send([2]), bench.send([12, 3])];
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1, 11, 2, 12, 3]]);
    const code = "MILL_IMAGE_INVALID";
    assert.deepEqual(
      ids.map((id) => bench.answer(id).header.rejectedRows),
      [[{ row: 1, code, message: "11 is too much" }], [], [{ row: 0, code, message: "12 is too much" }]],
    );
    assert.deepEqual(bench.answer(ids[2]!).doubled, [24, 6]);
  });

  it("a row refused twice is told once, by its first reason, and a row that is not there fails the call", async () => {
    const bench: Bench = await new Bench({
      infer: async (batch, context) => {
        if (bench.calls.length > 1) context.reject(2, new Error("there is no such row"));
        for (const reason of ["first", "second"]) context.reject(0, new Error(reason));
        return doubles(batch);
      },
    }).ready();
    const ids = [bench.send([1]), bench.send([2, 3])];
    await bench.clock.settle();
    assert.deepEqual(bench.answer(ids[0]!).header.rejectedRows, [
      { row: 0, code: "MILL_RECORD_INVALID", message: "first" },
    ]);
    assert.match(bench.answer(ids[1]!).header.message, /refused row 2 of a call with 2 rows/);
  });

  it("a request whose rows are not what it says is FAILED alone; it shares no call (N2)", async () => {
    const { bench, door, first } = await busy();
    const wrong = bench.send([1, 2], { says: 3 });
    const empty = bench.send([]);
    const garbage = bench.send([1], { payload: [new Uint8Array(40).fill(7)] });
    const good = bench.send([5]);
    door.open();
    await bench.clock.settle();
    for (const id of [wrong, empty, garbage]) assert.equal(bench.answer(id).header.status, "FAILED");
    assert.equal(bench.answer(wrong).header.code, "MILL_FRAME_INVALID");
    assert.deepEqual([bench.answer(first).doubled, bench.answer(good).doubled], [[0], [10]]);
    assert.deepEqual(bench.calls, [[0], [5]]);
  });

  it("spells its schema out to each client once", async () => {
    const bench = await new Bench().ready();
    const ids = ["client-1", "client-1", "client-2"].map((client) => bench.send([1], { client }));
    await bench.clock.settle();
    assert.deepEqual(
      ids.map((id) => bench.answer(id).header.schema !== null),
      [true, false, true],
    );
  });
});

/** Another instance of the service says that it is READY. */
async function peerReports(bench: Bench): Promise<void> {
  const { service, bus, clock } = bench;
  const peer = "double-1" as InstanceId;
  const facts = { queuedRows: 0, runningRows: 0, rowMs: 1, reason: "", code: "", enteredMs: 0n };
  const report = { service: service.id, instance: peer, sequence: 1n, subject: "peer", state: "READY" as const };
  void bus.publish(subjects.load(service.id), loadReportFrame.encode({ ...report, ...facts }));
  await clock.settle();
  bench.reports.splice(0);
}
