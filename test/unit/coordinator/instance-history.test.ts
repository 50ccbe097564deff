/** What a job's report tells of the lives of its instances, and of what its services were asked. */
import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import { noCounts, serviceCounts } from "../../../src/services/call-counts.js";
import type { HostReport, Transition, WorkerReport } from "../../../src/wire/control.js";
import { jobReportFrame } from "../../../src/wire/control.js";
import { decodeFrame, type LoadReport } from "../../../src/wire/frames.js";
import { fakePorts } from "./fake-ports.js";
import { granted, serviceSpec, spec } from "./job-facts.js";

const MODEL = "model-1-0" as InstanceId;

function load(state: LoadReport["state"], enteredMs: bigint, about: Partial<LoadReport> = {}): LoadReport {
  const counts = { sequence: 1n, subject: "", queuedRows: 0, runningRows: 0, rowMs: 0, enteredMs };
  return { service: "model", instance: MODEL, state, reason: "", code: "", ...counts, ...about };
}

function workerReport(state: string, about: { startedMs?: bigint; endedMs?: bigint; message?: string }): WorkerReport {
  const { startedMs = 0n, endedMs = 0n, message = "" } = about;
  const code = state === "FAILED" ? "MILL_SERVICE_LOST" : "";
  const told = { job: spec.job, service: "model", instance: MODEL, state, code, message, granted: granted() };
  const about1 = {
    worker: "w1",
    sequence: 1n,
    cpus: 2,
    memoryBytes: 0n,
    gpus: [],
    draining: false,
    stopped: false,
    usage: null,
  };
  return { ...about1, hosts: [], instances: [{ ...told, startedMs, endedMs, launched: true }] };
}

function bookOf(): JobBook {
  return new JobBook(spec, fakePorts().clock);
}

function historyOf(book: JobBook, instance: string = MODEL): [string, bigint, string][] {
  const { header } = decodeFrame(jobReportFrame.encode(book.describe())) as { header: ReturnType<JobBook["describe"]> };
  const found = header.instances.find((one) => one.instance === instance)!;
  return found.transitions.map(({ state, enteredMs, reason }) => [state, enteredMs, reason]);
}

const transition = (state: string, enteredMs: bigint, reason = ""): Transition => ({
  state,
  enteredMs,
  code: "",
  reason,
});

describe("coordinator/job-book: the lives of instances", () => {
  it("a job's report names every state of an instance with its time and reason, from REQUESTED on", () => {
    const book = bookOf();
    book.expectInstance({ instance: MODEL, service: "model", worker: "", granted: granted() }, "needs 1 gpu");
    book.expectInstance({ instance: MODEL, service: "model", worker: "w1", granted: granted() });
    book.onWorker(workerReport("PROVISIONING", { startedMs: 2_000n }));
    book.onLoad(load("LOADING", 3_000n));
    book.onLoad(load("READY", 5_000n));
    const [[requested, , why], ...rest] = historyOf(book) as [[string, bigint, string]];
    assert.deepEqual([requested, why], ["REQUESTED", "needs 1 gpu"]);
    assert.deepEqual(rest, [
      ["PROVISIONING", 2_000n, "on worker w1"],
      ["LOADING", 3_000n, ""],
      ["READY", 5_000n, ""],
    ]);
  });

  it("what was lost of it is made good by whatever the instance and its worker say next", () => {
    const book = bookOf();
    book.expectInstance({ instance: MODEL, service: "model", worker: "w1", granted: granted() });
    book.onLoad(load("READY", 5_000n));
    const transitions = [transition("LOADING", 3_000n), transition("WARMING", 4_000n, "loaded in 1000 ms")];
    book.onHistory({ job: spec.job, instance: MODEL, transitions, work: null });
    book.onWorker(workerReport("PROVISIONING", { startedMs: 2_000n }));
    assert.deepEqual(historyOf(book).slice(1), [
      ["PROVISIONING", 2_000n, "on worker w1"],
      ["LOADING", 3_000n, ""],
      ["WARMING", 4_000n, "loaded in 1000 ms"],
      ["READY", 5_000n, ""],
    ]);
    book.onWorker(workerReport("FAILED", { startedMs: 2_000n, endedMs: 9_000n, message: "it was ended by SIGKILL" }));
    assert.deepEqual(historyOf(book).at(-1), ["FAILED", 9_000n, "it was ended by SIGKILL"]);
  });

  it("one that takes the place of one that failed says so", () => {
    const book = bookOf();
    book.expectInstance({ instance: MODEL, service: "model", worker: "w1", granted: granted() });
    book.onLoad(load("FAILED", 5_000n, { code: "MILL_SERVICE_FAILED", reason: "no such file: weights.bin" }));
    const next = "model-1-1" as InstanceId;
    book.expectInstance({ instance: next, service: "model", worker: "w1", granted: granted() });
    assert.equal(historyOf(book, next)[0]![2], `after ${MODEL}, which failed: no such file: weights.bin`);
  });

  it("a new leader goes on with the history that the one before has noted", () => {
    const before = bookOf();
    before.expectInstance({ instance: MODEL, service: "model", worker: "w1", granted: granted() }, "needs 1 gpu");
    before.onLoad(load("LOADING", 3_000n));
    const { clock } = fakePorts();
    const next = new JobBook(spec, clock);
    next.takeUp(before.describe());
    next.onWorker(workerReport("PROVISIONING", { startedMs: 2_000n }));
    next.onLoad(load("READY", 5_000n));
    assert.deepEqual(
      historyOf(next).map(([state]) => state),
      ["REQUESTED", "PROVISIONING", "LOADING", "READY"],
    );
    assert.equal(historyOf(next)[0]![2], "needs 1 gpu");
  });
});

describe("coordinator/job-book: what services were asked", () => {
  const hostReport = (host: string, sequence: bigint, duplicateCalls: number): HostReport => {
    const counts = { ...noCounts(), calls: 10, rows: 8, duplicateCalls };
    const services = [serviceCounts("model", counts), serviceCounts("other", noCounts())];
    return { host, job: spec.job, sequence, actors: [], rowsTotal: 0n, services, standings: [] };
  };

  it("is summed over hosts, those that have ended included", () => {
    const book = new JobBook({ ...spec, services: [serviceSpec()] }, fakePorts().clock);
    book.expectHost("h1", "w1");
    book.expectHost("h2", "w2");
    book.onHost(hostReport("h1", 1n, 1));
    book.onHost(hostReport("h1", 2n, 3));
    book.onHost(hostReport("h2", 1n, 4));
    book.onWorkerGone("w1", "silent");
    const [model] = book.describe().services;
    assert.deepEqual([model?.service, model?.calls, model?.rows, model?.duplicateCalls], ["model", 20n, 16n, 7n]);
  });
});
