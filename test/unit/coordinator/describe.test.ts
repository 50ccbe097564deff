import assert from "node:assert/strict";
import type { InstanceId } from "../../../src/base/ids.js";
import { limits } from "../../../src/base/limits.js";
import { workerDetails } from "../../../src/coordinator/describe-workers.js";
import { JobBook } from "../../../src/coordinator/job-book.js";
import { noCounts, serviceCounts } from "../../../src/services/call-counts.js";
import type {
  ActorLoad,
  ActorState,
  HostReport,
  InstanceWork,
  JobSpec,
  WorkerReport,
} from "../../../src/wire/control.js";
import { within } from "../actors/support.js";
import { Cluster, job } from "./coordinator-cluster.js";
import { fakePorts } from "./fake-ports.js";
import { actor, granted, serviceSpec, spec } from "./job-facts.js";

const HOST = "job-1-w1-1";
const operator = (name: string, kind: string, parallelism: number) => ({
  operator: name,
  kind,
  parallelism,
  columns: "",
});

/** `read` (2) > `ask` (2), which calls a service, > hash > `count` (1). */
const graphed: JobSpec = {
  ...spec,
  actors: [
    ...spec.actors.filter(({ region }) => region === "region-read-0"),
    { ...spec.actors[0]!, actor: "count-0", subtask: 0 },
  ],
  operators: [operator("read", "source", 2), operator("ask", "infer", 2), operator("count", "reduce", 1)],
  graph: [
    { operator: "read", inputs: [], service: "", chain: "read" },
    {
      operator: "ask",
      inputs: [{ operator: "read", exchange: "chained", durable: false }],
      service: "model",
      chain: "read",
    },
    { operator: "count", inputs: [{ operator: "ask", exchange: "hash", durable: false }], service: "", chain: "count" },
  ],
  services: [serviceSpec()],
};

function setUp(about: JobSpec = graphed) {
  const { clock } = fakePorts();
  const book = new JobBook(about, clock);
  const region = book.regions.get("region-read-0")!;
  region.onLog([]);
  region.place(new Map(about.actors.map(({ actor: id }) => [id, "w1"])));
  book.expectHost(HOST, "w1");
  region.settle(() => HOST);
  book.expectInstance({ instance: "model-0" as InstanceId, service: "model", worker: "w1", granted: granted() });
  let sequence = 0n;
  const report = (actors: HostReport["actors"], more: Partial<HostReport> = {}) => {
    const about1 = { host: HOST, job: spec.job, sequence: ++sequence, rowsTotal: 100n, services: [], standings: [] };
    book.onHost({ ...about1, actors, ...more });
  };
  return { clock, book, report };
}

const actorsOf = (book: JobBook) => book.actorPlaces().map(({ detail }) => detail());

interface Spent {
  readonly rows: number;
  readonly busyMs?: number;
  readonly backPressuredMs?: number;
}

/** Of `read-N`: both operators have handled `rows`; `ask` was busy, `read` back-pressured. */
function loadOf(forMs: number, { rows, busyMs = 0, backPressuredMs = 0 }: Spent): ActorLoad {
  const counts = { rowsIn: BigInt(rows), rowsOut: BigInt(rows), requests: 0, rowsHeld: 0 };
  return {
    forMs,
    busyMs,
    backPressuredMs,
    operators: [
      { operator: "read", ...counts, rowsIn: 0n, busyMs: 0, backPressuredMs: busyMs },
      { operator: "ask", ...counts, busyMs, backPressuredMs, requests: 3, rowsHeld: 12 },
    ],
    inputs: [],
  };
}

const read = (n: number, load: ActorLoad | null, state: ActorState = "RUNNING") =>
  actor(`read-${n}`, state, { rowsRead: load?.operators[0]?.rowsOut ?? 0n, load });

describe("coordinator/describe: the graph of a job", () => {
  it("operators in the order of the topology with the service they call, edges with how rows go over them", () => {
    const { operators, edges } = setUp().book.detail();
    assert.deepEqual(
      operators.map((one) => [one.operator, one.kind, one.parallelism, one.chain, one.service, one.regions]),
      [
        ["read", "source", 2, "read", "", ["region-read-0"]],
        ["ask", "infer", 2, "read", "model", ["region-read-0"]],
        ["count", "reduce", 1, "count", "", ["region-read-0"]],
      ],
    );
    assert.deepEqual(
      edges.map(({ from, to, exchange, durable, channels }) => [from, to, exchange, durable, channels]),
      [
        ["read", "ask", "chained", false, 0],
        ["ask", "count", "hash", false, 0],
      ],
    );
  });

  it("what waits on channels is summed over all of an edge, with the credit that there is", () => {
    const { book, report } = setUp();
    const input = { from: "ask", to: "count", channels: 2, queuedBytes: 5_000n, queuedBatches: 3 };
    const load = { forMs: 1, busyMs: 0, backPressuredMs: 0, operators: [], inputs: [input] };
    report([{ ...actor("read-0", "RUNNING", { load }), actor: "count-0" }]);
    const { edges } = book.detail();
    const { channels, queuedBytes, queuedBatches, creditBytes } = edges[1]!;
    assert.deepEqual([channels, queuedBytes, queuedBatches], [2, 5_000, 3]);
    assert.equal(creditBytes, 2 * limits.channelCreditBytes);
    const counting = actorsOf(book).find((one) => one.actor === "count-0")!;
    assert.deepEqual([counting.queuedBytes, counting.queuedBatches], [5_000, 3]);
  });
});

describe("coordinator/describe: rates and shares of time", () => {
  it("nothing is known before an actor has told of its load twice; totals are known at once", () => {
    const { book, report } = setUp();
    report([read(0, loadOf(1_000, { rows: 50, busyMs: 900 }))]);
    const [first] = actorsOf(book);
    assert.deepEqual([first!.busy, first!.backPressured, first!.idle, first!.rowsReadPerSecond], [0, 0, 0, 0]);
    assert.deepEqual(
      [first!.rowsRead, first!.operators[1]!.rowsIn, first!.operators[1]!.requestsInFlight],
      [50, 50, 3],
    );
  });

  it("are what changed between two reports of an actor, by the clock of its host", () => {
    const { book, report } = setUp();
    report([read(0, loadOf(1_000, { rows: 50, busyMs: 900 }))]);
    report([read(0, null)]);
    report([read(0, loadOf(3_000, { rows: 450, busyMs: 1_900, backPressuredMs: 500 }))]);
    const [told] = actorsOf(book);
    assert.deepEqual([told!.busy, told!.backPressured, told!.idle], [0.5, 0.25, 0.25]);
    assert.equal(told!.rowsReadPerSecond, 200);
    const [reads, asks] = told!.operators;
    assert.deepEqual([reads!.rowsOutPerSecond, reads!.rowsInPerSecond, asks!.rowsInPerSecond], [200, 0, 200]);
    assert.deepEqual([reads!.busy, reads!.backPressured, asks!.busy, asks!.backPressured], [0, 0.5, 0.5, 0.25]);
  });

  it("of an operator are the sums, and the means and most, over its parallel instances that have told of it", () => {
    const { book, report } = setUp();
    report([read(0, loadOf(0, { rows: 0 })), read(1, loadOf(0, { rows: 0 }))]);
    report([read(0, loadOf(1_000, { rows: 10, busyMs: 1_000 })), read(1, loadOf(1_000, { rows: 30, busyMs: 500 }))]);
    const { operators, rowsReadPerSecond } = book.detail();
    const [reads, asks, counts] = operators;
    assert.deepEqual([rowsReadPerSecond, reads!.rowsOut, asks!.rowsInPerSecond], [40, 40, 40]);
    assert.deepEqual(
      [asks!.busy, asks!.busyMax, asks!.idle, asks!.requestsInFlight, asks!.rowsInFlight],
      [0.75, 1, 0.25, 6, 24],
    );
    assert.deepEqual([reads!.backPressured, reads!.backPressuredMax], [0.75, 1]);
    assert.deepEqual([counts!.busy, counts!.idle], [0, 0]);
  });

  it("end with the actor, and begin anew with an attempt", () => {
    const { book, report } = setUp();
    report([read(0, loadOf(0, { rows: 0 })), read(1, loadOf(0, { rows: 0 }))]);
    report([read(0, loadOf(1_000, { rows: 9 }), "FINISHED"), read(1, loadOf(1_000, { rows: 9 }))]);
    assert.deepEqual(
      actorsOf(book).map((one) => one.rowsReadPerSecond),
      [0, 9, 0],
    );
    book.regions.get("region-read-0")!.restart({ code: "MILL_WORKER_LOST", message: "gone" });
    const [, second] = actorsOf(book);
    assert.deepEqual([second!.attempt, second!.state, second!.operators], [2, "", []]);
  });
});

describe("coordinator/describe: services and instances", () => {
  const work = (rows: bigint): InstanceWork => ({
    ...{ requests: 4, calls: rows / 2n, rows, errors: 1n },
    ...{ callMsP50: 12, callMsP99: 40, batchRowsMean: 2 },
  });
  const load = (queuedRows: number, runningRows: number) => ({
    ...{ service: "model", instance: "model-0", sequence: 1n, subject: "", state: "READY" as const, reason: "warmed" },
    ...{ queuedRows, runningRows, rowMs: 6, code: "", enteredMs: 1_700_000_000_500n },
  });

  it("an instance with its state and since when, what waits and runs, and what it has done", async () => {
    const { clock, book } = setUp();
    const history = { job: spec.job, instance: "model-0", transitions: [] };
    book.onLoad(load(7, 3));
    book.onHistory({ ...history, work: work(100n) });
    await clock.advance(2_000);
    book.onHistory({ ...history, work: work(300n) });
    assert.equal(book.summary().counts.instancesReady, 1);
    const [model] = book.detail().services;
    assert.deepEqual(
      [model!.service, model!.callers, model!.instancesWanted, model!.counts],
      ["model", ["ask"], 2, undefined],
    );
    const { transitions, ...told } = model!.instances[0]!;
    assert.deepEqual(told, {
      ...{ service: "model", instance: "model-0", worker: "w1", state: "READY", sinceMs: 1_700_000_000_500 },
      ...{ code: "", message: "warmed", queuedRows: 7, runningRows: 3, requests: 4, calls: 150, rows: 300, errors: 1 },
      ...{ rowsPerSecond: 100, rowMs: 6, callMsP50: 12, callMsP99: 40, batchRowsMean: 2, aside: 0, probation: 0 },
      ...{ gpus: [], memoryBytes: 0, cpuMs: 0 },
    });
    assert.deepEqual(
      transitions.map(({ state }) => state),
      ["REQUESTED", "READY"],
    );
  });

  it("how many hosts have put it aside or on probation, until they say so no more or have gone", () => {
    const { book, report } = setUp();
    const standing = (probation: boolean) => [{ service: "model", instance: "model-0", probation }];
    const told = () => book.detail().services[0]!.instances.map(({ aside, probation }) => [aside, probation])[0];
    report([], { standings: standing(false) });
    assert.deepEqual(told(), [1, 0]);
    report([], { standings: standing(true) });
    assert.deepEqual(told(), [0, 1]);
    book.onWorkerGone("w1", "gone");
    assert.deepEqual(told(), [0, 0]);
  });

  it("what clients have counted of a service, once one has called it", () => {
    const { book, report } = setUp();
    const services = [serviceCounts("model", { ...noCounts(), calls: 5, rows: 9 })];
    report([], { services });
    assert.deepEqual(book.detail().services[0]!.counts, services[0]);
  });
});

describe("coordinator/describe: workers and their processes", () => {
  const reportOf = (usage: WorkerReport["usage"]): WorkerReport => ({
    ...{ worker: "w1", sequence: 1n, cpus: 4, memoryBytes: 1_000n, draining: false, stopped: false },
    gpus: [{ uuid: "gpu-1", kind: "H200", memoryBytes: 10n }],
    hosts: [
      {
        host: HOST,
        job: spec.job,
        state: "RUNNING",
        code: "",
        message: "",
        group: "",
        gpus: [{ operator: "ask", uuid: "gpu-1", thousandths: 300, memoryBytes: 0n }],
      },
      { host: "over", job: spec.job, state: "EXITED", code: "", message: "", group: "", gpus: [] },
    ],
    instances: [
      {
        ...{ job: spec.job, service: "model", instance: "model-0", state: "PROVISIONING", code: "", message: "" },
        granted: granted({ uuid: "gpu-1", thousandths: 500, memoryBytes: 0n }),
        ...{ startedMs: 0n, endedMs: 0n, launched: false },
      },
    ],
    usage,
  });
  const usage = {
    ...{ memoryBytes: 600n, cpus: 1.5, rssBytes: 50n },
    processes: [
      { job: spec.job, name: HOST, rssBytes: 70n, cpuMs: 1_234n },
      { job: "another", name: "model-0", rssBytes: 1n, cpuMs: 1n },
    ],
  };

  it("a worker: what it offers, what of it is promised and used, when it was heard, what runs there", async () => {
    const { clock } = fakePorts();
    const heardMs = clock.monotonicMs();
    await clock.advance(500);
    const [told] = workerDetails([{ report: reportOf(usage), heardMs }], clock);
    const { processes, gpus, ...rest } = told!;
    assert.deepEqual(rest, {
      ...{ worker: "w1", cpus: 4, memoryBytes: 1_000, draining: false, heardMs: clock.nowMs() - 500 },
      ...{ memoryUsedBytes: 600, cpusUsed: 1.5, processMemoryBytes: 50 },
    });
    assert.deepEqual(gpus, [{ uuid: "gpu-1", kind: "H200", memoryBytes: 10, promisedThousandths: 800 }]);
    assert.deepEqual(
      processes.map(({ kind, name, service, state, memoryBytes, cpuMs }) => [
        kind,
        name,
        service,
        state,
        memoryBytes,
        cpuMs,
      ]),
      [
        ["host", HOST, "", "RUNNING", 70, 1_234],
        ["instance", "model-0", "model", "RUNNING", 0, 0],
      ],
    );
  });

  it("where nothing can be measured, nothing is known", () => {
    const [told] = workerDetails([{ report: reportOf(null), heardMs: 0 }], fakePorts().clock);
    assert.deepEqual([told!.memoryUsedBytes, told!.cpusUsed, told!.processMemoryBytes], [0, 0, 0]);
  });

  it("a job's hosts and instances are told with what their own processes use", () => {
    const { book } = setUp();
    book.onWorker(reportOf(usage));
    const { hosts, services } = book.detail();
    assert.deepEqual([hosts[0]!.memoryBytes, hosts[0]!.cpuMs, hosts[0]!.actors], [70, 1_234, 3]);
    assert.equal(services[0]!.instances[0]!.memoryBytes, 0, "that of another job has the same name");
  });
});

describe("coordinator: what it tells of jobs", () => {
  it("lists jobs with their counts, and shows one", async () => {
    const cluster = await new Cluster().running();
    const [summary, ...others] = cluster.coordinator.jobs();
    assert.deepEqual(others, []);
    assert.deepEqual([summary!.job, summary!.topology, summary!.state], [job, "test", "RUNNING"]);
    assert.deepEqual(summary!.counts, {
      actors: 3,
      actorsRunning: 3,
      regions: 2,
      restarts: 0,
      instancesWanted: 2,
      instancesReady: 0,
    });
    const detail = await cluster.coordinator.describeJob(job);
    assert.deepEqual({ ...detail, ...summary }, detail);
    assert.deepEqual(
      (await cluster.coordinator.actorsOf(job)).map(({ state }) => state),
      ["RUNNING", "RUNNING", "RUNNING"],
    );
    assert.equal(cluster.coordinator.workers().length, cluster.workers.length);
  });

  it("shows a job that ended under another leader as its report has it, and knows no other", async () => {
    const cluster = await new Cluster().running();
    for (const worker of cluster.workers) await worker.finish();
    await cluster.clock.settle();
    await (await cluster.succeed()).close();
    const detail = await within("the job", cluster.coordinator.describeJob(job));
    assert.deepEqual([detail.state, detail.counts.actors, detail.regions.length], ["FINISHED", 3, 2]);
    assert.deepEqual(await within("its actors", cluster.coordinator.actorsOf(job)), []);
    await assert.rejects(cluster.coordinator.describeJob("job-2"), { code: "MILL_JOB_UNKNOWN" });
  });
});
