/**
 * What the tests of channels share: a clock whose time is the next event, and a bus on it that loses, doubles, delays,
 * reorders and breaks messages, and asks its publishers to wait.
 *
 * Not here: two publishers, queue groups, requests, logs, buckets; a channel uses none of them.
 */
import assert from "node:assert/strict";
import type { Clock, Timer } from "../../../src/base/ports.js";
import type { Bus, BusMessage, Subscription } from "../../../src/bus/bus.js";

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly fn: () => void;
  readonly what: "timer" | "delivery";
}

export class VirtualClock implements Clock {
  #nowMs = 0;
  #order = 0;
  #events: Event[] = [];

  nowMs = () => this.#nowMs;
  monotonicMs = () => this.#nowMs;

  after(delayMs: number, fn: () => void): Timer {
    return this.at("timer", delayMs, fn);
  }

  at(what: Event["what"], delayMs: number, fn: () => void): Timer {
    assert.ok(delayMs >= 0);
    const event = { atMs: this.#nowMs + delayMs, order: this.#order++, fn, what };
    this.#events.push(event);
    return {
      cancel: () => {
        this.#events = this.#events.filter((one) => one !== event);
      },
    };
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.at("delivery", delayMs, resolve));
  }

  /** Timers that somebody waits for; deliveries and sleeps are none. */
  get timers(): number {
    return this.#events.filter((event) => event.what === "timer").length;
  }

  /** Runs events until `holds`; fails when nothing can happen any more, or at `boundMs` of virtual time. */
  async until(what: string, holds: () => boolean, boundMs = 600_000): Promise<void> {
    const endMs = this.#nowMs + boundMs;
    for (;;) {
      await settled();
      if (holds()) return;
      const next = this.#pop();
      assert.ok(next !== undefined, `nothing can happen any more; waited for ${what}`);
      assert.ok(next.atMs <= endMs, `waited ${boundMs} virtual ms for ${what}`);
      this.#nowMs = next.atMs;
      next.fn();
    }
  }

  async advance(ms: number): Promise<void> {
    let over = false;
    this.at("delivery", ms, () => {
      over = true;
    });
    await this.until("time to pass", () => over);
  }

  #pop(): Event | undefined {
    let first: Event | undefined;
    for (const event of this.#events) {
      if (first === undefined || event.atMs < first.atMs || (event.atMs === first.atMs && event.order < first.order)) {
        first = event;
      }
    }
    this.#events = this.#events.filter((event) => event !== first);
    return first;
  }
}

/** Everything that needs no time has happened. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Small and seeded; good enough to choose faults with. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Faults {
  /** Chances, 0 to 1, for each message. */
  readonly lost: number;
  readonly doubled: number;
  readonly broken: number;
  readonly pressed: number;
  /** Each delivery takes up to this long, so messages overtake each other. */
  readonly delayMsMax: number;
}

export const CALM: Faults = { lost: 0, doubled: 0, broken: 0, pressed: 0, delayMsMax: 0 };

export class FaultyBus implements Bus {
  faults: Faults;
  /** Says of a single message whether it is lost, in place of chance. */
  loses: (subject: string, payload: Uint8Array) => boolean | undefined = () => undefined;
  readonly counts = { published: 0, lost: 0, doubled: 0, broken: 0, pressed: 0 };
  /** Every payload that was published, by subject, where a test wants to know. */
  onPublish: (subject: string, payload: Uint8Array) => void = () => {};
  #handlers = new Map<string, Set<(message: BusMessage) => void>>();
  /** By subject: what a subscriber whose event loop is blocked has not taken. */
  #blocked: { subject: string; payload: Uint8Array }[] | undefined;

  constructor(
    private readonly clock: VirtualClock,
    private readonly random: () => number,
    faults: Faults = CALM,
  ) {
    this.faults = faults;
  }

  publish(subject: string, payload: Uint8Array): void | Promise<void> {
    this.counts.published++;
    this.onPublish(subject, payload);
    const copies = this.#copies(subject, payload);
    for (let i = 0; i < copies; i++) this.#send(subject, payload);
    if (this.random() >= this.faults.pressed) return;
    this.counts.pressed++;
    return this.clock.sleep(this.random() * 50);
  }

  async subscribe(subject: string, handler: (message: BusMessage) => void): Promise<Subscription> {
    const handlers = this.#handlers.get(subject) ?? new Set();
    this.#handlers.set(subject, handlers.add(handler));
    return { subject, unsubscribe: () => handlers.delete(handler) };
  }

  /** Nothing is delivered to anybody until `unblock`. */
  block(): void {
    this.#blocked ??= [];
  }

  unblock(): void {
    const waiting = this.#blocked ?? [];
    this.#blocked = undefined;
    for (const { subject, payload } of waiting) this.#deliver(subject, payload);
  }

  #copies(subject: string, payload: Uint8Array): number {
    if (this.loses(subject, payload) ?? this.random() < this.faults.lost) {
      this.counts.lost++;
      return 0;
    }
    if (this.random() >= this.faults.doubled) return 1;
    this.counts.doubled++;
    return 2;
  }

  #send(subject: string, payload: Uint8Array): void {
    const broken = this.random() < this.faults.broken;
    if (broken) this.counts.broken++;
    const arrives = broken ? payload.subarray(0, Math.floor(this.random() * payload.length)) : payload;
    this.clock.at("delivery", this.random() * this.faults.delayMsMax, () => this.#deliver(subject, arrives));
  }

  #deliver(subject: string, payload: Uint8Array): void {
    if (this.#blocked !== undefined) this.#blocked.push({ subject, payload });
    else for (const handler of this.#handlers.get(subject) ?? []) handler({ subject, payload, replyTo: undefined });
  }

  request = () => Promise.reject(new Error("a channel makes no requests"));
  flush = () => Promise.reject(new Error("a channel does not flush"));
  log = () => Promise.reject(new Error("a channel keeps no log"));
  existingLog = () => Promise.reject(new Error("a channel keeps no log"));
  deleteLog = () => Promise.reject(new Error("a channel keeps no log"));
  bucket = () => Promise.reject(new Error("a channel keeps no bucket"));
  close = () => Promise.resolve();
}
