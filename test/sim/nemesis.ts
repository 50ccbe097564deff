/**
 * Plans what happens to whole processes and lines: who is killed, paused, cut off, and when. Half of the strikes come at a
 * drawn time, half right after something of interest has happened (the n-th store write, the n-th message of a class):
 * in virtual time the interesting moments are short.
 */
import { REGION_KEY } from "./checkers/region-log.js";
import type { FaultKind, Faults, MessageClass } from "./faults.js";
import type { Node, SimCluster } from "./sim-cluster.js";
import { classOfSubject } from "./sim-network.js";
import type { ProcessRole } from "./sim-process.js";
import type { SimRandom } from "./sim-random.js";

interface Trigger {
  readonly kind: FaultKind;
  readonly on: "store" | "commit" | "clean-up" | MessageClass;
  left: number;
  /** How often it strikes again after as many. */
  again: number;
  readonly nth: number;
}

const ROLE_OF: Partial<Record<FaultKind, ProcessRole>> = {
  "host-crash": "host",
  "host-pause": "host",
  "host-cut-off": "host",
  "worker-cut-off": "worker",
  "instance-crash": "instance",
  "instance-pause": "instance",
  "worker-crash": "worker",
  "worker-pause": "worker",
  "machine-crash": "worker",
  "coordinator-crash": "coordinator",
  "coordinator-pause": "coordinator",
  "coordinator-twin": "coordinator",
  "actor-crash": "host",
};
const PLANNED: readonly FaultKind[] = [
  ...(Object.keys(ROLE_OF) as FaultKind[]),
  ...(["bus-disconnect", "bus-partition", "store-partition"] as const),
];
const STRIKES_MAX = 4;
/** Actors may fail over and over: an attempt that is young meets what the one before has left under way. */
const ACTOR_CRASHES_MAX = 12;
const ACTOR_CRASH_COMMITS_MAX = 3;
const STANDSTILL_COMMITS_MAX = 3;
const CONTESTS_MAX = 6;
const CONTEST_DELETIONS_MAX = 4;
/** Of all kinds together, in a run with few faults: no request, region or service is struck as often as its bound allows. */
const LEAN_STRIKES_MAX = 2;
const TRIGGER_NTH_MAX = 60;
const CLASSES: readonly MessageClass[] = [
  "report",
  "command",
  "split",
  "data",
  "control",
  "credit",
  "request",
  "answer",
];

export class Nemesis {
  #random: SimRandom;
  #triggers: Trigger[] = [];
  #strikes = 0;
  #stopped = false;
  #faults: Faults;

  constructor(
    private readonly cluster: SimCluster,
    faultsMs: number,
  ) {
    this.#faults = cluster.faults;
    this.#random = cluster.world.random.fork("nemesis");
    for (const kind of PLANNED) {
      const random = this.#random.fork(kind);
      for (let i = random.below(STRIKES_MAX) + 1; i > 0 && this.#faults.isOn(kind); i--) {
        // Jobs may be over long before the time for faults is.
        if (random.chance(0.5))
          this.#at(kind, random.chance(0.5) ? random.between(0, faultsMs) : random.logBetween(500, faultsMs));
        else this.#arm(kind, random);
      }
    }
    // Jobs are over before most strikes come, and what regions do not feel shows only while they run.
    if (this.#faults.isUnfelt && this.#faults.isOn("coordinator-pause")) {
      const nth = 1 + this.#random.fork("standstill").below(STANDSTILL_COMMITS_MAX);
      this.#triggers.push({ kind: "coordinator-pause", on: "commit", left: nth, again: 0, nth });
    }
    const isRestless = cluster.scenario.isRestless === true && this.#faults.profile.kinds.has("actor-crash");
    if (isRestless || this.#faults.isOn("actor-crash")) {
      const random = this.#random.fork("young attempts");
      const nth = 1 + random.below(ACTOR_CRASH_COMMITS_MAX);
      const again = random.below(ACTOR_CRASHES_MAX);
      this.#triggers.push({ kind: "actor-crash", on: "commit", left: nth, again, nth });
    }
    if (cluster.scenario.isContested === true && !this.#faults.isUnfelt) this.#contest(this.#random.fork("contest"));
    cluster.shared.watchers.push((change) => {
      this.#on("store", change.by);
      if (REGION_KEY.test(change.key) && change.kind === "create") this.#on("commit", change.by);
      if (REGION_KEY.test(change.key) && change.kind === "delete") this.#on("clean-up", change.by);
    });
    cluster.network.taps.push((message, from) => this.#on(classOfSubject(message.subject), from.process.name));
  }

  /** Everything works again; nothing more happens. */
  calm(): void {
    this.#stopped = true;
    this.#triggers = [];
    this.#faults.active = false;
    this.#faults.undone();
    const { network, shared, nodes } = this.cluster;
    this.cluster.actorCrashes.calm();
    network.joinAll();
    shared.joinAll();
    for (const { process, bus } of nodes) {
      bus.reconnect();
      process.resume();
    }
  }

  #at(kind: FaultKind, atMs: number): void {
    this.cluster.world.schedule(undefined, atMs, `nemesis: ${kind}`, () => this.#strike(kind, undefined));
  }

  /** Another coordinator begins right after records were deleted, again and again. */
  #contest(random: SimRandom): void {
    const nth = 1 + random.below(CONTEST_DELETIONS_MAX);
    const again = random.below(CONTESTS_MAX);
    if (!this.#faults.profile.kinds.has("coordinator-twin")) return;
    this.#triggers.push({ kind: "coordinator-twin", on: "clean-up", left: nth, again, nth });
  }

  #arm(kind: FaultKind, random: SimRandom): void {
    const on = random.chance(0.4) ? "store" : random.pick(CLASSES);
    const nth = 1 + random.below(TRIGGER_NTH_MAX);
    this.#triggers.push({ kind, on, left: nth, again: 0, nth });
  }

  #on(what: Trigger["on"], process: string): void {
    if (this.#triggers.length === 0) return;
    const node = this.cluster.nodes.find((candidate) => candidate.process.name === process);
    for (const trigger of this.#triggers) {
      if (trigger.on !== what) continue;
      trigger.left -= 1;
      if (trigger.left > 0) continue;
      if (trigger.again > 0) Object.assign(trigger, { left: trigger.nth, again: trigger.again - 1 });
      else this.#triggers = this.#triggers.filter((other) => other !== trigger);
      const delayMs = this.#random.chance(0.5) ? 0 : this.#random.logBetween(0.01, 100);
      this.cluster.world.schedule(undefined, delayMs, `nemesis: ${trigger.kind} after ${what}`, () =>
        this.#strike(trigger.kind, node),
      );
    }
  }

  #strike(kind: FaultKind, wanted: Node | undefined): void {
    if (this.#stopped || (this.#faults.isLean && this.#strikes >= LEAN_STRIKES_MAX)) return;
    const role = ROLE_OF[kind];
    const candidates = this.cluster.nodes.filter(
      ({ process }) =>
        process.state === "running" && (role === undefined ? process.role !== "client" : process.role === role),
    );
    if (candidates.length === 0) return;
    const target = wanted !== undefined && candidates.includes(wanted) ? wanted : this.#random.pick(candidates);
    this.#strikes += 1;
    const { world, network, shared } = this.cluster;
    world.trace.add(world.nowMs, "nemesis", `${kind}: ${target.process.name}`);
    if (kind !== "actor-crash") this.#faults.count(kind);
    if (kind === "actor-crash")
      this.cluster.actorCrashes.arm(target.process); // counted when it strikes
    else if (kind === "machine-crash") this.#crashMachine(target);
    else if (kind.endsWith("-crash")) target.process.end("SIGKILL");
    else if (kind.endsWith("-pause")) {
      target.process.pause();
      // As often longer as shorter than what counts as silence.
      const pauseMs = this.#random.chance(0.5)
        ? this.#random.between(10_000, 45_000)
        : this.#random.logBetween(50, 10_000);
      this.#in(pauseMs, () => target.process.resume());
    } else if (kind === "coordinator-twin") {
      // Whoever watches a coordinator that does not answer starts another; then the first one goes on.
      target.process.pause();
      this.cluster.startCoordinator();
      this.#after(20_000, () => target.process.resume());
    } else if (kind === "bus-disconnect") {
      target.bus.disconnect(this.#random.chance(0.5));
      this.#after(20_000, () => target.bus.reconnect());
    } else if (kind === "bus-partition") {
      const other = this.#random.pick(candidates).process.name;
      network.cut(target.process.name, other);
      this.#after(40_000, () => network.join(target.process.name, other));
    } else if (kind === "host-cut-off" || kind === "worker-cut-off") {
      // From its coordinators alone: it is replaced, or given up with all that it holds, which goes on working with everybody else.
      const coordinators = this.cluster.alive("coordinator").map(({ process }) => process.name);
      for (const name of coordinators) network.cut(target.process.name, name);
      this.#in(this.#random.between(5_000, 60_000), () => {
        for (const name of coordinators) network.join(target.process.name, name);
      });
    } else if (kind === "store-partition") {
      shared.cutOff(target.process.name);
      this.#after(15_000, () => shared.join(target.process.name));
    }
  }

  #crashMachine({ machine }: Node): void {
    for (const node of this.cluster.nodes) if (node.machine === machine) node.process.end("a power cut");
  }

  #after(maxMs: number, undo: () => void): void {
    this.#in(this.#random.logBetween(50, maxMs), undo);
  }

  #in(delayMs: number, undo: () => void): void {
    this.cluster.world.schedule(undefined, delayMs, "nemesis: undo", () => {
      if (this.#stopped) return;
      undo();
      this.#faults.undone();
    });
  }
}
