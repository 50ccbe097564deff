import assert from "node:assert/strict";
import { decideRegion, type RegionAction, type RegionFacts } from "../../../src/checkpoint/region.js";
import { host, member, passing, policy, region } from "./region-facts.js";

/**
 * A region whose hosts, actors and log are simulated, and whose leaders see them through losses and delays. Attempts, cuts and
 * records are numbers; what is checked is what the log may hold and what may be told to whom.
 */
class Walk {
  #state: number;
  calm = false;
  readonly log: {
    readonly kind: "COMMIT" | "FENCE";
    readonly attempt: number;
    readonly leader: number;
    finished: boolean;
  }[] = [];
  /** What the hosts really hold: an attempt of each actor. */
  #hosts = new Map<string, { up: boolean; attempt: number; deployed: boolean; started: boolean; from: number }>();
  /** Every attempt that a host ever had. */
  #held = new Set<string>();
  #work = new Map<string, number>();
  #published = new Map<string, number>();
  /** The leaders: the newest one decides; an older one may still believe in itself. */
  leaders: Leader[] = [];
  /** A message is what it changes where it arrives. */
  #messages: (() => void)[] = [];
  readonly actors = ["a", "b", "c"];
  readonly hostOf = (actor: string) => (actor === "c" ? "h2" : "h1");
  steps = 0;

  constructor(readonly seed: number) {
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0;
    for (const name of ["h1", "h2"])
      this.#hosts.set(name, { up: true, attempt: 0, deployed: false, started: false, from: 0 });
    this.lead();
  }

  random(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  }

  lead(): void {
    this.leaders.push(new Leader(this, this.leaders.length + 1));
  }

  send(change: () => void): void {
    if (!this.calm && this.random(5) === 0) return; // lost
    this.#messages.push(change);
    if (!this.calm && this.random(8) === 0) this.#messages.push(change); // doubled
  }

  /** A write under way: it is done sometime, in any case. */
  write(done: () => void): void {
    this.#messages.push(done);
  }

  step(): void {
    this.steps += 1;
    const dice = this.random(10);
    const messages = this.#messages;
    if (messages.length > 0 && dice < 6) {
      for (let left = this.calm ? messages.length : 4; left > 0 && messages.length > 0; left--) {
        messages.splice(this.calm ? 0 : this.random(messages.length), 1)[0]!();
      }
    } else if (dice < 8) {
      const alive = this.leaders.filter(({ deposed }) => !deposed);
      const leader = this.calm ? this.leaders.at(-1)! : alive[this.random(alive.length)];
      leader?.look();
    } else this.#hostsWork();
    if (!this.calm && this.random(60) === 0) this.#fault();
  }

  #fault(): void {
    const kind = this.random(3);
    if (kind === 0 && this.leaders.length < 4) this.lead();
    const host = this.#hosts.get(this.random(2) === 0 ? "h1" : "h2")!;
    if (kind === 1) Object.assign(host, { up: false, attempt: 0, deployed: false, started: false });
    if (kind === 2) host.up = true;
  }

  /** Actors get on, and hosts say how it goes, to every leader. */
  #hostsWork(): void {
    for (const [name, host] of this.#hosts) {
      if (this.calm) host.up = true;
      if (!host.up) continue;
      for (const actor of this.actors.filter((one) => this.hostOf(one) === name && host.started)) {
        this.#work.set(`${actor} ${host.attempt}`, (this.#work.get(`${actor} ${host.attempt}`) ?? 0) + 1);
      }
      const { attempt, started, deployed } = host;
      const states = this.actors
        .filter((one) => this.hostOf(one) === name && deployed)
        .map((actor) => ({
          actor,
          finished: this.finished(actor, attempt),
          published: this.#published.get(`${actor} ${attempt}`) ?? 0,
        }));
      for (const leader of this.leaders) this.send(() => leader.onReport(name, attempt, started, states));
    }
  }

  finished(actor: string, attempt: number): boolean {
    return (this.#work.get(`${actor} ${attempt}`) ?? 0) > 25;
  }

  /** A command arrives at a host. */
  command(leader: Leader, name: string, attempt: number, action: RegionAction): void {
    const host = this.#hosts.get(name)!;
    if (!host.up) return;
    if (action.kind === "deploy") {
      if (attempt < host.attempt) return;
      if (attempt > host.attempt) {
        assert.ok(
          this.log.some((record) => record.kind === "FENCE" && record.attempt === attempt),
          `${this}: attempt ${attempt} is deployed after its fence (C4)`,
        );
        const fence = this.log.findIndex((record) => record.kind === "FENCE" && record.attempt === attempt) + 1;
        const before = this.log.slice(0, fence).findLastIndex(({ kind }) => kind === "COMMIT") + 1;
        const own = this.log.slice(fence).some(({ kind, attempt: by }) => kind === "COMMIT" && by === attempt);
        if (!own)
          assert.equal(
            Number(action.checkpoint),
            before,
            `${this}: it restores the newest commit before its fence (C4, rule 2)`,
          );
        this.#held.add(`${name} ${attempt}`);
        Object.assign(host, { attempt, deployed: true, started: false, from: Number(action.checkpoint) });
        for (const actor of action.actors) this.#published.set(`${actor} ${attempt}`, host.from);
      }
      this.send(() => leader.acknowledged("deployed", name, attempt));
      return;
    }
    if (attempt !== host.attempt) return;
    if (action.kind === "start") {
      for (const [other] of this.#hosts) {
        assert.ok(this.#held.has(`${other} ${attempt}`), `${this}: nobody starts before all have acknowledged (C5)`);
      }
      host.started = true;
      this.send(() => leader.acknowledged("started", name, attempt));
    } else if (action.kind === "stop") Object.assign(host, { deployed: false, started: false });
    else if (action.kind === "trigger" && host.started) {
      for (const actor of this.actors.filter((one) => this.hostOf(one) === name)) {
        const finished = this.finished(actor, attempt);
        for (const each of this.leaders)
          this.send(() => each.onSnapshot(actor, attempt, Number(action.checkpoint), finished));
      }
    } else if (action.kind === "complete" && host.started) {
      const record = this.log[Number(action.checkpoint) - 1];
      assert.equal(record?.kind, "COMMIT", `${this}: only what is in the log is published (rule 1)`);
      for (const actor of this.actors.filter((one) => this.hostOf(one) === name)) {
        const key = `${actor} ${attempt}`;
        this.#published.set(key, Math.max(this.#published.get(key) ?? 0, Number(action.checkpoint)));
      }
    }
  }

  /** Creates a record, once. */
  create(number: number, record: Walk["log"][number]): Walk["log"][number] {
    assert.ok(number <= this.log.length + 1, `${this}: the log has no gap (rule 1)`);
    const there = this.log[number - 1];
    if (there !== undefined) return there;
    const newer = this.log.some(({ attempt }) => attempt > record.attempt);
    assert.ok(
      !newer,
      `${this}: nothing of attempt ${record.attempt} counts after the fence of a later one (rules 1, 9)`,
    );
    const led = this.log.some(({ leader }) => leader > record.leader);
    assert.ok(!led, `${this}: nothing of leader ${record.leader} counts after a later one's record (rule 1)`);
    this.log.push(record);
    return record;
  }

  toString(): string {
    return `seed ${this.seed}, step ${this.steps}`;
  }
}

/** What a coordinator keeps of a region, as `coordinator/region-book.ts` does. */
class Leader {
  deposed = false;
  phase: RegionFacts["phase"] = "OPENING";
  #attempt = 1;
  #inherited = false;
  #newest = 0;
  #committed = 0;
  #finished = false;
  #failures = 0;
  #writing = false;
  #patience = 12;
  #open: { readonly checkpoint: number; looks: number; readonly acknowledged: Map<string, boolean> } | undefined;
  #placed = new Set<string>();
  #silent = new Map<string, number>();
  #deployed = new Set<string>();
  #started = new Set<string>();
  #states = new Map<string, { finished: boolean; published: number }>();
  #looks = 0;

  constructor(
    private readonly walk: Walk,
    private readonly term: number,
  ) {}

  look(): void {
    if (this.deposed) return;
    this.#looks += 1;
    this.#patience -= 1;
    for (const [name, looks] of this.#silent) this.#silent.set(name, looks + 1);
    if (this.#open !== undefined) this.#open.looks += 1;
    const facts = this.facts();
    const actions = decideRegion(facts, { ...policy, failuresMax: Number.POSITIVE_INFINITY });
    if (this.#open === undefined) assert.ok(!actions.some(({ kind }) => kind === "commit" || kind === "trigger"));
    for (const action of actions) this.#carryOut(action);
  }

  facts(): RegionFacts {
    const { walk } = this;
    const hosts = [...new Set([...this.#placed].map((actor) => walk.hostOf(actor)))];
    return region({
      phase: this.phase,
      inherited: this.#inherited,
      adopting: this.#patience > 0,
      newest: BigInt(this.#newest),
      committed: BigInt(this.#committed),
      finished: this.#finished,
      writing: this.#writing,
      failures: this.#failures,
      waitMs: 0,
      open: this.#open && { checkpoint: BigInt(this.#open.checkpoint), ageMs: this.#open.looks > 40 ? 1e9 : 0 },
      sinceCheckpointMs: this.#looks % 6 === 0 ? 1e9 : 0,
      members: walk.actors.map((actor) => {
        const state = this.#states.get(actor);
        const shown = state === undefined ? undefined : state.finished ? "FINISHED" : "RUNNING";
        const acknowledged = this.#open?.acknowledged.has(actor) ?? false;
        const place = this.#placed.has(actor) ? walk.hostOf(actor) : "";
        return member(actor, place, { state: shown, published: BigInt(state?.published ?? 0), acknowledged });
      }),
      hosts: hosts.map((name) =>
        host(name, {
          deployed: this.#deployed.has(name),
          started: this.#started.has(name),
          ...((this.#silent.get(name) ?? 0) > 25 ? { state: "gone", failure: passing } : {}),
        }),
      ),
    });
  }

  #carryOut(action: RegionAction): void {
    const { walk } = this;
    const attempt = this.#attempt;
    switch (action.kind) {
      case "enter":
        if (action.phase === "FINISHED") {
          const last = walk.log.findLast(({ kind }) => kind === "COMMIT");
          assert.ok(last?.finished, `${walk}: FINISHED after a commit that says so (C6)`);
        }
        this.phase = action.phase;
        return;
      case "read-log":
        // A listing may be stale: it leaves out the newest.
        for (const [i, record] of walk.log.slice(0, Math.max(walk.log.length - walk.random(3), 0)).entries())
          this.#on(i + 1, record);
        this.phase = "FENCING";
        return;
      case "fence":
      case "give-up":
      case "commit": {
        const number = Number(action.kind === "fence" ? action.number : action.checkpoint);
        if (action.kind === "commit") {
          assert.equal(number, this.#open?.checkpoint, `${walk}: it commits what is open (C1)`);
          assert.equal(this.#open?.acknowledged.size, walk.actors.length, `${walk}: all have acknowledged (C2)`);
        }
        const finished = action.kind === "commit" && [...this.#open!.acknowledged.values()].every(Boolean);
        const record = {
          kind: action.kind === "commit" ? "COMMIT" : "FENCE",
          attempt,
          leader: this.term,
          finished,
        } as const;
        this.#writing = true;
        const write = () => {
          this.#writing = false;
          // It may fail before, or after it was done.
          const how = walk.calm ? 9 : walk.random(10);
          if (how === 0) return;
          const there = walk.create(number, record);
          if (how === 1) return;
          if (there.leader > this.term) {
            this.deposed = true;
            return;
          }
          this.#on(number, there);
          if (
            this.phase === "FENCING" &&
            there.kind === "FENCE" &&
            there.leader === this.term &&
            there.attempt === attempt
          )
            this.phase = "PLACING";
        };
        walk.write(write);
        return;
      }
      case "place":
        this.#placed = new Set(walk.actors);
        for (const actor of walk.actors) this.#silent.set(walk.hostOf(actor), 0);
        this.phase = "DEPLOYING";
        return;
      case "open-checkpoint":
        assert.equal(this.#open, undefined, `${walk}: one is open at a time (C1)`);
        this.#open = { checkpoint: Number(action.checkpoint), looks: 0, acknowledged: new Map() };
        return;
      case "restart":
        this.#failures += 1;
        this.#inherited = false;
        this.#open = undefined;
        this.#enter(attempt + 1);
        this.phase = "FENCING";
        return;
      case "rest":
      case "fail":
        assert.fail(`${walk}: nothing here is final`);
        return;
      default:
        walk.send(() => walk.command(this, action.host, attempt, action));
    }
  }

  #on(number: number, record: Walk["log"][number]): void {
    if (record.leader < this.term && record.attempt >= this.#attempt) {
      this.#inherited = true;
      if (record.attempt > this.#attempt) this.#enter(record.attempt);
    }
    this.#newest = number;
    this.#open = undefined;
    if (record.kind !== "COMMIT") return;
    this.#committed = number;
    this.#finished = record.finished;
  }

  #enter(attempt: number): void {
    this.#attempt = attempt;
    this.#placed.clear();
    this.#deployed.clear();
    this.#started.clear();
    this.#states.clear();
  }

  acknowledged(what: "deployed" | "started", name: string, attempt: number): void {
    if (attempt === this.#attempt) (what === "deployed" ? this.#deployed : this.#started).add(name);
  }

  onSnapshot(actor: string, attempt: number, checkpoint: number, finished: boolean): void {
    if (attempt !== this.#attempt || checkpoint !== this.#open?.checkpoint) return;
    if (!this.#open.acknowledged.has(actor)) this.#open.acknowledged.set(actor, finished);
  }

  onReport(
    name: string,
    attempt: number,
    started: boolean,
    states: readonly { actor: string; finished: boolean; published: number }[],
  ): void {
    if (attempt !== this.#attempt || !started) return;
    this.#silent.set(name, 0);
    for (const { actor, ...state } of states) {
      this.#states.set(actor, state);
      if (!this.#placed.has(actor) && this.#inherited) {
        this.#placed.add(actor);
        this.#deployed.add(name);
        this.#started.add(name);
      }
    }
  }
}

describe("checkpoint/region: random walks", () => {
  it("lost commands, late reports, failures and rival leaders break no invariant, and the calm ends FINISHED (C1 to C8, rules 1, 2, 5, 9)", () => {
    let commits = 0;
    let conflicts = 0;
    for (let seed = 1; seed <= 80; seed++) {
      const walk = new Walk(seed);
      for (let i = 0; i < 1_200; i++) walk.step();
      walk.calm = true;
      for (let i = 0; walk.leaders.at(-1)!.phase !== "FINISHED"; i++) {
        assert.ok(
          i < 20_000,
          `${walk}: FINISHED in the calm; it is ${JSON.stringify(show(walk.leaders.at(-1)!.facts()))}`,
        );
        if (walk.leaders.at(-1)!.deposed) walk.lead();
        walk.step();
      }
      commits += walk.log.filter(({ kind }) => kind === "COMMIT").length;
      conflicts += walk.leaders.filter(({ deposed }) => deposed).length;
    }
    assert.ok(commits > 80, `${commits} commits`);
    assert.ok(conflicts > 8, `${conflicts} leaders met a later one's record`);
  });
});

const show = (facts: RegionFacts) =>
  JSON.parse(
    JSON.stringify(facts, (_key, value: unknown) => (typeof value === "bigint" ? Number(value) : value)),
  ) as unknown;
