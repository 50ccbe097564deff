import assert from "node:assert/strict";
import { Window } from "../../src/actors/window.js";
import { limits } from "../../src/base/limits.js";
import { triggerFrame } from "../../src/wire/control.js";
import { creditFrame, dataFrame } from "../../src/wire/frames.js";
import { type RegionRecord, regionRecordFrame } from "../../src/wire/stored.js";
import { boundsChecker } from "./checkers/bounds.js";
import type { CheckedRun, Checker } from "./checkers/checker.js";
import { isolationChecker } from "./checkers/isolation.js";
import { memoryChecker } from "./checkers/memory.js";
import { progressChecker } from "./checkers/progress.js";
import { regionLogChecker } from "./checkers/region-log.js";
import { FAULT_PROFILES, type FaultKind, Faults } from "./faults.js";
import { drawKnobs, turn } from "./knobs.js";
import type { SimBus } from "./sim-bus.js";
import { SimWorld } from "./sim-clock.js";
import { SimRandom } from "./sim-random.js";
import { chains } from "./topologies/chains.js";
import { Trace } from "./trace.js";

const REGION = "region-numbers-0";

/** One checker, and what it is shown. */
function checked(make: (run: CheckedRun) => Checker, felt: readonly FaultKind[] = []) {
  const world = new SimWorld(new SimRandom("checker"), new Trace(undefined));
  const scenario = chains(new SimRandom("checker"));
  const run = { world, scenario, felt: () => felt, struckMs: () => 0, mayFail: () => false } as unknown as CheckedRun;
  const checker = make(run);
  const tell = (subject: string, payload: Uint8Array) =>
    checker.onMessage?.({ subject, payload, replyTo: undefined }, {} as SimBus);
  const record = (over: Partial<RegionRecord>, gone = false) => {
    const whole = {
      kind: "FENCE",
      job: "job",
      region: REGION,
      number: 1n,
      term: 1n,
      attempt: 1,
      createdMs: 0n,
      actors: [],
    };
    const one = { ...whole, ...over } as RegionRecord;
    const key = `jobs/job/regions/${REGION}/log/${String(one.number).padStart(12, "0")}`;
    const bytes = gone ? undefined : regionRecordFrame.encode(one);
    checker.onStore?.({ kind: gone ? "delete" : "create", key, bytes, before: undefined, by: "somebody" });
  };
  const pass = (ms: number) => world.runUntil(() => false, world.nowMs + ms);
  return { world, checker, tell, record, pass, found: () => world.findings.map(({ checker: name }) => name) };
}

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

  it("a window of `infer` that is over its bound, and only while a run lasts (HELD4)", () => {
    const { checker, found } = checked(memoryChecker);
    const window = new Window(limits.inferWindowRows, limits.inferWindowBytes);
    window.force(limits.inferWindowRows + 1, 1);
    assert.deepEqual(found(), [], "one larger batch alone is let in");
    window.force(1, 1);
    assert.deepEqual(found(), ["memory (HELD4)"]);
    checker.release?.();
    window.force(1, 1);
    assert.equal(found().length, 1);
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
  it("are drawn from the seed, and are as they were afterwards", () => {
    const before = { ...limits };
    const knobs = drawKnobs(new SimRandom("knobs"));
    assert.deepEqual(drawKnobs(new SimRandom("knobs")), knobs);
    const turnBack = turn(knobs);
    assert.equal(limits.regionFailuresMax, knobs.regionFailuresMax);
    turnBack();
    assert.deepEqual({ ...limits }, before);
  });
});
