/** One checker alone, and what it is shown: messages and objects as if they had reached the server and the store. */
import { type RegionRecord, regionRecordFrame } from "../../src/wire/stored.js";
import type { CheckedRun, Checker } from "./checkers/checker.js";
import type { FaultKind } from "./faults.js";
import type { SharedStore } from "./shared-store.js";
import type { SimBus } from "./sim-bus.js";
import { SimWorld } from "./sim-clock.js";
import { SimRandom } from "./sim-random.js";
import { chains } from "./topologies/chains.js";
import { Trace } from "./trace.js";

export const REGION = "region-numbers-0";

export function checked(make: (run: CheckedRun) => Checker, felt: readonly FaultKind[] = []) {
  const world = new SimWorld(new SimRandom("checker"), new Trace(undefined));
  const scenario = { ...chains(new SimRandom("checker")), savepointMs: undefined, mergesMax: 1 };
  const objects = new Set<string>();
  const store = { has: (key: string) => objects.has(key) } as unknown as SharedStore;
  const run = {
    world,
    scenario,
    store,
    felt: () => felt,
    struckMs: () => 0,
    mayFail: () => false,
  } as unknown as CheckedRun;
  const checker = make(run);
  const tell = (subject: string, payload: Uint8Array) =>
    checker.onMessage?.({ subject, payload, replyTo: undefined }, {} as SimBus);
  const record = (over: Partial<RegionRecord>, gone = false, by = "somebody") => {
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
    checker.onStore?.({ kind: gone ? "delete" : "create", key, bytes, before: undefined, by });
  };
  /** An object is written, or deleted. */
  const object = (key: string, bytes: Uint8Array | undefined) => {
    if (bytes === undefined) objects.delete(key);
    else objects.add(key);
    checker.onStore?.({ kind: bytes === undefined ? "delete" : "put", key, bytes, before: undefined, by: "somebody" });
  };
  const pass = (ms: number) => world.runUntil(() => false, world.nowMs + ms);
  return {
    world,
    scenario,
    checker,
    tell,
    record,
    object,
    pass,
    found: () => world.findings.map(({ checker: name }) => name),
  };
}
