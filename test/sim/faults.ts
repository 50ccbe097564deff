/**
 * Which faults there are, which of them a run has, and how often each struck.
 *
 * The seed turns whole kinds off, because faults hide each other: a message that is lost is not seen twice. A kind that
 * is on has a rate of its own, drawn by orders of magnitude. In the calm phase none strikes. Some seeds are lean: what strikes is
 * rare, and no process or line is struck more than twice, so nobody has a reason to give anything up.
 *
 * Not injected, and why: bytes that are changed on the way or at rest (TCP, the frames' checksums and the store's rule it
 * out, and their own tests show it); two messages of one publisher on one subject that change places (the bus contract
 * B1 rules it out); a store that loses what it acknowledged (nothing can be built on that).
 */
import type { SimRandom } from "./sim-random.js";

/** What of the message is on its way; by subject. */
export type MessageClass =
  | "client"
  | "report"
  | "command"
  | "split"
  | "data"
  | "control"
  | "credit"
  | "load"
  | "request"
  | "answer"
  | "other";

export const FAULT_KINDS = [
  "message-lost",
  "message-doubled",
  "message-delayed",
  "message-reordered",
  "bus-disconnect",
  "bus-partition",
  "bucket-conflict",
  "bucket-reply-lost",
  "log-reply-lost",
  "store-slow",
  "store-fails-before",
  "store-fails-after",
  "store-stale-list",
  "store-partition",
  "host-crash",
  "instance-crash",
  "worker-crash",
  "machine-crash",
  "coordinator-crash",
  "host-pause",
  "instance-pause",
  "worker-pause",
  "coordinator-pause",
  "coordinator-twin",
  "clock-skew",
  "host-cut-off",
  "actor-crash",
  "worker-cut-off",
] as const;
export type FaultKind = (typeof FAULT_KINDS)[number];

/** What the system is claimed to survive; more is added as the system learns it. */
export interface FaultProfile {
  readonly kinds: ReadonlySet<FaultKind>;
  readonly lost: ReadonlySet<MessageClass>;
  readonly doubled: ReadonlySet<MessageClass>;
  /** Once one of these has struck, a job may fail, as long as nothing was published. */
  readonly excuses: ReadonlySet<FaultKind>;
}

const EVERY_CLASS: readonly MessageClass[] = [
  ...["client", "report", "command", "split", "data", "control", "credit", "load", "request", "answer", "other"],
] as MessageClass[];

/** A job has one attempt: whatever it cannot do without must arrive, or it fails and publishes nothing. */
const ONE_ATTEMPT: FaultProfile = {
  kinds: new Set<FaultKind>([
    ...(["message-lost", "message-doubled", "message-delayed", "message-reordered"] as const),
    ...(["bucket-conflict", "bucket-reply-lost", "store-slow", "store-stale-list", "clock-skew"] as const),
    ...(["instance-pause", "coordinator-pause"] as const),
  ]),
  lost: new Set<MessageClass>(["client", "report", "command", "load", "data"]),
  doubled: new Set<MessageClass>(EVERY_CLASS.filter((one) => one !== "split")),
  excuses: new Set<FaultKind>(["message-lost"]),
};

/** Regions restart from their checkpoints: nothing may be lost but time. */
const RECOVERY: FaultProfile = {
  kinds: new Set(FAULT_KINDS),
  lost: new Set(EVERY_CLASS),
  doubled: new Set(EVERY_CLASS),
  excuses: new Set(),
};

export const FAULT_PROFILES = { "one-attempt": ONE_ATTEMPT, recovery: RECOVERY } as const;
export type ProfileName = keyof typeof FAULT_PROFILES;

/** How likely one message or call is struck, from the rarest to the most frequent a seed may choose. */
const RATE: readonly [number, number] = [0.002, 0.3];
const LEAN_RATE: readonly [number, number] = [0.0002, 0.003];
/** Part of the seeds in which little goes wrong. */
const LEAN = 0.15;
/** Calls of the store are retried below the port; one that fails for good is rare. */
const RATE_OF: Partial<Record<FaultKind, readonly [number, number]>> = {
  "store-fails-before": [0.002, 0.03],
  "store-fails-after": [0.002, 0.03],
};
/** What is lost of these the channel sends again by itself; nobody else is to notice. */
const REPAIRED: ReadonlySet<MessageClass> = new Set<MessageClass>(["data", "control", "credit"]);
/** What regions are not to feel: none begins another attempt because of it. */
export const UNFELT: ReadonlySet<FaultKind> = new Set<FaultKind>([
  ...(["message-doubled", "message-delayed", "message-reordered", "bucket-conflict", "bucket-reply-lost"] as const),
  ...(["store-slow", "store-stale-list", "clock-skew"] as const),
  ...(["instance-crash", "instance-pause", "coordinator-pause"] as const),
]);
/** Part of the seeds in which nothing else strikes, and coordinators stand still. */
const UNFELT_ALONE = 0.08;
/** Who holds what cannot be told, or who was replaced goes on working. */
export const BLINDING: ReadonlySet<FaultKind> = new Set<FaultKind>([
  ...(["message-lost", "message-delayed", "bus-disconnect", "bus-partition"] as const),
  ...(["host-pause", "host-cut-off", "worker-pause", "worker-cut-off", "instance-pause"] as const),
]);
const OF_STORE: ReadonlySet<FaultKind> = new Set<FaultKind>([
  ...(["store-slow", "store-fails-before", "store-fails-after", "store-partition"] as const),
]);
/** Part of the fault kinds that are on in a run. */
const KINDS_ON = 0.45;

export class Faults {
  readonly counts = new Map<FaultKind, number>();
  /** False in the calm phase. */
  active = true;
  /** Kinds that have struck where more than a channel feels it. */
  readonly felt = new Set<FaultKind>();
  /** When the newest one struck, or what it did was undone. */
  struckMs = Number.NEGATIVE_INFINITY;
  #rates = new Map<FaultKind, number>();
  #random: SimRandom;

  /** Few faults strike. */
  readonly isLean: boolean;
  /** Only what regions are not to feel strikes. */
  readonly isUnfelt: boolean;

  constructor(
    readonly profile: FaultProfile,
    random: SimRandom,
    private readonly nowMs: () => number = () => 0,
  ) {
    this.#random = random.fork("faults");
    this.isLean = random.fork("lean").chance(LEAN);
    const swarm = random.fork("swarm");
    const none = swarm.chance(0.03);
    this.isUnfelt = random.fork("unfelt alone").chance(UNFELT_ALONE);
    for (const kind of FAULT_KINDS) {
      const on = swarm.chance(KINDS_ON);
      const rate = swarm.logBetween(...(this.isLean ? LEAN_RATE : (RATE_OF[kind] ?? RATE)));
      if (none || !profile.kinds.has(kind)) continue;
      if (this.isUnfelt ? kind === "coordinator-pause" || (on && UNFELT.has(kind)) : on) this.#rates.set(kind, rate);
    }
  }

  /** From now on everybody can be asked, and answers, or has ended. */
  clear(): void {
    for (const kind of [...BLINDING, ...OF_STORE]) this.#rates.delete(kind);
  }

  /** From now on most listings are old. */
  contest(): void {
    if (this.profile.kinds.has("store-stale-list")) this.#rates.set("store-stale-list", 0.8);
  }

  isOn(kind: FaultKind): boolean {
    return this.#rates.has(kind);
  }

  /** Draws whether this kind strikes here, and counts it if so. */
  strikes(kind: FaultKind): boolean {
    const rate = this.#rates.get(kind);
    if (rate === undefined || !this.active || !this.#random.chance(rate)) return false;
    this.count(kind);
    return true;
  }

  /** From now on what a fault has done is undone. */
  undone(): void {
    this.struckMs = this.nowMs();
  }

  strikesMessage(kind: "message-lost" | "message-doubled", what: MessageClass): boolean {
    const open = kind === "message-lost" ? this.profile.lost : this.profile.doubled;
    const before = this.felt.has(kind);
    const struck = open.has(what) && this.strikes(kind);
    if (!before && REPAIRED.has(what)) this.felt.delete(kind);
    return struck;
  }

  /** Whether a job that fails has been given a reason to. */
  get excuseFailure(): boolean {
    return [...this.counts.keys()].some((kind) => this.profile.excuses.has(kind));
  }

  count(kind: FaultKind): void {
    this.struckMs = this.nowMs();
    this.felt.add(kind);
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  describe(): string {
    const rates = [...this.#rates].map(([kind, rate]) => `${kind} ${rate.toFixed(4)}`).join(", ") || "none";
    return this.isLean ? `few: ${rates}` : rates;
  }
}
