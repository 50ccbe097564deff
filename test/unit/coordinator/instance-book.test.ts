import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { InstanceBook } from "../../../src/coordinator/instance-book.js";
import { contractOf } from "../../../src/services/declared-service.js";
import { command } from "../../../src/services/handlers/command.js";
import { handler } from "../../../src/services/handlers/handler.js";
import { type Service, service } from "../../../src/topology/service.js";
import { t } from "../../../src/types/columns.js";
import type { ServiceSpec, WorkerReport } from "../../../src/wire/control.js";
import type { LifeCycle } from "../../../src/wire/frames.js";
import { fakePorts } from "./fake-ports.js";
import { granted, serviceSpec, spec } from "./job-facts.js";

const beatsMs = limits.heartbeatTimeoutMs;
const CALL_MS = 60_000;
const columns = { input: { n: t.int32 }, output: { n: t.int32 } };
const program = command<typeof columns.input, typeof columns.output>({ run: ["python3"] });
const ours: typeof program = handler({ ...columns, load: async () => undefined, infer: async (_, rows) => rows });

function contract(of: typeof program, timeoutMs = CALL_MS): Pick<ServiceSpec, "input" | "output" | "contract"> {
  return contractOf(service("model", { ...columns, handler: of, timeoutMs }) as unknown as Service);
}

function bookOf(about: Partial<ServiceSpec>) {
  const { clock } = fakePorts();
  const book = new InstanceBook({ ...spec, services: [serviceSpec(about)] }, clock);
  book.expect({ instance: "model-0" as InstanceId, service: "model", worker: "w1", granted: granted() });
  const load = (state: LifeCycle) => {
    const counts = { sequence: 1n, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs: 0n };
    book.onLoad({ service: "model", instance: "model-0", state, reason: "", code: "", ...counts });
  };
  const worker = (launched: boolean) => {
    const about = {
      job: spec.job,
      service: "model",
      instance: "model-0",
      state: "PROVISIONING",
      code: "",
      message: "",
    };
    const instances = [{ ...about, granted: granted(), startedMs: 1n, endedMs: 0n, launched }];
    book.onWorker({ worker: "w1", hosts: [], instances } as unknown as WorkerReport);
  };
  return { clock, book, load, worker, instance: () => book.facts()[0]! };
}

describe("coordinator/instance-book: one that serves and is silent (V1)", () => {
  for (const [kind, said, allowedMs] of [
    ["a program", contract(program), beatsMs],
    ["a program without a time for calls", contract(program, 0), beatsMs],
    ["a handler of ours, whose call may block it", contract(ours), CALL_MS + limits.callHungMs + beatsMs],
  ] as const) {
    for (const state of ["READY", "DRAINING"] as const) {
      it(`${kind}, ${state}: is given up after ${allowedMs} ms without a report, and not before`, async () => {
        const { clock, book, load, instance } = bookOf(said);
        load("READY");
        load(state);
        for (let i = 0; i < 3; i++) {
          await clock.freeze(allowedMs);
          assert.deepEqual(book.expire(beatsMs, 0), []);
          load(state);
        }
        await clock.freeze(allowedMs + 1);
        const [gone, ...others] = book.expire(beatsMs, 0);
        assert.deepEqual([others, instance().state, instance().code], [[], "FAILED", "MILL_SERVICE_LOST"]);
        assert.match(
          instance().message,
          new RegExp(`model-0 on worker w1 was ${state} .* not reported for ${allowedMs} ms`),
        );
        const { code, reason } = gone!;
        assert.deepEqual(
          [code, reason],
          ["MILL_WORKER_LOST", instance().message],
          "nobody knows whether it has ended (V3)",
        );
        assert.deepEqual(book.expire(beatsMs, 0), [], "said once");
        load("READY");
        assert.equal(instance().state, "FAILED", "whatever of it still arrives");
      });
    }
  }

  for (const [what, said] of [
    ["whose calls may take as long as they like", contract(ours, 0)],
    ["of a job that did not say what its calls may take", { contract: "" }],
  ] as const) {
    it(`one of ours ${what} is never given up so`, async () => {
      const { clock, book, load } = bookOf(said);
      load("READY");
      await clock.freeze(100 * limits.callTimeoutMs);
      assert.deepEqual(book.expire(beatsMs, 0), []);
    });
  }

  it("one of a job of an earlier version is taken for one of ours", async () => {
    const { clock, book, load } = bookOf({ contract: JSON.stringify({ timeoutMs: CALL_MS }) });
    load("READY");
    await clock.freeze(CALL_MS + limits.callHungMs + beatsMs);
    assert.deepEqual(book.expire(beatsMs, 0), []);
    await clock.freeze(1);
    assert.equal(book.expire(beatsMs, 0).length, 1);
  });

  it("time in which nothing could be heard does not count (V2)", async () => {
    const { clock, book, load } = bookOf(contract(program));
    load("READY");
    await clock.freeze(10 * beatsMs);
    assert.deepEqual(book.expire(beatsMs, 9 * beatsMs), []);
    await clock.freeze(1);
    assert.equal(book.expire(beatsMs, 0).length, 1);
  });

  it("a new leader has heard nothing yet: it counts from when it begins to expect it (V2)", async () => {
    const { clock, book, worker, load } = bookOf(contract(program));
    await clock.freeze(2 * beatsMs);
    worker(true);
    assert.deepEqual(book.expire(beatsMs, 0), []);
    load("READY");
    assert.deepEqual(book.expire(beatsMs, 0), []);
  });

  it("it has served, so its end does not count as a failure to load (J5 of coordinator/job)", async () => {
    const { clock, book, load, instance } = bookOf(contract(program));
    load("READY");
    await clock.freeze(2 * beatsMs);
    book.expire(beatsMs, 0);
    assert.equal(instance().served, true);
  });

  it("what it was promised stays its own until its worker says that its process has ended (X5)", async () => {
    const { clock, book, load } = bookOf(contract(program));
    load("READY");
    await clock.freeze(2 * beatsMs);
    book.expire(beatsMs, 0);
    assert.equal(book.holding.length, 1);
  });
});

describe("coordinator/instance-book: one that runs and never reports (V1)", () => {
  const { loadTimeoutMs, warmTimeoutMs } = serviceSpec();
  const allowedMs = limits.processStartTimeoutMs + Number(loadTimeoutMs) + Number(warmTimeoutMs);

  it("is given up when it could have loaded and warmed; what its worker fetches before takes as long as it takes", async () => {
    const { clock, book, worker, instance } = bookOf({});
    worker(false);
    await clock.freeze(10 * allowedMs);
    assert.deepEqual(book.expire(beatsMs, 0), []);
    worker(true);
    await clock.freeze(allowedMs);
    worker(true); // its worker saying so again does not begin it anew
    assert.deepEqual(book.expire(beatsMs, 0), []);
    await clock.freeze(7_000);
    assert.deepEqual(book.expire(beatsMs, 7_000), [], "nothing could be heard (V2)");
    await clock.freeze(1);
    assert.equal(
      book.expire(beatsMs, 0)[0]?.code,
      "MILL_WORKER_LOST",
      "an earlier leader may have heard it serve (V3)",
    );
    assert.deepEqual([instance().state, instance().code, instance().served], ["FAILED", "MILL_SERVICE_TIMEOUT", false]);
    assert.match(instance().message, /model-0 on worker w1 has run for 680000 ms .* worker's log .* NATS/);
  });

  it("one that has reported is judged by what it said", async () => {
    const { clock, book, worker, load, instance } = bookOf({});
    worker(true);
    await clock.freeze(allowedMs);
    load("LOADING");
    await clock.freeze(1_000);
    book.expire(beatsMs, 0);
    assert.equal(instance().state, "LOADING");
  });
});
