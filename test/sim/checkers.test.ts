import assert from "node:assert/strict";
import { limits } from "../../src/base/limits.js";
import { triggerFrame } from "../../src/wire/control.js";
import { creditFrame, dataFrame } from "../../src/wire/frames.js";
import { savepointFrame } from "../../src/wire/stored.js";
import { checked, REGION } from "./checked.js";
import { boundsChecker } from "./checkers/bounds.js";
import { isolationChecker } from "./checkers/isolation.js";
import { progressChecker } from "./checkers/progress.js";
import { regionLogChecker } from "./checkers/region-log.js";
import { retentionChecker } from "./checkers/retention.js";
import { FAULT_PROFILES, Faults } from "./faults.js";
import { drawKnobs, turn } from "./knobs.js";
import { SimRandom } from "./sim-random.js";

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
      tell("mr.sim.job.host.h.command", triggerFrame.encode(trigger));
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
    for (const [by, expected] of [
      ["the same", ["region-log (LOG9)"]],
      ["another", []],
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
      record({ number: 2n, term: 2n }, false, by);
      assert.deepEqual(found(), expected, by);
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
