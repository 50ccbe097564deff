/** What the coordinator knows of one region: facts gathered from its log, from reports and snapshots, for `checkpoint/region.ts`. */
import { ERROR_CODES, invariant, isErrorCode } from "../base/errors.js";
import type { Clock } from "../base/ports.js";
import type { Failure, MemberFacts, RegionFacts, RegionHostFacts, RegionPhase } from "../checkpoint/region.js";
import type { LoggedRecord, StoredSnapshot } from "../checkpoint/retention.js";
import type { ActorReport, RegionReport, Snapshot } from "../wire/control.js";
import type { ActorCheckpoint, RegionRecord } from "../wire/stored.js";
import type { RegionDetail } from "./describe.js";
import type { HostFacts } from "./job.js";
import { pauseMs } from "./pause.js";
import { RegionHistory } from "./region-history.js";
import { type Loads, ToldActor } from "./told-actor.js";

interface OpenCheckpoint {
  readonly checkpoint: bigint;
  /** It was asked for; else its time had come. */
  readonly wanted: boolean;
  readonly sinceMs: number;
  /** The same by the clock on the wall. */
  readonly triggeredMs: number;
  readonly acknowledged: Map<string, ActorCheckpoint>;
  unaligned: boolean;
}

export class RegionBook {
  attempt = 1;
  /** Worker and host of each actor; empty: not placed. */
  readonly placed = new Map<string, { readonly worker: string; host: string }>();
  /** Those of all of them. */
  readonly workers = new Set<string>();
  #phase: RegionPhase = "OPENING";
  #writing = false;
  /** Old records and snapshots are being deleted. */
  cleaning = false;
  /** Grows whenever an actor's worker changes. */
  placements = 0;
  #inherited = false;
  #newest = 0n;
  #failures = 0;
  /** The next attempt is not placed before that, by the monotonic clock. */
  #notBeforeMs = 0;
  #givenUp = 0;
  #commit: RegionRecord | undefined;
  #commitFromMs: number | undefined;
  /** The newest records, in order and without a gap; those that were deleted are left out. */
  #logged: LoggedRecord[] = [];
  /** Of checkpoints that were given up. */
  #strays: StoredSnapshot[] = [];
  #wanted = false;
  #paused = false;
  #held = false;
  #told = new Map<string, ToldActor>();
  readonly #history: RegionHistory;
  #deployed = new Set<string>();
  #started = new Set<string>();
  #open: OpenCheckpoint | undefined;
  /** Of the newest commit, from trigger to record. */
  #tookMs = 0;
  #checkpointMs: number;

  constructor(
    readonly region: string,
    readonly actors: readonly string[],
    private readonly clock: Clock,
    /** Of its job. */
    regions = 1,
    /** It is to be looked at (U1 of `region-turns.ts`). */
    private readonly changed: (region: RegionBook) => void = () => {},
  ) {
    this.#history = new RegionHistory(regions);
    this.#checkpointMs = clock.monotonicMs();
  }

  facts(hostOf: (host: string) => HostFacts | undefined, adopting: boolean): RegionFacts {
    const now = this.clock.monotonicMs();
    return {
      phase: this.phase,
      inherited: this.#inherited,
      adopting,
      newest: this.#newest,
      committed: this.#commit?.number ?? 0n,
      finished: this.over,
      members: this.actors.map((actor) => this.#member(actor)),
      hosts: this.#hosts(hostOf),
      waitMs: Math.max(this.#notBeforeMs - now, 0),
      writing: this.writing,
      open: this.#open && { checkpoint: this.#open.checkpoint, ageMs: now - this.#open.sinceMs },
      sinceCheckpointMs: now - this.#checkpointMs,
      failures: this.#failures,
      givenUp: this.#givenUp,
      wanted: this.#wanted,
      held: this.held,
      paused: this.#paused,
    };
  }

  get phase(): RegionPhase {
    return this.#phase;
  }
  set phase(phase: RegionPhase) {
    this.#phase = phase;
    this.changed(this);
  }

  /** A record of its log. */
  get writing(): boolean {
    return this.#writing;
  }
  set writing(writing: boolean) {
    this.#writing = writing;
    this.changed(this);
  }

  /** For a savepoint that stops the job: nothing is committed any more that it does not ask for. */
  get held(): boolean {
    return this.#held;
  }
  set held(held: boolean) {
    this.#held = held;
    this.changed(this);
  }

  describe(): RegionReport {
    const { region, phase, attempt } = this;
    return { region, phase, attempt, committed: this.#commit?.number ?? 0n, checkpointMs: this.#tookMs };
  }

  detail(): RegionDetail {
    const { region, phase, attempt } = this;
    const open = this.#open && {
      number: Number(this.#open.checkpoint),
      triggeredMs: this.#open.triggeredMs,
      acknowledged: this.#open.acknowledged.size,
    };
    const committed = Number(this.#commit?.number ?? 0n);
    const { checkpoints, restarts } = this.#history;
    const history = { checkpoints, restarts };
    return { region, phase, attempt, actors: this.actors.length, committed, ...(open && { open }), ...history };
  }

  /** What actors have told of this attempt; of those that have told nothing yet there is nothing. */
  told(): Iterable<ToldActor> {
    return this.#told.values();
  }

  toldBy(actor: string): ToldActor | undefined {
    return this.#told.get(actor);
  }

  loads(): Loads[] {
    return Array.from(this.#told.values(), ({ loads }) => loads);
  }

  /** Snapshots for the manifest; every actor has acknowledged. */
  manifest(): readonly ActorCheckpoint[] {
    return this.actors.map((actor) => this.#open!.acknowledged.get(actor)!);
  }

  /** Its newest commit is its last: every actor is finished in it. What it holds may not be published yet. */
  get over(): boolean {
    return this.#commit?.actors.every((actor) => actor.finished) ?? false;
  }

  /** The newest commit; undefined: there is none. */
  get commit(): RegionRecord | undefined {
    return this.#commit;
  }

  /** When that was triggered, by the monotonic clock; undefined: another leader did it. */
  get commitFromMs(): number | undefined {
    return this.#commitFromMs;
  }

  /** Every sink of the region has published what this checkpoint and all before it hold; durable exchanges may not have. */
  hasPublished(checkpoint: bigint): boolean {
    if (this.phase === "FINISHED") return true;
    return this.actors.every((actor) => (this.toldBy(actor)?.sinksPublished ?? 0n) >= checkpoint);
  }

  /** For `decideRetention`. */
  get logged(): readonly LoggedRecord[] {
    return this.#logged;
  }
  get strays(): readonly StoredSnapshot[] {
    return this.#strays;
  }

  /** They have been deleted. */
  forget(records: readonly bigint[], snapshots: readonly string[]): void {
    const [gone, keys] = [new Set(records), new Set(snapshots)];
    this.#logged = this.#logged.filter(({ number }) => !gone.has(number));
    this.#strays = this.#strays.filter(({ key }) => !keys.has(key));
  }

  /** Asks for a checkpoint that is opened from now on; wanted until one is committed. */
  wantCheckpoint(): void {
    this.#wanted = true;
    this.changed(this);
  }
  get wanted(): boolean {
    return this.#wanted;
  }
  /** It can begin with a checkpoint that was asked for. */
  get isAsked(): boolean {
    return this.#wanted && this.#open === undefined && !this.writing && this.phase === "RUNNING" && !this.over;
  }
  /** Number of its newest record; 0n: there is none. */
  get newest(): bigint {
    return this.#newest;
  }

  /** It rests behind a checkpoint that is opened from now on, or goes on. */
  pause(paused: boolean): void {
    if (paused && !this.#paused && this.phase !== "FINISHED") this.#wanted = true;
    if (paused !== this.#paused) this.changed(this);
    this.#paused = paused;
  }
  /** Nothing of it is at work, and nothing will be. */
  get rests(): boolean {
    return this.phase === "FINISHED" || (this.#paused && this.phase === "PLACING");
  }

  /** The newest records of the log as they were found, oldest first; none: it is empty. */
  onLog(records: readonly RegionRecord[]): void {
    const [first] = records;
    if (first !== undefined) this.#newest = first.number - 1n; // what was before it has been deleted
    for (const record of records) this.onRecord(record);
    const newest = records.at(-1);
    if (newest !== undefined) this.inherit(newest.attempt);
    this.phase = "FENCING";
  }

  /** An earlier leader's attempt. A listing may have left out its newest records, so it may be heard of when it fences. */
  inherit(attempt: number): void {
    if (attempt < this.attempt) return;
    this.changed(this);
    this.#inherited = true;
    this.#checkpointMs = Number.NEGATIVE_INFINITY; // nobody knows how long ago: its next one is due as soon as it is at work
    if (attempt === this.attempt) return;
    this.#enterAttempt(attempt);
    this.placements += 1;
    this.workers.clear();
    this.placed.clear(); // told by actors of the attempt that was taken for the newest (C7)
  }

  /** A record that is in the log, whoever wrote it. */
  onRecord(record: RegionRecord): void {
    invariant(record.number === this.#newest + 1n, "a record counts only behind the newest one");
    this.changed(this);
    this.#newest = record.number;
    const open = this.#open?.checkpoint === record.number ? this.#open : undefined;
    this.#remember(record, open);
    const snapshots = record.actors.filter(({ key }) => key !== "").map(({ key }) => key);
    this.#logged.push({ number: record.number, kind: record.kind, snapshots });
    if (record.kind === "COMMIT") {
      this.#commit = record;
      this.#commitFromMs = open?.sinceMs;
      this.#givenUp = 0;
      if (open?.wanted) this.#wanted = false;
      this.#failures = 0;
      this.#tookMs = open === undefined ? 0 : this.clock.monotonicMs() - open.sinceMs;
    } else if (open !== undefined) {
      this.#givenUp += 1;
      this.#stray();
    }
    this.#open = undefined;
    if (record.kind === "COMMIT" || !this.#inherited) this.#checkpointMs = this.clock.monotonicMs();
  }

  /** A fence where no checkpoint was open is none that was given up. */
  #remember(record: RegionRecord, open: OpenCheckpoint | undefined): void {
    const { number, kind, createdMs, actors, attempt } = record;
    if (kind === "COMMIT") {
      const of = { number: Number(number), reason: "", endedMs: Number(createdMs), attempt, actors: actors.length };
      const bytes = actors.reduce((sum, { sizeBytes }) => sum + Number(sizeBytes), 0);
      this.#history.checkpoint({ ...of, bytes, ...sinceTrigger(open, this.clock), state: "COMMITTED" });
    } else if (open !== undefined) {
      const silent = this.actors.length - open.acknowledged.size;
      this.#gaveUp(open, `${silent} of ${this.actors.length} actors did not answer in time`);
    }
  }

  #gaveUp(open: OpenCheckpoint, reason: string): void {
    const acknowledged = [...open.acknowledged.values()];
    this.#history.checkpoint({
      number: Number(open.checkpoint),
      state: "GIVEN_UP",
      reason,
      endedMs: this.clock.nowMs(),
      attempt: this.attempt,
      actors: acknowledged.length,
      bytes: acknowledged.reduce((sum, { sizeBytes }) => sum + Number(sizeBytes), 0),
      ...sinceTrigger(open, this.clock),
    });
  }

  openCheckpoint(checkpoint: bigint): void {
    const times = { sinceMs: this.clock.monotonicMs(), triggeredMs: this.clock.nowMs() };
    this.#open = { checkpoint, wanted: this.#wanted, ...times, acknowledged: new Map(), unaligned: false };
    this.changed(this);
  }

  /** @param failure why */
  restart({ code, message }: Pick<Failure, "code" | "message">): void {
    this.#history.restart({ attempt: this.attempt + 1, atMs: this.clock.nowMs(), code, message });
    this.#failures += 1;
    this.#notBeforeMs = this.clock.monotonicMs() + pauseMs(this.#failures);
    this.rest(message);
  }

  /** The next attempt begins, or waits until it may. @param why an open checkpoint is given up */
  rest(why = "its region was put to rest"): void {
    if (this.#open !== undefined) this.#gaveUp(this.#open, why);
    this.#enterAttempt(this.attempt + 1);
    this.#inherited = false;
    this.#givenUp = 0;
    this.phase = "FENCING";
    this.#stray();
    this.#open = undefined;
    for (const place of this.placed.values()) place.host = "";
  }

  /** No record will ever refer to what was acknowledged of the open checkpoint. */
  #stray(): void {
    for (const { key } of this.#open?.acknowledged.values() ?? []) {
      if (key !== "") this.#strays.push({ key, checkpoint: this.#open!.checkpoint });
    }
  }

  #enterAttempt(attempt: number): void {
    this.attempt = attempt;
    this.#told.clear();
    this.#deployed.clear();
    this.#started.clear();
  }

  /** Worker of each actor; their hosts show when they are there. */
  place(workers: ReadonlyMap<string, string>): void {
    this.placements += 1;
    for (const [actor, worker] of workers) this.placed.set(actor, { worker, host: "" });
    this.workers.clear();
    for (const { worker } of this.placed.values()) this.workers.add(worker);
    this.phase = "DEPLOYING";
  }

  /** The host on a worker, once there is one, is the actors' for this attempt. */
  settle(hostFor: (actor: string, worker: string) => string | undefined): void {
    for (const [actor, place] of this.placed) if (place.host === "") place.host = hostFor(actor, place.worker) ?? "";
  }

  /** Actors that were to go there and have no host yet go elsewhere. */
  onWorkerGone(worker: string, waits: (actor: string) => boolean): void {
    const anew = ([actor, place]: readonly [string, { worker: string; host: string }]) =>
      place.worker === worker && place.host === "" && waits(actor);
    if (this.phase === "DEPLOYING" && [...this.placed].some(anew)) this.phase = "PLACING";
  }

  onDeployed(host: string, attempt: number): void {
    if (attempt !== this.attempt) return;
    this.#deployed.add(host);
    this.changed(this);
  }

  onStarted(host: string, attempt: number): void {
    if (attempt !== this.attempt) return;
    this.#started.add(host);
    this.changed(this);
  }

  /** @returns whether anything that decisions rest on has changed */
  onReport(report: ActorReport, host: string, worker: string): boolean {
    if (report.attempt !== this.attempt) return false; // C7
    // Of most of what thousands of actors tell five times a second, nothing is new: one look-up has to do.
    let told = this.#told.get(report.actor);
    if (told === undefined) {
      told = new ToldActor(report.actor);
      this.#told.set(report.actor, told);
      if (this.placed.get(report.actor) === undefined) this.#find(report.actor, host, worker);
    }
    const changed = told.hear(report);
    if (changed) this.changed(this);
    return changed;
  }

  /** At work, by a new leader. */
  #find(actor: string, host: string, worker: string): void {
    this.placements += 1;
    this.placed.set(actor, { worker, host });
    this.workers.add(worker);
    this.#deployed.add(host);
    this.#started.add(host);
  }

  /** @returns whether that was awaited */
  onSnapshot(snapshot: Snapshot): boolean {
    const { attempt, checkpoint, actor, finished, inline, key, sha256, sizeBytes } = snapshot;
    const open = this.#open;
    if (attempt !== this.attempt || checkpoint !== open?.checkpoint || open.acknowledged.has(actor)) return false;
    open.unaligned ||= snapshot.unaligned;
    open.acknowledged.set(actor, { actor, finished, inline, key, sha256, sizeBytes });
    if (open.acknowledged.size < this.actors.length) return false;
    this.changed(this);
    return true;
  }

  #member(actor: string): MemberFacts {
    const told = this.toldBy(actor);
    return {
      actor,
      host: this.placed.get(actor)?.host ?? "",
      state: told?.state,
      published: told?.published ?? 0n,
      sinksPublished: told?.sinksPublished ?? 0n,
      acknowledged: this.#open?.acknowledged.has(actor) ?? false,
      failure: told?.state === "FAILED" ? failureOf(told.code, told.message) : undefined,
    };
  }

  #hosts(hostOf: (host: string) => HostFacts | undefined): RegionHostFacts[] {
    const hosts = new Set([...this.placed.values()].map(({ host }) => host).filter((host) => host !== ""));
    return [...hosts].map((host) => {
      const view = hostOf(host);
      const deployed = this.#deployed.has(host);
      const started = this.#started.has(host);
      return { host, state: view?.state ?? "gone", deployed, started, failure: view?.failure };
    });
  }
}

/** @param open undefined: an earlier leader's */
function sinceTrigger(open: OpenCheckpoint | undefined, clock: Clock) {
  return {
    triggeredMs: open?.triggeredMs ?? 0,
    durationMs: open === undefined ? 0 : clock.monotonicMs() - open.sinceMs,
    unaligned: open?.unaligned ?? false,
    asked: open?.wanted ?? false,
  };
}

export function failureOf(code: string, message: string): Failure {
  const known = isErrorCode(code) ? code : "MILL_OPERATOR_FAILED";
  return { code: known, message, passing: ERROR_CODES[known].retry === "backoff" };
}
