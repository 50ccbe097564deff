/**
 * What the connections of one in-process bus share: subscriptions, the queue of deliveries, logs and buckets.
 *
 * Deliveries run in microtasks, in the order of publication over all connections, so a run is the same every time.
 * After `TURN_MESSAGES` of them, or `TURN_MS` spent in handlers, the rest waits for a timer of the clock port:
 * without that, two actors that answer each other would keep the event loop from files, pipes and timers for ever.
 */
import type { Ports } from "../base/ports.js";
import type { BusMessage, LogOptions } from "./bus.js";
import { deliver, type Handler } from "./delivery.js";
import { MemoryBucket } from "./memory-bucket.js";
import { logGone, MemoryLog } from "./memory-log.js";
import { SubjectIndex } from "./subject-index.js";

const TURN_MESSAGES = 256;
const TURN_MS = 10;

export interface MemorySubscription {
  readonly handler: Handler;
  readonly queue: string | undefined;
  active: boolean;
}

interface Delivery {
  readonly to: readonly MemorySubscription[];
  readonly message: BusMessage;
  readonly done: () => void;
}

export class MemorySystem {
  readonly subscriptions = new SubjectIndex<MemorySubscription>();
  private readonly logs = new Map<string, MemoryLog>();
  private readonly buckets = new Map<string, MemoryBucket>();
  private waiting: Delivery[] = [];
  private logsMade = 0;
  private scheduled = false;
  private turnMessages = 0;
  private turnMs = 0;

  constructor(private readonly ports: Ports) {}

  /** Queues `message` for its subscribers of now. @returns whether there is one; `done` is called only then */
  send(message: BusMessage, done: () => void): boolean {
    const to = this.oneOfEachQueue(this.subscriptions.find(message.subject));
    if (to.length === 0) return false;
    this.waiting.push({ to, message, done });
    this.schedule();
    return true;
  }

  /** The log of that name; whoever is first decides its options. */
  log(name: string, options: LogOptions): MemoryLog {
    const log = this.logs.get(name) ?? new MemoryLog(name, options, this.logsMade++);
    this.logs.set(name, log);
    return log;
  }

  existingLog(name: string): MemoryLog {
    const log = this.logs.get(name);
    if (log === undefined) throw logGone(name, "open");
    return log;
  }

  deleteLog(name: string): void {
    this.logs.get(name)?.delete();
    this.logs.delete(name);
  }

  bucket(name: string): MemoryBucket {
    const bucket = this.buckets.get(name) ?? new MemoryBucket(name);
    this.buckets.set(name, bucket);
    return bucket;
  }

  private oneOfEachQueue(found: MemorySubscription[]): MemorySubscription[] {
    if (found.every((subscription) => subscription.queue === undefined)) return found;
    const groups = new Map<string, MemorySubscription[]>();
    for (const subscription of found) {
      if (subscription.queue === undefined) continue;
      const members = groups.get(subscription.queue);
      if (members === undefined) groups.set(subscription.queue, [subscription]);
      else members.push(subscription);
    }
    const chosen = found.filter((subscription) => subscription.queue === undefined);
    for (const members of groups.values()) {
      const member = members[Math.floor(this.ports.random.next() * members.length)];
      if (member !== undefined) chosen.push(member);
    }
    return chosen;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    if (this.turnMessages < TURN_MESSAGES && this.turnMs < TURN_MS) {
      queueMicrotask(() => this.drain());
      return;
    }
    this.ports.clock.after(0, () => {
      this.turnMessages = 0;
      this.turnMs = 0;
      this.drain();
    });
  }

  private drain(): void {
    const from = this.ports.clock.monotonicMs();
    const now = this.waiting.splice(0, TURN_MESSAGES);
    for (const delivery of now) {
      for (const subscription of delivery.to) {
        if (subscription.active) deliver(subscription.handler, delivery.message, this.ports.log);
      }
      delivery.done();
    }
    this.turnMessages += now.length;
    this.turnMs += this.ports.clock.monotonicMs() - from;
    this.scheduled = false;
    if (this.waiting.length > 0) this.schedule();
  }
}
