/**
 * Decides what a region needs next: its log, its deployment, its checkpoints, its recovery.
 *
 * Pure: facts in, actions out. It sends nothing, stores nothing and reads no clock; `coordinator/` carries the actions
 * out and brings back facts. Deciding twice on the same facts asks for the same things, so whatever is lost is made good by
 * the next look.
 *
 * Invariants:
 *   C1  A region has at most one open checkpoint; its number is the next place in the region's log, and is used for nothing else.
 *   C2  A checkpoint is committed only when every actor of the region's attempt has acknowledged it.
 *   C3  A checkpoint that is given up has its place in the log taken by a fence.
 *   C4  An attempt is deployed only after its fence is in the log, and restores the newest commit before it.
 *   C5  Sources start only when every host has acknowledged its part (no frame before its receiver listens).
 *   C6  A region is FINISHED only when its last commit says that every actor is, and every output of it is published.
 *   C7  What an earlier attempt says changes nothing.
 *   C8  An attempt that an earlier leader began goes on if all of it is at work; else the next one begins.
 *   C9  `checkpointFailuresMax` checkpoints in a row that were given up count as a failure of the region.
 *   C10 A checkpoint that is asked for, by a savepoint or by people, is opened as soon as none is open, due or not; a region that is held opens no other.
 *   C11 A region of a paused job rests: after a checkpoint that was opened for it is committed and published, its actors stop; the next
 *       attempt is placed when the job goes on. Until then nothing of it is placed.
 *
 * Method: aligned barriers, Carbone et al. 2015 (arXiv:1506.08603), one round per region; the log's create-once records are
 * those of Delta Lake's and Iceberg's commits. Why: docs/decisions/0007-region-checkpoints.md.
 */

export type RegionPhase = "OPENING" | "FENCING" | "PLACING" | "DEPLOYING" | "RUNNING" | "FINISHED";

export interface Failure {
  readonly code: string;
  readonly message: string;
  /** Trying again may help. */
  readonly passing: boolean;
}

export interface MemberFacts {
  readonly actor: string;
  /** Of this attempt; empty: not placed. */
  readonly host: string;
  /** What it last said of this attempt; undefined: nothing. */
  readonly state: "DEPLOYED" | "RUNNING" | "FINISHED" | "FAILED" | undefined;
  /** Its outputs are published up to this checkpoint. */
  readonly published: bigint;
  /** The same, durable exchanges left out: their logs may be full for as long as their readers rest. */
  readonly sinksPublished: bigint;
  readonly acknowledged: boolean;
  readonly failure: Failure | undefined;
}

export interface RegionHostFacts {
  readonly host: string;
  readonly state: "asked" | "up" | "gone";
  /** It has acknowledged the deployment of this attempt, and its start. */
  readonly deployed: boolean;
  readonly started: boolean;
  /** Why it has gone. */
  readonly failure: Failure | undefined;
}

export interface RegionFacts {
  readonly phase: RegionPhase;
  /** The attempt was begun by an earlier leader. */
  readonly inherited: boolean;
  /** Hosts of an earlier leader may still tell of themselves. */
  readonly adopting: boolean;
  /** Number of the newest record of the log. */
  readonly newest: bigint;
  /** Number of the newest commit; 0: there is none. Whether it says that every actor is finished. */
  readonly committed: bigint;
  readonly finished: boolean;
  readonly members: readonly MemberFacts[];
  readonly hosts: readonly RegionHostFacts[];
  /** Pause that is left before the next attempt is placed, after several have failed. */
  readonly waitMs: number;
  /** A record is being written: its outcome decides what is next. */
  readonly writing: boolean;
  readonly open: { readonly checkpoint: bigint; readonly ageMs: number } | undefined;
  readonly sinceCheckpointMs: number;
  /** In a row, without a commit between them. */
  readonly failures: number;
  /** Checkpoints of this attempt that were given up, in a row. */
  readonly givenUp: number;
  /** A savepoint wants a checkpoint that is opened from now on (C10). */
  readonly wanted: boolean;
  /** A savepoint that stops the job: nothing else is to be committed. */
  readonly held: boolean;
  /** The job is paused; with `wanted`, the checkpoint that it waits for is not there yet (C11). */
  readonly paused: boolean;
}

export interface RegionPolicy {
  /** 0: only the last one. */
  readonly checkpointIntervalMs: number;
  readonly checkpointTimeoutMs: number;
  readonly failuresMax: number;
  readonly checkpointFailuresMax: number;
}

export type RegionAction =
  | { readonly kind: "enter"; readonly phase: RegionPhase }
  | { readonly kind: "read-log" }
  | { readonly kind: "fence"; readonly number: bigint }
  | { readonly kind: "place" }
  | { readonly kind: "deploy"; readonly host: string; readonly actors: readonly string[]; readonly checkpoint: bigint }
  | { readonly kind: "start"; readonly host: string }
  | { readonly kind: "open-checkpoint"; readonly checkpoint: bigint }
  | { readonly kind: "trigger"; readonly host: string; readonly checkpoint: bigint }
  | { readonly kind: "commit"; readonly checkpoint: bigint }
  | { readonly kind: "give-up"; readonly checkpoint: bigint }
  | { readonly kind: "complete"; readonly host: string; readonly checkpoint: bigint }
  | { readonly kind: "stop"; readonly host: string }
  /** The next attempt. */
  | { readonly kind: "restart"; readonly failure: Failure }
  /** The next attempt as well, but nothing has failed. */
  | { readonly kind: "rest" }
  /** Of the whole job. */
  | { readonly kind: "fail"; readonly failure: Failure };

export function decideRegion(region: RegionFacts, policy: RegionPolicy): RegionAction[] {
  switch (region.phase) {
    case "OPENING":
      return [{ kind: "read-log" }];
    case "FENCING":
      return region.writing ? [] : [{ kind: "fence", number: region.newest + 1n }];
    case "PLACING":
      return place(region);
    case "DEPLOYING":
      return failed(region, policy) ?? deploy(region);
    case "RUNNING":
      if (isOver(region)) return wind(region);
      return (
        failed(region, policy) ?? rest(region) ?? [...start(region), ...complete(region), ...checkpoint(region, policy)]
      );
    case "FINISHED":
      return [];
  }
}

/** Whole milliseconds until the next checkpoint is due, as timers count; infinite: its time does not decide. */
export function dueInMs(region: RegionFacts, { checkpointIntervalMs }: RegionPolicy): number {
  if (region.phase === "PLACING" && region.waitMs > 0) return Math.ceil(region.waitMs);
  const waits = region.phase === "RUNNING" && region.open === undefined && !region.writing && !region.finished;
  if (!waits || region.held || checkpointIntervalMs === 0) return Number.POSITIVE_INFINITY;
  return Math.max(Math.ceil(checkpointIntervalMs - region.sinceCheckpointMs), 0);
}

/** C8. A new leader that finds the attempt at work that the log names goes on with it. */
function place(region: RegionFacts): RegionAction[] {
  if (!region.inherited) return region.paused || region.waitMs > 0 ? [] : [{ kind: "place" }];
  const works = region.members.every(({ state, host }) => host !== "" && (state === "RUNNING" || state === "FINISHED"));
  if (works) return [{ kind: "enter", phase: "RUNNING" }];
  if (region.adopting || region.paused) return [];
  const message = "not all of its actors were at work when another coordinator took over.";
  return [{ kind: "restart", failure: { code: "MILL_WORKER_LOST", message, passing: true } }];
}

function failed(region: RegionFacts, policy: RegionPolicy): RegionAction[] | undefined {
  if (region.writing) return undefined; // a commit that is being written counts, whatever fails meanwhile
  const failure =
    region.members.find((member) => member.failure !== undefined)?.failure ??
    region.hosts.filter(({ state }) => state === "gone").map((gone) => gone.failure ?? unknown(gone.host))[0] ??
    stuck(region, policy);
  if (failure === undefined) return undefined;
  if (!failure.passing) return [{ kind: "fail", failure }];
  if (region.failures >= policy.failuresMax) {
    const message = `${failure.message} (${region.failures + 1} times in a row without a checkpoint between them)`;
    return [{ kind: "fail", failure: { ...failure, message } }];
  }
  const left = region.hosts.filter((host) => host.state === "up");
  return [...left.map(({ host }): RegionAction => ({ kind: "stop", host })), { kind: "restart", failure }];
}

/** C11 */
function rest(region: RegionFacts): RegionAction[] | undefined {
  const { paused, wanted, writing, open, members, committed, hosts } = region;
  if (!paused || wanted || writing || open !== undefined) return undefined;
  if (members.some(({ sinksPublished }) => sinksPublished < committed)) return undefined;
  const up = hosts.filter(({ state }) => state === "up");
  return [...up.map(({ host }): RegionAction => ({ kind: "stop", host })), { kind: "rest" }];
}

/** C9 */
function stuck({ givenUp }: RegionFacts, policy: RegionPolicy): Failure | undefined {
  if (givenUp < policy.checkpointFailuresMax) return undefined;
  const message = `${givenUp} checkpoints in a row were given up: not every actor answered within ${policy.checkpointTimeoutMs / 1_000} s.`;
  return { code: "MILL_CHECKPOINT_FAILED", message, passing: true };
}

function unknown(host: string): Failure {
  return { code: "MILL_WORKER_LOST", message: `nothing is known of host ${host}.`, passing: true };
}

function deploy(region: RegionFacts): RegionAction[] {
  if (region.members.some((member) => member.host === "")) return []; // its host is on its way
  if (region.hosts.every((host) => host.deployed)) return [...start(region), { kind: "enter", phase: "RUNNING" }];
  return region.hosts
    .filter((host) => host.state === "up" && !host.deployed)
    .map(({ host }) => ({ kind: "deploy", host, actors: actorsOn(region, host), checkpoint: region.committed }));
}

function start(region: RegionFacts): RegionAction[] {
  return region.hosts.filter((host) => !host.started).map(({ host }) => ({ kind: "start", host }));
}

/** C6. Whatever happens to a host after that. */
function isOver({ finished, members, committed }: RegionFacts): boolean {
  return finished && members.every((member) => member.published >= committed);
}

function wind(region: RegionFacts): RegionAction[] {
  const left = region.hosts.filter((host) => host.state === "up");
  return [...left.map(({ host }): RegionAction => ({ kind: "stop", host })), { kind: "enter", phase: "FINISHED" }];
}

/** Tells of the newest commit until every output has followed it. */
function complete({ committed, members }: RegionFacts): RegionAction[] {
  if (committed === 0n) return [];
  const behind = new Set(members.filter((member) => member.published < committed).map((member) => member.host));
  return [...behind].map((host) => ({ kind: "complete", host, checkpoint: committed }));
}

function checkpoint(region: RegionFacts, policy: RegionPolicy): RegionAction[] {
  const { open, members } = region;
  if (region.writing || region.finished) return [];
  if (open === undefined) {
    const over = members.every((member) => member.state === "FINISHED");
    const due = policy.checkpointIntervalMs > 0 && region.sinceCheckpointMs >= policy.checkpointIntervalMs;
    return region.wanted || (!region.held && (over || due))
      ? [{ kind: "open-checkpoint", checkpoint: region.newest + 1n }]
      : [];
  }
  const late = new Set(members.filter((member) => !member.acknowledged).map((member) => member.host));
  if (late.size === 0) return [{ kind: "commit", checkpoint: open.checkpoint }];
  if (open.ageMs > policy.checkpointTimeoutMs) return [{ kind: "give-up", checkpoint: open.checkpoint }];
  return [...late].map((host) => ({ kind: "trigger", host, checkpoint: open.checkpoint }));
}

function actorsOn(region: RegionFacts, host: string): string[] {
  return region.members.filter((member) => member.host === host).map((member) => member.actor);
}
