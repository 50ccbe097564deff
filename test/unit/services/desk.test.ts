import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import { MillraceError } from "../../../src/base/errors.js";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { goneReport } from "../../../src/services/gone-report.js";
import type { CallContext } from "../../../src/topology/service.js";
import { loadReportFrame } from "../../../src/wire/frames.js";
import { gate, within } from "../actors/support.js";
import { Bench, doubles, job, namespace, type Parts, subjects, valuesOf } from "./instance-bench.js";

/** A bench whose calls wait for a gate. */
async function held(parts: Parts = {}) {
  const door = gate();
  const signals: AbortSignal[] = [];
  const infer = async (batch: RecordBatch, { signal }: CallContext) => {
    signals.push(signal);
    await door.promise;
    return doubles(batch);
  };
  const bench = await new Bench({ infer, ...parts }).ready();
  return { bench, door, signals };
}

/** Sends, and lets everything that is ready run. */
async function sent(bench: Bench, ...request: Parameters<Bench["send"]>): Promise<string> {
  const id = bench.send(...request);
  await bench.clock.settle();
  return id;
}

describe("services/desk: rows that are asked about again", () => {
  it("are answered without a call, in whatever request they come (N7, guarantee 3)", async () => {
    const bench = await new Bench({ batch: { rowsMax: 4 } }).ready();
    await sent(bench, [1, 2, 3], { rowIds: "abc" });
    const again = await sent(bench, [3, 1], { rowIds: "ca" });
    assert.deepEqual(bench.answer(again).doubled, [6, 2]);
    assert.equal(bench.answer(again).header.repeatedRows, 2);
    assert.deepEqual(bench.calls, [[1, 2, 3]]);
  });

  it("only the others of a request make a call (N7)", async () => {
    const bench = await new Bench({ batch: { rowsMax: 4 } }).ready();
    await sent(bench, [2], { rowIds: "b" });
    const mixed = await sent(bench, [1, 2, 3], { rowIds: "abc" });
    assert.deepEqual(bench.answer(mixed).doubled, [2, 4, 6]);
    assert.equal(bench.answer(mixed).header.repeatedRows, 1);
    assert.deepEqual(bench.calls, [[2], [1, 3]]);
  });

  it("wait for the call that they are in, also for another client (N7)", async () => {
    const { bench, door } = await held();
    const first = await sent(bench, [1], { rowIds: "a" });
    const joined = await sent(bench, [1], { rowIds: "a", client: "client-2" });
    assert.deepEqual(bench.answers, []);
    door.open();
    await bench.clock.settle();
    assert.deepEqual([bench.answer(first).doubled, bench.answer(joined).doubled], [[2], [2]]);
    assert.deepEqual(bench.calls, [[1]]);
  });

  it("are worked on again when the call that they waited for has failed", async () => {
    let calls = 0;
    const bench = await new Bench({
      infer: async (batch) => {
        if (++calls === 1) throw new Error("not now");
        return doubles(batch);
      },
    }).ready();
    const failed = bench.send([1], { rowIds: "a" });
    const joined = bench.send([1], { rowIds: "a", client: "client-2" });
    await bench.clock.settle();
    assert.equal(bench.answer(failed).header.status, "FAILED");
    assert.deepEqual(bench.answer(joined).doubled, [2]);
  });

  it("keep their refusals", async () => {
    const bench = await new Bench({
      batch: { rowsMax: 2 },
      infer: async (batch, { reject }) => {
        for (const [row, n] of valuesOf(batch).entries()) if (n < 0) reject(row, new Error("negative"));
        return doubles(batch);
      },
    }).ready();
    await sent(bench, [1, -2], { rowIds: "ab" });
    const again = await sent(bench, [-2, 1], { rowIds: "ba" });
    const refused = bench.answer(again).header.rejectedRows.map(({ row, message }) => [row, message]);
    assert.deepEqual(refused, [[0, "negative"]]);
    assert.equal(bench.calls.length, 1);
  });

  it("are told to whoever asks, while they wait, run or are kept, until they are released (N7)", async () => {
    const { bench, door } = await held();
    await sent(bench, [1], { rowIds: "a" });
    await sent(bench, [2], { rowIds: "b" });
    assert.equal(await bench.ask("xab"), "ab");
    door.open();
    await bench.clock.settle();
    assert.equal(await bench.ask("ba"), "ba");
    await bench.release("a");
    assert.equal(await bench.ask("ab"), "b");
    await sent(bench, [1], { rowIds: "a" });
    assert.deepEqual(bench.calls, [[1], [2], [1]]);
  });

  it("are forgotten with the requests that they were asked about in, each when it is released (N7)", async () => {
    const bench = await new Bench({ batch: { rowsMax: 4 } }).ready();
    const first = await sent(bench, [1, 2], { rowIds: "ab" });
    const second = await sent(bench, [3, 1], { rowIds: "ca" });
    await bench.release("", [first, "nobody's"]);
    assert.equal(await bench.ask("abc"), "c");
    await bench.release("", [first, second]);
    assert.equal(await bench.ask("abc"), "");
  });

  it("wait within the bounds of the queue, like all that waits (N4)", async () => {
    const { bench } = await held({ spec: { queue: { rowsMax: 2 } } });
    await sent(bench, [1], { rowIds: "a" });
    for (const client of ["client-1", "client-2"]) await sent(bench, [1], { rowIds: "a", client });
    assert.equal(bench.answers.length, 0);
    const third = await sent(bench, [1], { rowIds: "a" });
    assert.equal(bench.answer(third).header.status, "REJECTED");
    const queued = await sent(bench, [2], { rowIds: "b" });
    assert.equal(bench.answer(queued).header.status, "REJECTED");
    assert.equal(bench.reports.length > 0 && bench.answer(queued).header.load.queuedRows, 2);
  });

  it("without ids are always worked on", async () => {
    const bench = await new Bench().ready();
    await sent(bench, [1]);
    await sent(bench, [1]);
    assert.deepEqual(bench.calls, [[1], [1]]);
  });
});

describe("services/desk: who does not wait any more", () => {
  it("is not called for while queued, and not answered (N2, N8)", async () => {
    const { bench, door } = await held();
    await sent(bench, [1]);
    const queued = await sent(bench, [2]);
    bench.cancel(queued);
    door.open();
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1]]);
    assert.equal(bench.answers.length, 1);
  });

  it("a call is aborted when the last of its requests is cancelled, no sooner (N8)", async () => {
    const { bench, door, signals } = await held({ batch: { rowsMax: 2, delayMsMax: 5 } });
    const [one, two] = [bench.send([1]), await sent(bench, [2])];
    bench.cancel(one);
    await bench.clock.settle();
    assert.equal(signals[0]!.aborted, false);
    bench.cancel(two);
    await bench.clock.settle();
    assert.equal(signals[0]!.aborted, true);
    door.open();
    await bench.clock.settle();
    assert.deepEqual(bench.answers, []);
    const next = bench.send([3]);
    await bench.clock.advance(5);
    assert.deepEqual(bench.answer(next).doubled, [6], "the next one is served");
    assert.deepEqual(bench.hung, []);
    await within("the end of the drain", bench.instance.drain());
    assert.equal(bench.clock.waiting, 0, "no timer is left");
  });

  it("a call that goes on long after it was aborted ends the instance (N8)", async () => {
    const { bench } = await held();
    bench.cancel(await sent(bench, [1]));
    await bench.clock.advance(limits.callHungMs - 1);
    assert.deepEqual(bench.hung, []);
    await bench.clock.advance(1);
    assert.match(bench.hung[0]!, /service "double" did not end 10 s after it was aborted/);
    assert.equal(bench.states.at(-1), "FAILED");
    assert.equal(bench.reports.at(-1)!.code, "MILL_SERVICE_TIMEOUT");
  });

  it("a call that takes too long is aborted and has failed; what waited behind it is called (N8)", async () => {
    const signals: AbortSignal[] = [];
    const bench = await new Bench({
      spec: { timeoutMs: 1_000 },
      infer: async (rows, { signal }) => {
        signals.push(signal);
        if (valuesOf(rows)[0] === 1) {
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
        }
        return doubles(rows);
      },
    }).ready();
    const slow = await sent(bench, [1]);
    await bench.clock.advance(600);
    const next = await sent(bench, [2]);
    await bench.clock.advance(399);
    assert.equal(signals[0]!.aborted, false);
    await bench.clock.advance(1);
    assert.ok(signals[0]!.aborted);
    const { status, code, message } = bench.answer(slow).header;
    assert.deepEqual([status, code], ["FAILED", "MILL_SERVICE_TIMEOUT"]);
    assert.match(message, /longer than the service's timeoutMs of 1000 ms/);
    assert.deepEqual(bench.answer(next).doubled, [4], "its time began with its call");
    await bench.clock.advance(limits.callHungMs);
    assert.deepEqual(bench.hung, []);
  });

  it("a row whose call took too long is answered from it, if it is asked about again while that goes on (N7, N8)", async () => {
    const { bench, door } = await held({ spec: { timeoutMs: 1_000 } });
    await sent(bench, [1], { rowIds: "a" });
    await bench.clock.advance(1_000);
    const again = await sent(bench, [1], { rowIds: "a" });
    door.open();
    await bench.clock.settle();
    assert.deepEqual(bench.answer(again).doubled, [2]);
    assert.deepEqual(bench.calls, [[1]]);
  });

  it("a request whose time is up is not begun (N2)", async () => {
    const { bench, door } = await held();
    await sent(bench, [1]);
    const late = await sent(bench, [2], { timeoutMs: 50 });
    const inTime = await sent(bench, [3], { timeoutMs: 5_000 });
    await bench.clock.advance(60);
    door.open();
    await bench.clock.settle();
    assert.equal(bench.answer(late).header.status, "EXPIRED");
    assert.deepEqual(bench.answer(inTime).doubled, [6]);
    assert.deepEqual(bench.calls, [[1], [3]]);
  });
});

describe("services/desk: calls", () => {
  it("as many at a time as the service says (N3)", async () => {
    const { bench, door } = await held({ spec: { concurrency: 3 } });
    for (const n of [1, 2, 3, 4]) await sent(bench, [n]);
    assert.deepEqual(bench.calls, [[1], [2], [3]]);
    assert.equal(bench.instance.state, "READY");
    door.open();
    await bench.clock.settle();
    assert.equal(bench.calls.length, 4);
    assert.equal(bench.answers.length, 4);
  });

  it("tell the handler how much time is left, and each row's id", async () => {
    const seen: [number, string][] = [];
    const bench = await new Bench({
      batch: { rowsMax: 2 },
      infer: async (batch, { timeLeftMs, rowId }) => {
        seen.push([timeLeftMs, rowId(1).slice(0, 4)]);
        return doubles(batch);
      },
    }).ready();
    await sent(bench, [1, 2], { timeoutMs: 700, rowIds: "ab" });
    await sent(bench, [1, 2]);
    assert.deepEqual(seen, [
      [700, "6262"],
      [limits.callTimeoutMs, ""],
    ]);
  });

  it("hold as much cost as the service says (D1)", async () => {
    const { bench, door } = await held({
      batch: { rowsMax: 8, cost: { of: (row) => (row as { n: number }).n, max: 10 } },
    });
    await sent(bench, [1]);
    for (const n of [6, 4, 5]) bench.send([n]);
    door.open();
    await bench.clock.settle();
    assert.deepEqual(bench.calls, [[1], [6, 4], [5]]);
  });

  it("of several requests that fail are made again for each alone, once; who fails alone has failed (N9)", async () => {
    const bench = await new Bench({
      batch: { rowsMax: 8, delayMsMax: 5 },
      infer: async (batch) => {
        if (valuesOf(batch).includes(13)) throw new Error("13!");
        return doubles(batch);
      },
    }).ready();
    const ids = [1, 13, 2].map((n) => bench.send([n]));
    await bench.clock.advance(5);
    assert.deepEqual(
      ids.map((id) => bench.answer(id).header.status),
      ["OK", "FAILED", "OK"],
    );
    assert.deepEqual(bench.calls, [[1, 13, 2], [1], [13], [2]]);
  });

  it("that failed because a server is busy are not made again here; the clients are told how long to wait", async () => {
    const bench = await new Bench({
      batch: { rowsMax: 8, delayMsMax: 5 },
      infer: () => Promise.reject(new MillraceError("MILL_ENDPOINT_BUSY", "busy", { retryAfterMs: 1_200 })),
    }).ready();
    const ids = [1, 2].map((n) => bench.send([n]));
    await bench.clock.advance(5);
    assert.equal(bench.calls.length, 1);
    const told = ids.map((id) => bench.answer(id).header);
    assert.deepEqual(
      told.map(({ code, retryAfterMs }) => [code, retryAfterMs]),
      [
        ["MILL_ENDPOINT_BUSY", 1_200],
        ["MILL_ENDPOINT_BUSY", 1_200],
      ],
    );
  });

  it("too large for the memory are made in halves; the size that worked is remembered (K2, Z2)", async () => {
    const bench = await new Bench({
      batch: { rowsMax: 8 },
      infer: async (batch, { reject }) => {
        if (batch.numRows > 2) throw new MillraceError("MILL_OUT_OF_MEMORY", "no");
        for (const [row, n] of valuesOf(batch).entries()) if (n === 4) reject(row, new Error("four"));
        return doubles(batch);
      },
    }).ready();
    const id = await sent(bench, [1, 2, 3, 4, 5]);
    assert.deepEqual(bench.answer(id).doubled, [2, 4, 6, 8, 10]);
    assert.deepEqual(
      bench.answer(id).header.rejectedRows.map(({ row }) => row),
      [3],
    );
    bench.calls.splice(0);
    for (const n of [1, 2, 3, 4]) bench.send([n]);
    await bench.clock.settle();
    assert.ok(
      bench.calls.every((call) => call.length <= 2),
      JSON.stringify(bench.calls),
    );
  });
});

describe("services/desk: giving back", () => {
  /** A load report of another instance. */
  const other = (queuedRows: number, state: "READY" | "LOADING" = "READY", sequence = 1n) => {
    const load = { sequence, subject: "", queuedRows, runningRows: 0, rowMs: 0, enteredMs: 0n, reason: "", code: "" };
    return loadReportFrame.encode({ service: "double", instance: "double-1", state, ...load });
  };

  it("what would be served sooner elsewhere, the newest first, as soon as the other is READY (N10)", async () => {
    const { bench } = await held();
    const ids: string[] = [];
    for (let n = 0; n < 9; n++) ids.push(await sent(bench, [n]));
    void bench.bus.publish(subjects.load(bench.service.id), other(0, "LOADING"));
    await bench.clock.settle();
    assert.equal(bench.answers.length, 0);
    void bench.bus.publish(subjects.load(bench.service.id), other(0));
    await bench.clock.settle();
    assert.deepEqual(
      bench.answers.map(({ header }) => header.status),
      Array(4).fill("RETURNED"),
    );
    assert.deepEqual(new Set(bench.answers.map(({ header }) => header.id)), new Set(ids.slice(5)));
    void bench.bus.publish(subjects.load(bench.service.id), other(4, "READY", 2n));
    await bench.clock.settle();
    assert.equal(bench.answers.length, 4, "they are even");
  });

  it("nothing to one that has gone, or has not been heard of for too long (N10)", async () => {
    const { bench } = await held();
    for (let n = 0; n < 9; n++) await sent(bench, [n]);
    const gone = { service: "double", instance: "double-1", state: "FAILED" as const, code: "", reason: "" };
    void bench.bus.publish(subjects.load(bench.service.id), goneReport(namespace, job, gone).frame);
    await bench.clock.settle();
    assert.deepEqual(bench.answers, []);
  });

  it("what still runs when the time to drain is up (N5)", async () => {
    const { bench, signals } = await held();
    const id = await sent(bench, [1]);
    const drained = bench.instance.drain();
    await bench.clock.advance(limits.drainCallsMs);
    await within("the end of the drain", drained);
    assert.equal(bench.answer(id).header.status, "RETURNED");
    assert.ok(signals[0]!.aborted);
    assert.equal(bench.states.at(-1), "STOPPED");
  });
});

describe("services/instance: time to come up", () => {
  for (const phase of ["load", "warm"] as const) {
    it(`${phase} that takes longer than the service allows has failed (N1)`, async () => {
      const bench = await new Bench({
        [phase]: () => gate().promise,
        spec: { load: { timeoutMs: 500, warmTimeoutMs: 500 } },
      }).listen();
      const started = bench.instance.start();
      started.catch(() => {});
      await bench.clock.advance(500);
      await assert.rejects(within("start", started), {
        code: "MILL_SERVICE_TIMEOUT",
        message: new RegExp(`service "double": its handler did not ${phase} within 500 ms`),
      });
      assert.equal(bench.reports.at(-1)!.state, "FAILED");
    });
  }

  it("every report says since when the instance is in its state", async () => {
    const bench = await new Bench().ready();
    const entered = bench.reports.map(({ enteredMs }) => enteredMs);
    assert.ok(entered.every((ms) => ms >= 0n));
    await bench.clock.advance(limits.heartbeatIntervalMs);
    assert.equal(bench.reports.at(-1)!.enteredMs, entered.at(-1));
    assert.equal(bench.instance.state, "READY");
    assert.equal("double-0" as InstanceId, bench.reports.at(-1)!.instance);
  });
});
