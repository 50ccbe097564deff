import assert from "node:assert/strict";
import type { RecordBatch } from "apache-arrow";
import type { InstanceId, JobId, Namespace, ServiceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { realPorts } from "../../../src/base/real/ports.js";
import type { Bus } from "../../../src/bus/bus.js";
import { MemoryBus } from "../../../src/bus/memory-bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { ServiceClient } from "../../../src/services/client.js";
import { goneReport } from "../../../src/services/gone-report.js";
import { type Service, service } from "../../../src/topology/service.js";
import { batchFromRows, rowsOf } from "../../../src/types/batches.js";
import { arrowSchema, t } from "../../../src/types/columns.js";
import { decodeBatch, encodeBatch, encodeSchema, schemaId } from "../../../src/wire/arrow.js";
import {
  type AnswerStatus,
  answerFrame,
  type LifeCycle,
  type LoadReport,
  loadReportFrame,
  type RequestHeader,
  requestFrame,
} from "../../../src/wire/frames.js";
import { isOpen, turns, until, within } from "../actors/support.js";

const namespace = "test" as Namespace;
const job = "job" as JobId;
const input = { n: t.int32 };
const output = { doubled: t.int32 };
const subjects = jobSubjects(namespace, job);
const ROWS_MAX = 2;
/** Who calls. */
const owner = {};
/** Rows that a client has at one instance at most (balance.ts, L2). */
const SHARE = 2 * ROWS_MAX;

const declared = service("double", {
  input,
  output,
  handler: { kind: "none", assets: {}, load: () => Promise.reject(new Error("never loaded")) },
  batch: { rowsMax: ROWS_MAX },
}) as unknown as Service;

const batch = (...values: number[]) =>
  batchFromRows(
    input,
    values.map((n) => ({ n })),
  ) as unknown as RecordBatch;

/** An instance that only says what the test tells it to. */
class FakeInstance {
  readonly requests: { readonly header: RequestHeader; readonly values: number[] }[] = [];
  #sequence = 0n;

  constructor(
    readonly bus: Bus,
    readonly name: string,
  ) {}

  async open(): Promise<this> {
    const subject = subjects.instanceRequest(declared.id, this.name as InstanceId);
    await this.bus.subscribe(subject, (message) => {
      const { header, payload } = requestFrame.decode(message.payload);
      const records = batchOf(payload);
      this.requests.push({ header, values: records });
    });
    return this;
  }

  load(state: LifeCycle, about: Partial<LoadReport> = {}): LoadReport {
    return {
      service: declared.id,
      instance: this.name,
      sequence: ++this.#sequence,
      subject: subjects.instanceRequest(declared.id, this.name as InstanceId),
      state,
      queuedRows: 0,
      runningRows: 0,
      rowMs: 0,
      reason: "",
      code: "",
      ...about,
    };
  }

  async says(state: LifeCycle, about: Partial<LoadReport> = {}): Promise<void> {
    await this.bus.publish(subjects.load(declared.id), loadReportFrame.encode(this.load(state, about)));
    await turns();
  }

  /** Answers the oldest request it has. */
  async answers(status: AnswerStatus = "OK", about: { code?: string; state?: LifeCycle; payload?: Uint8Array } = {}) {
    const { header, values } = this.requests.shift()!;
    const schema = encodeSchema(arrowSchema(output));
    const made = batchFromRows(
      output,
      values.map((n) => ({ doubled: 2 * n })),
    );
    const frame = answerFrame.encode(
      {
        id: header.id,
        instance: this.name,
        status,
        code: about.code ?? "",
        message: status === "FAILED" ? "it broke" : "",
        rejectedRows: [],
        rows: values.length,
        load: this.load(about.state ?? "READY"),
        schemaId: schemaId(schema),
        schema,
      },
      about.payload ?? (status === "OK" ? encodeBatch(made as unknown as RecordBatch) : []),
    );
    await this.bus.publish(subjects.answer(header.client), frame);
    await turns();
  }

  async crashes(state: "FAILED" | "STOPPED" = "FAILED"): Promise<void> {
    this.requests.length = 0;
    const gone = { service: declared.id, instance: this.name, state, code: "MILL_SERVICE_LOST", reason: "killed" };
    const { subject, frame } = goneReport(namespace, job, gone);
    await this.bus.publish(subject, frame);
    await turns();
  }
}

function batchOf(payload: Uint8Array): number[] {
  const read = decodeBatch(arrowSchema(input), payload);
  return (rowsOf(input, read as never) as { n: number }[]).map((row) => row.n);
}

async function setUp(wrap: (bus: Bus) => Bus = (bus) => bus) {
  const bus = new MemoryBus(realPorts());
  const client = new ServiceClient({
    bus: wrap(bus),
    ports: realPorts(),
    namespace,
    job,
    attempt: 1,
    client: "client-1",
    service: declared,
  });
  await client.open();
  const instance = (name: string) => new FakeInstance(bus, name).open();
  return { bus, client, instance };
}

const doubled = (answer: { records: RecordBatch }) =>
  (rowsOf(output, answer.records as never) as { doubled: number }[]).map((row) => row.doubled);

describe("services/client: requests and answers", () => {
  it("sends nothing until an instance is READY (S3)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    const call = client.call(batch(1), "", owner);
    for (const state of ["REQUESTED", "PROVISIONING", "LOADING", "WARMING"] as const) {
      await a.says(state);
      assert.equal(a.requests.length, 0, state);
    }
    assert.equal(client.queuedRows, 1);
    await a.says("READY");
    assert.deepEqual(
      a.requests.map((one) => one.values),
      [[1]],
    );
    await a.answers();
    assert.deepEqual(doubled(await call), [2]);
  });

  it("spells the input's schema out once to each instance", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    void client.call(batch(1), "", owner);
    void client.call(batch(2), "", owner);
    await turns();
    assert.deepEqual(
      a.requests.map((one) => one.header.schema !== null),
      [true, false],
    );
  });

  for (const status of ["RETURNED", "REJECTED"] as const) {
    it(`a request that is ${status} goes to another instance (S1)`, async () => {
      const { client, instance } = await setUp();
      const a = await instance("a-0");
      const b = await instance("a-1");
      await a.says("READY");
      const call = client.call(batch(1), "", owner);
      await until("the request", () => a.requests.length === 1);
      await b.says("READY");
      await a.answers(status, status === "RETURNED" ? { state: "DRAINING" } : {});
      assert.equal(b.requests.length, 1);
      await b.answers();
      assert.deepEqual(doubled(await call), [2]);
    });
  }

  it("one that was REJECTED by the only instance waits for its next report and is not thrown at it again at once", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), "", owner);
    await until("the request", () => a.requests.length === 1);
    await a.answers("REJECTED");
    await turns(20);
    assert.equal(a.requests.length, 0);
    await a.says("READY");
    assert.equal(a.requests.length, 1);
    await a.answers();
    await call;
  });

  it("one that FAILED ends the call with the code of the instance and the name of the service (S2)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), "", owner);
    await until("the request", () => a.requests.length === 1);
    const failed = assert.rejects(call, { code: "MILL_MODEL_INPUTS", message: /"double".*it broke/ });
    await a.answers("FAILED", { code: "MILL_MODEL_INPUTS" });
    await within("the call to end", failed);
  });

  it("an answer whose payload does not fit ends the call (S2)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), "", owner);
    await until("the request", () => a.requests.length === 1);
    const failed = assert.rejects(call, { code: "MILL_SERVICE_FAILED", message: /"double"/ });
    await a.answers("OK", { payload: new Uint8Array([1, 2, 3]) });
    await within("the call to end", failed);
  });

  it("an answer that comes twice changes nothing", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), "", owner);
    await until("the request", () => a.requests.length === 1);
    a.requests.push(a.requests[0]!);
    await a.answers();
    await a.answers();
    await call;
    for (let i = 0; i < SHARE + 1; i++) void client.call(batch(i), "", owner).catch(() => {});
    await turns();
    assert.equal(a.requests.length, SHARE, "the instance has the share of a client, no row more");
  });

  it("`fail` ends every call, queued or sent, now and from then on (S2)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const calls = Array.from({ length: SHARE + 2 }, (_, i) => client.call(batch(i), "", owner));
    await turns();
    client.close();
    for (const result of await within("every call", Promise.allSettled(calls))) assert.equal(result.status, "rejected");
    await assert.rejects(client.call(batch(1), "", owner), { message: /"double"/ });
    assert.equal(client.queuedRows, 0);
  });
});

describe("services/client: how much an instance is given", () => {
  it("no more than its share while it answers nothing, and one more for each that leaves it (S4)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    for (let i = 0; i < 20; i++) void client.call(batch(i), "", owner).catch(() => {});
    await turns();
    assert.equal(a.requests.length, SHARE);
    for (const status of ["OK", "FAILED", "RETURNED"] as const) {
      await a.answers(status, { code: status === "FAILED" ? "MILL_SERVICE_FAILED" : "" });
      assert.equal(a.requests.length, SHARE, `after ${status}`);
    }
    client.close();
  });

  it("a request that cannot be sent ends its call and makes room again (S2, S4)", async () => {
    let broken = true;
    const { client, instance } = await setUp((bus) => {
      const publish: Bus["publish"] = (subject, payload, options) => {
        if (broken && subject.endsWith(".request")) throw new Error("no room on the wire");
        return bus.publish(subject, payload, options);
      };
      return new Proxy(bus, { get: (target, key) => (key === "publish" ? publish : bind(target, key)) });
    });
    const a = await instance("a-0");
    await a.says("READY");
    for (let i = 0; i < SHARE; i++) {
      await within(
        "the call to end",
        assert.rejects(client.call(batch(1), "", owner), { message: /no room on the wire/ }),
      );
    }
    broken = false;
    const call = client.call(batch(1), "", owner);
    await until("a request after those that were not sent", () => a.requests.length === 1);
    await a.answers();
    await call;
  });
});

function bind(target: object, key: string | symbol): unknown {
  const value = Reflect.get(target, key) as unknown;
  return typeof value === "function" ? value.bind(target) : value;
}

describe("services/client: lost instances", () => {
  it("what was on board goes to another (S1, S4)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    const b = await instance("a-1");
    await a.says("READY");
    const calls = [client.call(batch(1), "", owner), client.call(batch(2), "", owner)];
    await until("the requests", () => a.requests.length === 2);
    await a.crashes();
    await b.says("READY");
    for (const n of [1, 2]) {
      await until(`request ${n}`, () => b.requests.length === 1);
      assert.deepEqual(b.requests[0]!.values, [n]);
      await b.answers();
    }
    assert.deepEqual((await Promise.all(calls)).map(doubled), [[2], [4]]);
  });

  it(`a request that was on board of ${limits.inferCrashesMax} crashes is refused, and not sent again (S5)`, async () => {
    const { client, instance } = await setUp();
    const call = assert.rejects(client.call(batch(1), "", owner), {
      code: "MILL_SERVICE_LOST",
      message: /3 instances/,
    });
    for (let i = 0; i < limits.inferCrashesMax; i++) {
      const one = await instance(`a-${i}`);
      await one.says("READY");
      await until(`request ${i}`, () => one.requests.length === 1);
      assert.equal(one.requests[0]!.header.crashes, i);
      await one.crashes();
    }
    await within("the call to end", call);
    const last = await instance("a-9");
    await last.says("READY");
    assert.equal(last.requests.length, 0);
  });

  it("the neighbours of a request that kills its instances are answered, each after one crash at most (S5)", async () => {
    const { client, instance } = await setUp();
    const poison = assert.rejects(client.call(batch(-1), "", owner), { code: "MILL_SERVICE_LOST" });
    const calls = [1, 2, 3, 4, 5].map((n) => client.call(batch(n), "", owner));
    let all: FakeInstance[] = [];
    for (let turn = 0; turn < 40 && client.queuedRows + all.length >= 0; turn++) {
      if (all.length === 0) {
        all = [await instance(`a-${turn}`)];
        await all[0]!.says("READY");
      }
      const [one] = all;
      if (one!.requests.length === 0) {
        await turns();
        if (one!.requests.length === 0) break;
      }
      const suspects = one!.requests.filter((request) => request.header.crashes > 0);
      assert.ok(suspects.length === 0 || one!.requests.length === 1, "a suspect travels alone");
      if (one!.requests[0]!.values.includes(-1)) {
        await one!.crashes();
        all = [];
      } else {
        assert.ok(one!.requests[0]!.header.crashes <= 1);
        await one!.answers();
      }
    }
    await within("the poisoned call", poison);
    const answers = await within("its neighbours", Promise.all(calls));
    assert.deepEqual(answers.map(doubled), [[2], [4], [6], [8], [10]]);
  });

  it("a suspect does not meet other clients' rows in a call: its bucket is its own (S5)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    void client.call(batch(1), "wide", owner).catch(() => {});
    await until("the request", () => a.requests.length === 1);
    assert.equal(a.requests[0]!.header.bucket, "wide");
    await a.crashes();
    const b = await instance("a-1");
    await b.says("READY");
    assert.notEqual(b.requests[0]!.header.bucket, "wide");
    client.close();
  });

  it("one that was told to stop has not crashed: what it still had goes on as before (S5)", async () => {
    const { client, instance } = await setUp();
    for (let i = 0; i <= limits.inferCrashesMax; i++) {
      const one = await instance(`a-${i}`);
      if (i === 0) void client.call(batch(1), "", owner).catch(() => {});
      await one.says("READY");
      await until(`request ${i}`, () => one.requests.length === 1);
      assert.equal(one.requests[0]!.header.crashes, 0);
      await one.crashes("STOPPED");
    }
    assert.equal(client.queuedRows, 1);
    client.close();
  });

  it("an instance that is gone stays gone, whatever of it still arrives (S6)", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    await a.says("READY");
    const call = client.call(batch(1), "", owner);
    await until("the request", () => a.requests.length === 1);
    const [late] = a.requests;
    await a.crashes();
    a.requests.push(late!);
    await a.answers(); // was on its way when it died, and says READY
    await a.says("READY");
    assert.equal(a.requests.length, 0, "a dead instance was sent a request");
    assert.ok(await isOpen(call), "an answer of an instance that was given up was taken");
    const b = await instance("a-1");
    await b.says("READY");
    await b.answers();
    assert.deepEqual(doubled(await call), [2]);
  });

  it("an older report than the last one seen changes nothing", async () => {
    const { client, instance } = await setUp();
    const a = await instance("a-0");
    const old = a.load("READY");
    await a.says("DRAINING");
    await a.bus.publish(subjects.load(declared.id as ServiceId), loadReportFrame.encode(old));
    await turns();
    void client.call(batch(1), "", owner).catch(() => {});
    await turns();
    assert.equal(a.requests.length, 0);
    client.close();
  });
});
