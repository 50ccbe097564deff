import {
  decideRegion,
  type Failure,
  type MemberFacts,
  type RegionAction,
  type RegionFacts,
  type RegionHostFacts,
  type RegionPolicy,
} from "../../../src/checkpoint/region.js";

export const policy: RegionPolicy = {
  checkpointIntervalMs: 1_000,
  checkpointTimeoutMs: 5_000,
  failuresMax: 2,
  checkpointFailuresMax: 3,
};
export const passing: Failure = { code: "MILL_WORKER_LOST", message: "gone.", passing: true };
export const final: Failure = { code: "MILL_OPERATOR_FAILED", message: "threw.", passing: false };

export function member(actor: string, host: string, over: Partial<MemberFacts> = {}): MemberFacts {
  return {
    actor,
    host,
    state: "RUNNING",
    published: 0n,
    sinksPublished: 0n,
    acknowledged: false,
    failure: undefined,
    ...over,
  };
}

export function host(name: string, over: Partial<RegionHostFacts> = {}): RegionHostFacts {
  return { host: name, state: "up", deployed: true, started: true, failure: undefined, ...over };
}

export function region(over: Partial<RegionFacts> = {}): RegionFacts {
  return {
    phase: "RUNNING",
    inherited: false,
    adopting: false,
    newest: 4n,
    committed: 0n,
    finished: false,
    members: [member("a", "h1"), member("b", "h2")],
    hosts: [host("h1"), host("h2")],
    writing: false,
    open: undefined,
    sinceCheckpointMs: 0,
    failures: 0,
    waitMs: 0,
    givenUp: 0,
    wanted: false,
    held: false,
    paused: false,
    ...over,
  };
}

export const kinds = (actions: readonly RegionAction[]) => actions.map(({ kind }) => kind);
export const decide = (over: Partial<RegionFacts>) => decideRegion(region(over), policy);
