/**
 * The simulated message server and its lines: subscriptions, queue groups, logs and buckets, and what goes wrong between
 * two processes. `sim-bus.ts` is one process's connection to it.
 *
 * A message takes two steps: over the publisher's line to the server, in order; then over the subscriber's line. Faults
 * strike on the second. What one publisher sent on one subject keeps its order towards each subscriber (B1); whether it
 * also keeps it between two subjects is a fault kind, since the contract does not promise it.
 *
 * Faults: message lost, doubled, delayed; order between subjects; a line that is down (what is sent to it is lost, what it
 * sends waits for the reconnect or is lost, its subscriptions do not count); two processes cut from each other.
 */
import type { LogOptions } from "../../src/bus/bus.js";
import { MemoryBucket } from "../../src/bus/memory-bucket.js";
import { logGone, MemoryLog } from "../../src/bus/memory-log.js";
import { SubjectIndex } from "../../src/bus/subject-index.js";
import type { Faults, MessageClass } from "./faults.js";
import type { SimBus } from "./sim-bus.js";
import type { SimWorld } from "./sim-clock.js";
import type { SimRandom } from "./sim-random.js";
import { checksum } from "./trace.js";

export interface SimMessage {
  readonly subject: string;
  readonly payload: Uint8Array;
  readonly replyTo: string | undefined;
}

export interface SimSubscription {
  readonly bus: SimBus;
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly handler: (message: SimMessage) => void;
  active: boolean;
}

/** Told of every message that has reached the server: how checkers see the bus. */
export type WireTap = (message: SimMessage, from: SimBus) => void;

/** Two events that must keep an order are this far apart at least. */
const APART_MS = 0.001;

export class SimNetwork {
  readonly subscriptions = new SubjectIndex<SimSubscription>();
  readonly taps: WireTap[] = [];
  readonly random: SimRandom;
  #lastDelivery = new Map<string, number>();
  #cut = new Set<string>();
  #replyClass = new Map<string, MessageClass>();
  #logs = new Map<string, MemoryLog>();
  #logsMade = 0;
  #buckets = new Map<string, MemoryBucket>();
  #latencyMs: number;

  constructor(
    readonly world: SimWorld,
    readonly faults: Faults,
  ) {
    this.random = world.random.fork("network");
    this.#latencyMs = this.random.logBetween(0.05, 20);
  }

  /** One way over one line, without faults. */
  latencyMs(): number {
    return this.#latencyMs * this.random.between(0.5, 1.5);
  }

  /** A message has reached the server. */
  route(message: SimMessage, from: SimBus): void {
    for (const tap of this.taps) tap(message, from);
    const what = this.#classOf(message);
    if (message.replyTo !== undefined) this.#replyClass.set(message.replyTo, what);
    const found = this.subscriptions.find(message.subject).filter((one) => one.active && one.bus.isUp);
    if (found.length === 0) {
      if (message.replyTo !== undefined) from.onNoResponder(message.replyTo);
      return;
    }
    for (const [to, subscriptions] of this.#byConnection(this.#oneOfEachQueue(found))) {
      this.#send(message, what, from, to, subscriptions);
    }
  }

  #send(message: SimMessage, what: MessageClass, from: SimBus, to: SimBus, targets: readonly SimSubscription[]): void {
    const { faults, world } = this;
    const isCut = this.isCut(from.process.name, to.process.name);
    if (isCut || faults.strikesMessage("message-lost", what)) {
      world.trace.add(world.nowMs, "-", `lost: ${message.subject} to ${to.name}`);
      return;
    }
    const atMs = this.#inLane(message.subject, from, to, world.nowMs + this.latencyMs() + this.#delayMs());
    this.#deliver(message, to, targets, atMs);
    if (faults.strikesMessage("message-doubled", what)) {
      this.#deliver(message, to, targets, atMs + this.random.logBetween(APART_MS, 5_000));
    }
  }

  #delayMs(): number {
    return this.faults.strikes("message-delayed") ? this.random.logBetween(1, 8_000) : 0;
  }

  /** The moment of delivery, moved back behind what must come first (B1). */
  #inLane(subject: string, from: SimBus, to: SimBus, wantedMs: number): number {
    const { faults } = this;
    const all = `${from.name} ${to.name}`;
    const lane = faults.isOn("message-reordered") && faults.active ? `${all} ${subject}` : all;
    const atMs = Math.max(wantedMs, (this.#lastDelivery.get(lane) ?? 0) + APART_MS);
    const newestMs = this.#lastDelivery.get(all) ?? 0;
    if (atMs < newestMs) faults.count("message-reordered");
    this.#lastDelivery.set(lane, atMs);
    this.#lastDelivery.set(all, Math.max(atMs, newestMs));
    return atMs;
  }

  #deliver(message: SimMessage, to: SimBus, targets: readonly SimSubscription[], atMs: number): void {
    const { line } = to;
    const copy = { ...message, payload: new Uint8Array(message.payload) };
    this.world.scheduleAt(to.process, atMs, `gets ${message.subject} ${checksum(message.payload)}`, () => {
      if (to.line === line) to.receive(copy, targets);
    });
  }

  /** From now on nothing passes between the two, until `join`. */
  cut(a: string, b: string): void {
    this.#cut.add(pair(a, b));
  }
  join(a: string, b: string): void {
    this.#cut.delete(pair(a, b));
  }
  joinAll(): void {
    this.#cut.clear();
  }
  isCut(a: string, b: string): boolean {
    return this.#cut.size > 0 && this.#cut.has(pair(a, b));
  }

  log(name: string, options: LogOptions): MemoryLog {
    const log = this.#logs.get(name) ?? new MemoryLog(name, options, this.#logsMade++);
    this.#logs.set(name, log);
    return log;
  }

  existingLog(name: string): MemoryLog {
    const log = this.#logs.get(name);
    if (log === undefined) throw logGone(name, "open");
    return log;
  }

  deleteLog(name: string): void {
    this.#logs.get(name)?.delete();
    this.#logs.delete(name);
  }

  bucket(name: string): MemoryBucket {
    const bucket = this.#buckets.get(name) ?? new MemoryBucket(name);
    this.#buckets.set(name, bucket);
    return bucket;
  }

  #classOf(message: SimMessage): MessageClass {
    const { subject } = message;
    if (!subject.startsWith("_INBOX.")) return classOfSubject(subject);
    return this.#replyClass.get(subject) ?? "other";
  }

  #oneOfEachQueue(found: readonly SimSubscription[]): SimSubscription[] {
    const chosen = found.filter((one) => one.queue === undefined);
    for (const queue of new Set(found.map((one) => one.queue))) {
      if (queue !== undefined) chosen.push(this.random.pick(found.filter((one) => one.queue === queue)));
    }
    return chosen;
  }

  #byConnection(subscriptions: readonly SimSubscription[]): Map<SimBus, SimSubscription[]> {
    const found = new Map<SimBus, SimSubscription[]>();
    for (const one of subscriptions) found.set(one.bus, [...(found.get(one.bus) ?? []), one]);
    return found;
  }
}

export function classOfSubject(subject: string): MessageClass {
  const [, , scope, room, ...rest] = subject.split(".");
  if (scope === "cluster") {
    if (room === "worker") return "command";
    return rest[0] === "report" ? "report" : "client";
  }
  const last = rest.at(-1);
  if (room === "host") return "command";
  if (room === "splits") return "split";
  if (room === "answer") return "answer";
  if (room === "channel") return last === "data" || last === "credit" ? last : "control";
  if (room === "service") return last === "request" ? "request" : "load";
  return "other";
}

function pair(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
