import assert from "node:assert/strict";
import { SinkOperator } from "../../src/actors/sink-operator.js";
import type { MillraceError } from "../../src/base/errors.js";
import { limits } from "../../src/base/limits.js";
import { batchFromRows } from "../../src/types/batches.js";
import { hostReportFrame, triggerFrame } from "../../src/wire/control.js";
import { creditFrame, dataFrame, loadReportFrame, releaseFrame } from "../../src/wire/frames.js";
import { savepointFrame } from "../../src/wire/stored.js";
import { ActorCrashes, CRASH } from "./actor-crashes.js";
import { checked, REGION } from "./checked.js";
import { boundsChecker } from "./checkers/bounds.js";
import type { Checker } from "./checkers/checker.js";
import { isolationChecker } from "./checkers/isolation.js";
import { paidChecker } from "./checkers/paid.js";
import { progressChecker } from "./checkers/progress.js";
import { regionLogChecker } from "./checkers/region-log.js";
import { retentionChecker } from "./checkers/retention.js";
import { BLINDING, FAULT_KINDS, FAULT_PROFILES, type FaultKind, Faults, UNFELT } from "./faults.js";
import { drawKnobs, turn } from "./knobs.js";
import type { SimBus } from "./sim-bus.js";
import { SimWorld } from "./sim-clock.js";
import { SimProcess } from "./sim-process.js";
import { SimRandom } from "./sim-random.js";
import type { ServiceCall } from "./topologies/scenario.js";
import { Trace } from "./trace.js";

describe("sim/checkers: what they find", () => {
  it("credit that was leaked, or given twice (MEM2)", () => {
    const channel = "mr.sim.job.channel.1.c";
    const grant = (bytes: bigint) => {
      const { tell, found } = checked(boundsChecker);
      const schemaId = new Uint8Array(8);
      const data = { channel: "c", attempt: 1, sequence: 0n, rows: 1, barriers: 0n, schemaId, schema: null };
      const credit = { channel: "c", attempt: 1, arrived: 0n, barriers: 0n, ended: false };
      const bounds = {
        bytesGranted: BigInt(limits.channelCreditBytes),
        framesGranted: BigInt(limits.channelCreditFrames),
      };
      tell(`${channel}.credit`, creditFrame.encode({ ...credit, ...bounds, acknowledged: 0n }));
      const frame = dataFrame.encode(data, [new Uint8Array(100)]);
      tell(`${channel}.data`, frame);
      const next = {
        acknowledged: 1n,
        framesGranted: bounds.framesGranted + 1n,
        bytesGranted: bounds.bytesGranted + bytes,
      };
      tell(`${channel}.credit`, creditFrame.encode({ ...credit, ...next }));
      return { size: BigInt(frame.length), found: found() };
    };
    const { size } = grant(0n);
    assert.deepEqual(grant(size).found, []);
    assert.deepEqual(grant(size - 1n).found, ["bounds (MEM2)"]);
    assert.deepEqual(grant(size + 1n).found, ["bounds (MEM2)"]);
  });

  it("a checkpoint that is given up, or an attempt that ends, when nothing has gone wrong for a while (PRO1, PRO2)", async () => {
    for (const [afterMs, expected] of [
      [30_000, []],
      [90_000, ["progress (PRO1)"]],
    ] as const) {
      const { tell, record, pass, found } = checked(progressChecker);
      record({ number: 1n });
      await pass(afterMs);
      const trigger = { term: 1n, job: "job", region: REGION, attempt: 1, checkpoint: 2n };
      tell("mr.sim.job.host.h.command", triggerFrame.encode({ ...trigger, traceparent: "" }));
      record({ number: 2n });
      assert.deepEqual(found(), expected, `${afterMs} ms after the newest fault`);
    }
    const { record, pass, found } = checked(progressChecker);
    await pass(90_000);
    record({ number: 1n });
    record({ number: 2n, attempt: 2 });
    assert.deepEqual(found(), ["progress (PRO2)"]);
  });

  it("another attempt when only a slow store was felt (ISO1)", () => {
    for (const [felt, expected] of [
      ["store-slow", ["isolation (ISO1)"]],
      ["host-crash", []],
    ] as const) {
      const { record, found } = checked(isolationChecker, [felt]);
      record({ number: 1n });
      record({ number: 2n, attempt: 2 });
      assert.deepEqual(found(), expected, felt);
    }
  });

  it("another attempt of a region none of whose actors has failed, when only actors have (ISO2)", () => {
    const report = (region: string, attempt: number) => {
      const counts = { rowsRead: 0n, rowsWritten: 0n, rowsInFlight: 0n, deadLetters: 0n };
      const state = { state: "FAILED" as const, published: 0n, sinksPublished: 0n, code: "", message: CRASH };
      const actors = [{ actor: "a", region, attempt, ...state, ...counts, load: null }];
      const base = { host: "h", job: "job", sequence: 1n, rowsTotal: 0n, services: [], standings: [] };
      return hostReportFrame.encode({ ...base, actors });
    };
    for (const [region, attempt, expected] of [
      [REGION, 1, []],
      [REGION, 2, ["isolation (ISO2)"]],
      ["another", 1, ["isolation (ISO2)"]],
    ] as const) {
      const { tell, record, found } = checked(isolationChecker, ["actor-crash", "store-slow"]);
      record({ number: 1n });
      tell("mr.sim.cluster.coordinator.report", report(region, attempt));
      record({ number: 2n, attempt: 2 });
      assert.deepEqual(found(), expected, `attempt ${attempt} of ${region} failed`);
    }
  });

  it("a record at a number that was deleted, unless its leader was deposed (LOG9)", () => {
    for (const [term, isStray] of [
      [1n, true],
      [2n, false],
    ] as const) {
      const { record, found } = checked(regionLogChecker);
      record({ number: 1n, term: 1n });
      record({ number: 2n, term: 2n });
      record({ number: 1n }, true);
      record({ number: 1n, term });
      assert.equal(found().length === 0, isStray, `term ${term} after 2: ${found()}`);
    }
  });

  it("what a deposed leader creates behind a record that counts for nothing (LOG9)", () => {
    for (const [by, later, expected] of [
      ["the same", 1n, ["region-log (LOG9)"]],
      ["the same", 2n, []], // it leads again
      ["another", 1n, []],
    ] as const) {
      const { record, found } = checked(regionLogChecker);
      for (const [number, term] of [
        [1n, 1n],
        [2n, 1n],
        [3n, 3n],
      ] as const)
        record({ number, term });
      record({ number: 1n }, true);
      record({ number: 2n }, true);
      record({ number: 1n, term: 1n }, false, "the same");
      record({ number: 2n, term: later }, false, by);
      assert.deepEqual(found(), expected, `${by}, term ${later}`);
    }
  });

  it("a log that begins elsewhere than at 1, unless a job goes on from a savepoint (LOG1)", () => {
    for (const [first, expected] of [
      [{ number: 7n, term: 0n, attempt: 0, kind: "COMMIT" }, []],
      [{ number: 7n, term: 1n, attempt: 1, kind: "FENCE" }, ["region-log (LOG1)"]],
    ] as const) {
      const { record, found } = checked(regionLogChecker);
      record(first);
      record({ number: 8n });
      assert.deepEqual(found(), expected);
    }
  });
});

describe("sim/checkers/retention: what may not be deleted", () => {
  const snapshot = `jobs/job/regions/${REGION}/snapshots/000000000002-1-a`;
  const actor = { actor: "a", finished: false, inline: new Uint8Array(), sha256: "", sizeBytes: 0n };

  it("a record that is one of the newest commits or behind the oldest of them (KEPT1)", () => {
    for (const [deleted, expected] of [
      [1n, []],
      [2n, ["retention (KEPT1)"]],
      [3n, ["retention (KEPT1)"]],
    ] as const) {
      const { record, found } = checked(retentionChecker);
      record({ number: 1n });
      for (let number = 2n; number < 2n + BigInt(limits.checkpointsKept); number += 1n) {
        record({ number, kind: "COMMIT" });
      }
      record({ number: deleted }, true);
      assert.deepEqual(found(), expected, `record ${deleted}`);
    }
    const { record, found } = checked(retentionChecker);
    record({ number: 1n });
    record({ number: 2n, kind: "COMMIT" });
    record({ number: 1n }, true);
    assert.deepEqual(found(), ["retention (KEPT1)"], "a log with fewer commits than are kept loses nothing");
  });

  it("a snapshot to which a kept commit refers, or that was not there when it was committed (KEPT2)", () => {
    const { record, object, found } = checked(retentionChecker);
    object(snapshot, new Uint8Array(1));
    record({ number: 2n, kind: "COMMIT", actors: [{ ...actor, key: snapshot }] });
    assert.deepEqual(found(), []);
    object(snapshot, undefined);
    assert.deepEqual(found(), ["retention (KEPT2)"]);
    const early = checked(retentionChecker);
    early.record({ number: 2n, kind: "COMMIT", actors: [{ ...actor, key: snapshot }] });
    assert.deepEqual(early.found(), ["retention (KEPT2)"]);
  });

  it("what a savepoint refers to (KEPT3)", () => {
    const { object, found } = checked(retentionChecker);
    const key = `jobs/job/savepoint-snapshots/half-way/${REGION}/a`;
    const regions = [
      { region: REGION, number: 2n, actors: [{ actor: "a", subtask: 0, key, sha256: "", sizeBytes: 0n }] },
    ];
    const base = {
      job: "job",
      name: "half-way",
      topology: "t",
      planHash: "",
      createdMs: 0n,
      operators: [],
      sources: [],
      exchanges: [],
    };
    const savepoint = savepointFrame.encode({ ...base, regions });
    object(key, new Uint8Array(1));
    object("jobs/job/savepoints/half-way", savepoint);
    assert.deepEqual(found(), []);
    object(key, undefined);
    assert.deepEqual(found(), ["retention (KEPT3)"]);
  });
});

describe("sim/faults: what is felt", () => {
  it("frames that were lost on a channel are repaired there; what else is lost is felt", () => {
    for (let seed = 0, lost = 0; lost === 0; seed++) {
      assert.ok(seed < 100, "a seed that loses messages");
      const faults = new Faults(FAULT_PROFILES.recovery, new SimRandom(`${seed}`));
      for (let i = 0; i < 1_000; i++) faults.strikesMessage("message-lost", "data");
      lost = faults.counts.get("message-lost") ?? 0;
      assert.equal(faults.felt.has("message-lost"), false);
      for (let i = 0; i < 1_000; i++) faults.strikesMessage("message-lost", "command");
      assert.equal(faults.felt.has("message-lost"), lost > 0);
    }
  });
});

describe("sim/faults: seeds in which few kinds are on", () => {
  const seeds = Array.from({ length: 100 }, (_, seed) => new Faults(FAULT_PROFILES.recovery, new SimRandom(`${seed}`)));
  const on = (faults: Faults) => FAULT_KINDS.filter((kind) => faults.isOn(kind));

  it("in some only what regions are not to feel strikes, and coordinators stand still", () => {
    const unfelt = seeds.filter(({ isUnfelt }) => isUnfelt);
    assert.ok(unfelt.length >= 3, `${unfelt.length} of 100 seeds`);
    for (const faults of unfelt) {
      assert.ok(on(faults).every((kind) => UNFELT.has(kind)));
      assert.ok(on(faults).length === 0 || faults.isOn("coordinator-pause"));
    }
  });

  it("in clear sight nobody is kept from asking or answering", () => {
    for (const faults of seeds) {
      faults.clear();
      assert.deepEqual(
        on(faults).filter((kind) => BLINDING.has(kind)),
        [],
      );
    }
  });
});

describe("sim/knobs: bounds that a seed changes", () => {
  it("leave patience as it is where few faults strike", () => {
    const names = ["inferCrashesMax", "regionFailuresMax", "serviceLoadAttemptsMax"] as const;
    for (const [isLean, seen] of [
      [true, [undefined, undefined, undefined]],
      [false, [1_000, 1_000, 1_000]],
    ] as const) {
      const knobs = drawKnobs(new SimRandom("knobs"), isLean);
      assert.deepEqual(
        names.map((name) => knobs[name]),
        seen,
      );
    }
  });

  it("are drawn from the seed, and are as they were afterwards", () => {
    const before = { ...limits };
    const knobs = drawKnobs(new SimRandom("knobs"), false);
    assert.deepEqual(drawKnobs(new SimRandom("knobs"), false), knobs);
    const turnBack = turn(knobs);
    assert.equal(limits.regionFailuresMax, knobs.regionFailuresMax);
    turnBack();
    assert.deepEqual({ ...limits }, before);
  });
});

describe("sim/checkers/paid: work that is done twice", () => {
  const row = "0".repeat(32);
  const watched = (felt: readonly FaultKind[] = []) => {
    const run = checked(paidChecker, felt);
    const [watcher] = run.scenario.watchers ?? [];
    const instance = (name: string) => new SimProcess(run.world, name, "instance");
    const call = (what: ServiceCall["what"], process: SimProcess) => watcher!({ what, process, ids: [`0 ${row}`] });
    const release = () => {
      const rowIds = Buffer.from(row, "hex");
      run.tell("mr.sim.job.service.label.ask", releaseFrame.encode({ service: "label", rowIds, requests: [] }));
    };
    return { ...run, instance, call, release };
  };

  const drains = (checker: Checker, one: SimProcess) => {
    const load = { service: "label", instance: "one", sequence: 1n, subject: "s", state: "DRAINING" as const };
    const payload = loadReportFrame.encode({ ...load, ...{ queuedRows: 0, runningRows: 0, rowMs: 0 }, ...QUIET });
    const message = { subject: "mr.sim.job.service.label.load", payload, replyTo: undefined };
    checker.onMessage?.(message, { process: one } as SimBus);
  };

  it("an instance that begins a row again, unless it was released (PAID1)", () => {
    const { instance, call, release, found } = watched(["instance-pause"]);
    const one = instance("one");
    call("begun", one);
    release();
    call("begun", one);
    assert.deepEqual(found(), []);
    call("begun", one);
    assert.deepEqual(found(), ["paid (PAID1)"]);
  });

  it("a row that another instance has ended, if that can be asked (PAID2)", () => {
    for (const [what, expected] of [
      ["nothing", ["paid (PAID2)"]],
      ["it has not ended it", []],
      ["it was killed", []],
      ["it drains", []],
      ["a message was lost", []],
    ] as const) {
      const { instance, call, checker, found } = watched(what === "a message was lost" ? ["message-lost"] : []);
      const [one, other] = [instance("one"), instance("other")];
      call("begun", one);
      if (what !== "it has not ended it") call("ended", one);
      if (what === "it was killed") one.end("SIGKILL");
      if (what === "it drains") drains(checker, one);
      call("begun", other);
      assert.deepEqual(found(), expected, what);
    }
  });

  it("a row whose answer was kept before its instance ended, while it is there (PAID3)", () => {
    const key = `jobs/job/answers/label/${row}`;
    for (const [what, expected] of [
      ["kept", ["paid (PAID3)"]],
      ["kept after its end", []],
      ["kept while it drained", []],
      ["deleted again", []],
      ["the store fails", []],
    ] as const) {
      const { instance, call, checker, found } = watched(what === "the store fails" ? ["store-fails-before"] : []);
      const one = instance("one");
      call("begun", one);
      call("ended", one);
      if (what === "kept after its end") one.end("SIGKILL");
      if (what === "kept while it drained") drains(checker, one);
      const change = { kind: "put" as const, key, bytes: new Uint8Array(1), before: undefined, by: "one" };
      checker.onStore?.(change);
      if (what === "deleted again") checker.onStore?.({ ...change, kind: "delete", bytes: undefined });
      one.end("SIGKILL");
      call("begun", instance("other"));
      assert.deepEqual(found(), expected, what);
    }
  });

  it("a row that is released before a checkpoint behind it was committed (PAID4)", async () => {
    for (const [committed, kind, expected] of [
      ["behind it", "COMMIT", []],
      ["behind it", "FENCE", ["paid (PAID4)"]],
      ["before it", "COMMIT", ["paid (PAID4)"]],
    ] as const) {
      const { instance, call, release, record, pass, found } = watched();
      if (committed === "before it") record({ kind });
      await pass(1);
      call("ended", instance("one"));
      await pass(1);
      if (committed === "behind it") record({ kind });
      release();
      assert.deepEqual(found(), expected, `${kind} ${committed}`);
    }
  });
});

describe("sim/actor-crashes: an actor that fails", () => {
  it("fails with the next batch that an operator of its process is given, once", async () => {
    const world = new SimWorld(new SimRandom("crash"), new Trace(undefined));
    const [one, other] = ["one", "other"].map((name) => new SimProcess(world, name, "host"));
    let struck = 0;
    const crashes = new ActorCrashes(world, () => {
      struck += 1;
    });
    const seen: string[] = [];
    const give = (process: SimProcess) =>
      process.later(1, "a batch", () => {
        const operator = new SinkOperator(() => Promise.reject(new Error("none")), {} as never);
        try {
          void Promise.resolve(operator.process(batchFromRows({}, []))).catch(() => {});
          seen.push("taken");
        } catch (error) {
          seen.push((error as MillraceError).code);
        }
      });
    crashes.arm(one!);
    for (const process of [other!, one!, one!]) {
      give(process);
      await world.runUntil(() => false, world.nowMs + 10);
    }
    crashes.release();
    assert.deepEqual(seen, ["taken", "MILL_STORE_UNREACHABLE", "taken"]);
    assert.equal(struck, 1);
  });
});

const QUIET = { reason: "", code: "", enteredMs: 0n };
