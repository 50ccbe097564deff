import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import { decideJob, type WatchedHost } from "../../../src/coordinator/job.js";
import type { JobState } from "../../../src/wire/control.js";
import {
  entered,
  enumerator,
  facts,
  gpu,
  granted,
  host,
  instance,
  needs,
  ofKind,
  serviceSpec,
  spec,
  worker,
} from "./job-facts.js";

const kinds = (actions: readonly { readonly kind: string }[]) => [...new Set(actions.map(({ kind }) => kind))].sort();

describe("coordinator/job: beginning", () => {
  it("waits and says what for while no worker takes work", () => {
    for (const workers of [[], [worker("w1", { draining: true })]]) {
      const actions = decideJob(facts({ state: "SUBMITTED", workers }));
      assert.deepEqual(kinds(actions), ["wait"]);
      assert.match(ofKind(actions, "wait")[0]!.message, /start one with `millrace worker`/);
    }
    assert.equal(entered(decideJob(facts({ state: "SUBMITTED" })))?.state, "DEPLOYING");
  });

  it("asks for nothing while all is there and runs", () => {
    assert.deepEqual(decideJob(facts()), []);
  });

  it("runs when every region does, and not before", () => {
    for (const late of ["OPENING", "FENCING", "PLACING", "DEPLOYING"] as const) {
      assert.equal(entered(decideJob(facts({ state: "DEPLOYING", regions: ["RUNNING", late] }))), undefined, late);
    }
    const actions = decideJob(facts({ state: "DEPLOYING", regions: ["RUNNING", "FINISHED"] }));
    assert.equal(entered(actions)?.state, "RUNNING");
  });

  it("winds up only when every region is FINISHED (J2)", () => {
    assert.equal(entered(decideJob(facts({ regions: ["FINISHED", "RUNNING"] }))), undefined);
    assert.deepEqual(decideJob(facts({ regions: ["FINISHED", "FINISHED"] })), [{ kind: "enter", state: "COMMITTING" }]);
  });
});

describe("coordinator/job: hosts and enumerators", () => {
  const [one, two] = facts().hosts as [ReturnType<typeof host>, ReturnType<typeof host>];
  const lost = { code: "MILL_WORKER_LOST", message: "it fell silent", passing: true } as const;

  it("asks for a host on every worker that actors are placed on, again by the same name until it shows (J1, J6)", () => {
    const [first] = ofKind(decideJob(facts({ hosts: [one] })), "start-host");
    assert.equal(first?.worker, "w2");
    const asked = host(first!.host, "w2", { state: "asked" });
    assert.deepEqual(decideJob(facts({ hosts: [one, asked] })), [first]);
    assert.deepEqual(decideJob(facts({ hosts: [one], placedOn: ["w1"] })), []);
  });

  it("actors that need devices have a host of their own, told which; it is stopped where they are not any more (J1)", () => {
    const gpus = [{ operator: "x", uuid: "GPU-1", thousandths: 500, memoryBytes: 0n }];
    const groups = [{ group: "g", worker: "w1", gpus }];
    const [start, ...others] = decideJob(facts({ groups })).filter(({ kind }) => kind.endsWith("-host"));
    assert.deepEqual(start, { kind: "start-host", host: "job-1-w1-1-1", ...groups[0] });
    assert.deepEqual(others, []);
    const own = host("job-1-w1-1-1", "w1", { group: "g" });
    assert.deepEqual(decideJob(facts({ groups, hosts: [one, two, own] })), []);
    const another = [...groups, { group: "h", worker: "w1", gpus: [] }];
    const names = ofKind(decideJob(facts({ groups: another })), "start-host").map((action) => action.host);
    assert.equal(new Set(names).size, 2, "each has a name of its own");
    for (const worker of ["w2", ""]) {
      const moved = [{ group: "g", worker, gpus }];
      assert.deepEqual(ofKind(decideJob(facts({ groups: moved, hosts: [one, two, own] })), "stop-host"), [
        { kind: "stop-host", host: own },
      ]);
    }
    // Nothing is said of them while their region is on its way.
    assert.deepEqual(decideJob(facts({ groups: [], hosts: [one, two, own] })), []);
  });

  it("replaces one that has gone by another of a new name, on a worker that is there (J1)", () => {
    const first = ofKind(decideJob(facts({ hosts: [one] })), "start-host")[0]!.host;
    const hosts = [one, host(first, "w2", { state: "gone", failure: lost })];
    const [next] = ofKind(decideJob(facts({ hosts })), "start-host");
    assert.equal(next?.worker, "w2");
    assert.notEqual(next?.host, first);
    assert.deepEqual(decideJob(facts({ hosts, workers: [worker("w1")] })), []);
  });

  it("lets one living host hand out the splits of a source, and another in a new attempt when it has gone (J7)", () => {
    const hosts = [{ ...one, state: "gone" as const, failure: lost }, two];
    const actions = ofKind(decideJob(facts({ hosts })), "deploy-enumerator");
    assert.deepEqual(actions, [{ kind: "deploy-enumerator", source: "read", host: two.host, attempt: 2 }]);
  });

  it("lets another hand out splits when the one that does has fallen silent, if another is heard of; nobody else is told (J7)", () => {
    const silent = { ...one, silentMs: 2_001 };
    const next = [{ kind: "deploy-enumerator", source: "read", host: two.host, attempt: 2 }];
    assert.deepEqual(decideJob(facts({ hosts: [silent, two] })), next);
    assert.deepEqual(decideJob(facts({ hosts: [{ ...silent, silentMs: 2_000 }, two] })), []);
    assert.deepEqual(decideJob(facts({ hosts: [silent, { ...two, silentMs: 9_000 }] })), []);
  });

  it("goes at once to a host that is up, and does not wait for the one that replaces the lost one (J1, J7)", () => {
    const hosts = [{ ...one, state: "gone" as const, failure: lost }, two];
    const kinds = decideJob(facts({ hosts })).map(({ kind }) => kind);
    assert.deepEqual(kinds.sort(), ["deploy-enumerator", "start-host"]);
  });

  it("as many in a row in one place that run and never report fail the job with the last one's failure (J11)", () => {
    const late = (i: number, about: Partial<WatchedHost> = {}) => {
      const failure = { code: "MILL_WORKER_LOST", message: `host w2-${i} has not reported`, passing: true } as const;
      return host(`w2-${i}`, "w2", { state: "gone", wasUp: false, neverReported: true, failure, ...about });
    };
    const errorOf = (...hosts: WatchedHost[]) => {
      return entered(decideJob(facts({ state: "DEPLOYING", hosts: [host("w1-0", "w1"), ...hosts] })))?.error;
    };
    const all = Array.from({ length: limits.hostStartsMax }, (_, i) => late(i));
    assert.equal(errorOf(...all.slice(1)), undefined);
    assert.equal(errorOf(late(9, { wasUp: true, neverReported: false }), ...all.slice(1)), undefined, "one came up");
    assert.equal(errorOf(...all.slice(1), late(9, { worker: "w3" })), undefined, "that is another place");
    const { code, message } = errorOf(...all)!;
    assert.equal(code, "MILL_WORKER_LOST");
    assert.match(message, /^3 hosts in a row did not start; the last one: host w2-2 has not reported$/);
  });

  it("one that never came up is replaced after a pause that grows; once one did, the next is at once (J8)", () => {
    const never = { state: "gone", wasUp: false, failure: lost, forMs: 0 } as const;
    const asks = (...own: ReturnType<typeof host>[]) =>
      ofKind(decideJob(facts({ hosts: [one, ...own] })), "start-host").length;
    const row = (count: number, forMs: number) =>
      Array.from({ length: count }, (_, i) => host(`w2-${i}`, "w2", { ...never, forMs }));
    assert.equal(asks(...row(1, 0)), 1);
    for (const [count, restMs] of [
      [2, limits.regionBackoffMs],
      [3, 2 * limits.regionBackoffMs],
      [50, limits.regionBackoffMsMax],
    ] as const) {
      assert.equal(asks(...row(count, restMs - 1)), 0, `${count} in a row`);
      assert.equal(asks(...row(count, restMs)), 1, `${count} in a row`);
    }
    assert.equal(asks(...row(5, 0), host("w2-5", "w2", { ...never, wasUp: true })), 1);
    assert.equal(asks(...row(5, 0).map((known) => ({ ...known, worker: "w9" }))), 1, "another worker's");
  });

  it("asks for an enumerator again until it is deployed, in the same attempt; of nobody while no host is up (J6, J7)", () => {
    const enumerators = [enumerator({ deployed: false })];
    const again = [{ kind: "deploy-enumerator", source: "read", host: one.host, attempt: 1 }];
    assert.deepEqual(decideJob(facts({ enumerators })), again);
    const hosts = facts().hosts.map((known) => ({ ...known, state: "asked" as const }));
    assert.deepEqual(ofKind(decideJob(facts({ hosts, enumerators })), "deploy-enumerator"), []);
  });
});

describe("coordinator/job: failing", () => {
  it("what a host says that trying again does not mend is the job's error (J3)", () => {
    const failure = { code: "MILL_BUNDLE_HASH", message: "not what was submitted", passing: false } as const;
    const hosts = [host("job-1-w1-1", "w1", { state: "gone", failure })];
    assert.equal(entered(decideJob(facts({ hosts })))?.error?.code, "MILL_BUNDLE_HASH");
  });

  it("the loss of a host is none: its regions start again", () => {
    const failure = { code: "MILL_WORKER_LOST", message: "it fell silent", passing: true } as const;
    const hosts = [facts().hosts[0]!, host("job-1-w2-1", "w2", { state: "gone", failure })];
    assert.equal(entered(decideJob(facts({ hosts }))), undefined);
  });

  it("once it fails, what fails later changes nothing (J3)", () => {
    const failure = { code: "MILL_INTERNAL", message: "later", passing: false } as const;
    const hosts = [facts().hosts[0]!, host("job-1-w2-1", "w2", { state: "gone", failure })];
    const actions = decideJob(facts({ state: "FAILING", error: { code: "MILL_IMAGE_INVALID", message: "" }, hosts }));
    assert.deepEqual(kinds(actions), ["stop-host", "stop-instance"]);
  });
});

describe("coordinator/job: winding up", () => {
  const goneHosts = facts().hosts.map((one) => ({ ...one, state: "gone" as const }));
  const goneInstances = [instance("model-1", { state: "STOPPED" }), instance("model-0", { state: "FAILED" })];
  const ends: readonly [JobState, JobState, { code: string; message: string } | undefined][] = [
    ["COMMITTING", "FINISHED", undefined],
    ["FAILING", "FAILED", { code: "MILL_OPERATOR_FAILED", message: "no" }],
    ["FAILING", "CANCELLED", { code: "", message: "cancelled" }],
  ];
  for (const [state, end, error] of ends) {
    it(`${end} only when every host and instance has gone, asked to stop until then (J4, J6)`, () => {
      for (const [hosts, instances] of [
        [facts().hosts, goneInstances],
        [goneHosts, facts().instances],
      ] as const) {
        const actions = decideJob(facts({ state, error, hosts, instances }));
        assert.equal(entered(actions), undefined);
        assert.equal(actions.length, 2);
      }
      const ending = { state, error, hosts: goneHosts, instances: goneInstances };
      assert.deepEqual(decideJob(facts({ ...ending, writing: true })), [], "what is being written is waited for");
      const gone = decideJob(facts(ending));
      assert.deepEqual(gone, [{ kind: "enter", state: end }]);
    });
  }

  for (const state of ["FINISHED", "FAILED", "CANCELLED"] as const) {
    it(`asks for nothing once it is ${state}`, () => {
      assert.deepEqual(decideJob(facts({ state, hosts: [], instances: [] })), []);
    });
  }
});

describe("coordinator/job: instances", () => {
  const failed = (name: string, about = {}) =>
    instance(name, { state: "FAILED", served: false, code: "MILL_SERVICE_FAILED", message: `${name} broke`, ...about });

  it("replaces one that is gone under a name of its own, on a worker that takes work (J5)", () => {
    const instances = [instance("model-1", { state: "FAILED" }), instance("model-0")];
    const workers = [worker("w1", { draining: true }), worker("w2")];
    const asked = ofKind(decideJob(facts({ instances, workers })), "start-instance");
    assert.deepEqual(
      asked.map(({ service, worker }) => [service, worker]),
      [["model", "w2"]],
    );
    assert.ok(!["model-0", "model-1"].includes(asked[0]!.instance), asked[0]!.instance);
  });

  it("keeps as many as were asked for: no more while the new one loads", () => {
    const instances = [instance("model-2", { state: "LOADING" }), instance("model-1", { state: "FAILED" })];
    const actions = ofKind(decideJob(facts({ instances: [...instances, instance("model-0")] })), "start-instance");
    assert.deepEqual(actions, []);
  });

  it("asks for one that has not shown again, by the same name (J6)", () => {
    const instances = [instance("model-1", { state: "REQUESTED", worker: "w2" }), instance("model-0")];
    assert.deepEqual(decideJob(facts({ instances })), [
      { kind: "start-instance", instance: "model-1", service: "model", worker: "w2", granted: granted() },
    ]);
  });

  it("one that fits on no worker waits with the reason, and the others of the job are started (J9)", () => {
    const services = [
      serviceSpec({ service: "large", resources: needs({ gpu: 1, kind: "h200" }) }),
      serviceSpec({ instances: 1 }),
    ];
    const workers = [worker("w1", { gpus: [gpu("GPU-1")] }), worker("w2")];
    const actions = decideJob(facts({ services, workers, instances: [] }));
    const share = { uuid: "GPU-1", thousandths: 1_000, memoryBytes: 140n * 2n ** 30n };
    const reason = "needs 1 gpu of kind h200; worker w1 has 1, taken; worker w2 has no gpu";
    assert.deepEqual(actions, [
      { kind: "start-instance", instance: "large-1-0", service: "large", worker: "w1", granted: granted(share) },
      { kind: "await-room", instance: "large-1-1", service: "large", reason },
      { kind: "start-instance", instance: "model-1-0", service: "model", worker: "w2", granted: granted() },
    ]);
  });

  it("one that waits keeps its name and is placed when it fits, before any new one (J9)", () => {
    const services = [serviceSpec({ service: "large", instances: 3, resources: needs({ gpu: 1 }) })];
    const waits = (name: string) => instance(name, { state: "REQUESTED", worker: "", granted: granted() });
    const instances = [waits("large-1"), waits("large-0")];
    const workers = [worker("w1", { gpus: [gpu("GPU-1")] })];
    const actions = decideJob(facts({ services, workers, instances }));
    assert.deepEqual(
      actions.map((action) =>
        action.kind === "await-room" || action.kind === "start-instance" ? action.instance : "",
      ),
      ["large-0", "large-1", "large-1-2"],
    );
    assert.deepEqual(
      ofKind(actions, "start-instance").map(({ worker }) => worker),
      ["w1"],
    );
  });

  it("waits when no worker takes work", () => {
    const workers = [worker("w1", { draining: true })];
    assert.deepEqual(ofKind(decideJob(facts({ instances: [instance("model-0")], workers })), "start-instance"), []);
  });

  it("as many in a row that were never READY as their service allows fail the job with the last one's code and words (J5)", () => {
    const three = [failed("model-2"), failed("model-1"), failed("model-0")];
    assert.equal(entered(decideJob(facts({ instances: three.slice(1) }))), undefined);
    const error = entered(decideJob(facts({ instances: three })))?.error;
    assert.equal(error?.code, "MILL_SERVICE_FAILED");
    assert.match(error!.message, /service "model": 3 instances in a row failed; the last one: model-2 broke/);
    const services = [serviceSpec({ loadAttemptsMax: 4 })];
    assert.equal(entered(decideJob(facts({ services, instances: three }))), undefined);
  });

  it("one that serves, or did since, begins the count anew (J5)", () => {
    const crashed = failed("model-2", { served: true });
    for (const instances of [
      [failed("model-3"), failed("model-2"), instance("model-1"), failed("model-0")],
      [failed("model-4"), failed("model-3"), crashed, failed("model-1"), failed("model-0")],
    ]) {
      assert.equal(entered(decideJob(facts({ instances }))), undefined);
    }
  });

  it("those that fail before they were READY are replaced after a pause that grows, all of a service counted as one (J8)", () => {
    const away = { code: "MILL_STORE_UNREACHABLE" };
    const asks = (...instances: ReturnType<typeof instance>[]) =>
      ofKind(decideJob(facts({ instances })), "start-instance").length;
    const row = (count: number, forMs: number) =>
      Array.from({ length: count }, (_, i) => failed(`model-${count - i}`, { ...away, forMs: forMs + i }));
    assert.equal(asks(...row(2, 0)), 2, "two of two: that has happened once");
    for (const [count, restMs] of [
      [3, limits.regionBackoffMs],
      [6, 2 * limits.regionBackoffMs],
      [500, limits.regionBackoffMsMax],
    ] as const) {
      assert.equal(asks(...row(count, restMs - 1)), 0, `${count} in a row`);
      assert.equal(asks(...row(count, restMs)), 2, `${count} in a row`);
    }
    assert.equal(
      asks(...row(9, 0), instance("model-0")),
      0,
      "one that serves does not make the others' start any better",
    );
    assert.equal(asks(failed("model-9", { served: true, forMs: 0 }), ...row(8, 0)), 2, "it did serve");
    const lost = row(9, 0).map((one) => ({ ...one, code: "MILL_WORKER_LOST" }));
    assert.equal(asks(...lost), 2, "that says nothing of whoever starts elsewhere");
  });

  for (const code of ["MILL_WORKER_LOST", "MILL_STORE_UNREACHABLE", "MILL_BUS_UNREACHABLE", "MILL_BUS_TIMEOUT"]) {
    it(`those that failed with ${code} say nothing about the service, and are replaced (J5)`, () => {
      const lost = ["model-2", "model-1", "model-0"].map((name) => failed(name, { code }));
      const actions = decideJob(facts({ instances: lost }));
      assert.equal(entered(actions), undefined);
      assert.equal(ofKind(actions, "start-instance").length, 2);
    });
  }

  for (const code of ["MILL_MODEL_MISSING", "MILL_MODEL_CORRUPT", "MILL_MODEL_INPUTS", "MILL_PROVIDER_MISSING"]) {
    it(`${code} fails the job at once: it is wrong in every instance`, () => {
      const error = entered(decideJob(facts({ instances: [failed("model-0", { code })] })))?.error;
      assert.deepEqual(error, { code, message: 'service "model": model-0 broke' });
    });
  }
});

describe("coordinator/job: as many instances as there are to be (J10)", () => {
  const scaled = (instances: number) => [{ ...spec.services[0]!, instances }];

  it("of more, those that serve least are retired, the newest first, and asked to end", () => {
    const instances = [instance("model-2"), instance("model-1", { state: "LOADING" }), instance("model-0")];
    const retired = (count: number) =>
      ofKind(decideJob(facts({ instances, services: scaled(count) })), "retire").map((action) => action.instance);
    assert.deepEqual(retired(3), []);
    assert.deepEqual(retired(2), ["model-1"]);
    assert.deepEqual(retired(1), ["model-1", "model-2"]);
    assert.deepEqual(retired(0), ["model-1", "model-2", "model-0"]);
    const stops = ofKind(decideJob(facts({ instances, services: scaled(1) })), "stop-instance");
    assert.deepEqual(
      stops.map((action) => action.instance.instance),
      ["model-1", "model-2"],
    );
  });

  it("one that is retired is asked again until it has gone, and another takes its place at once", () => {
    const instances = [instance("model-1"), instance("model-0")];
    const actions = decideJob(facts({ instances, services: scaled(2), retired: new Set(["model-0"]) }));
    assert.deepEqual(
      ofKind(actions, "stop-instance").map((action) => action.instance.instance),
      ["model-0"],
    );
    assert.equal(ofKind(actions, "start-instance").length, 1);
    const over = instances.map((one) => (one.instance === "model-0" ? { ...one, state: "STOPPED" as const } : one));
    const after = decideJob(facts({ instances: over, services: scaled(1), retired: new Set(["model-0"]) }));
    assert.deepEqual(ofKind(after, "stop-instance"), []);
    assert.deepEqual(ofKind(after, "start-instance"), []);
  });

  it("none is none: nothing is started, and nothing fails", () => {
    const actions = decideJob(facts({ instances: [], services: scaled(0) }));
    assert.deepEqual([...ofKind(actions, "start-instance"), ...ofKind(actions, "await-room")], []);
  });

  it("a job that stops is cancelled when all its regions rest, not before", () => {
    assert.deepEqual(ofKind(decideJob(facts({ stopping: true })), "enter"), []);
    const [end] = decideJob(facts({ stopping: true, rests: true }));
    assert.deepEqual(end, {
      kind: "enter",
      state: "FAILING",
      error: { code: "", message: "stopped behind its last checkpoints" },
    });
    assert.deepEqual(ofKind(decideJob(facts({ rests: true })), "enter"), [], "a pause alone ends nothing");
  });
});
