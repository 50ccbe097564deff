/**
 * Makes one of several coordinators lead: holds the lease of the namespace, opens what it is to lead with when it has it, and closes
 * that when it has it no longer. It goes on following then, for as long as its process lives. What is done about the lease decides
 * `lease.ts`; this carries it out.
 *
 * Invariants:
 *   E7  What leads is made for one term, and acts only while `holds` of that term says so. It is closed before another is made here.
 *   E8  One call for the lease is waited for at a time, and none longer than `limits.leaseCallTimeoutMs`; by `open`, which has nothing
 *       to lose yet, as long as other calls of the bus.
 *   E9  Who closes gives the lease back, after what led is closed; so does who cannot begin to lead, and lets others try.
 */
import { MillraceError } from "../base/errors.js";
import type { Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports, Timer } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { Lease } from "../wire/stored.js";
import {
  decideLease,
  follower,
  type Holder,
  holdsLease,
  type LeaseState,
  type LeaseStep,
  type LeaseTimes,
  type LeaseWrite,
  onFailed,
  onLooked,
  onStopped,
  onWritten,
} from "./lease.js";
import { isConflict, LeaseBucket } from "./term.js";

/** What somebody leads with. */
export interface HeldLease {
  readonly term: bigint;
  /** Asked before each act. */
  holds(): boolean;
}

/** What leads, once it is opened: a coordinator. */
export interface Led {
  open(): Promise<void>;
  close(): Promise<void>;
}

export interface LeadershipOptions<L extends Led> extends Holder {
  readonly bus: Bus;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** @param onDeposed to be told that another leads, and its term where that is known */
  make(lease: HeldLease, onDeposed: (by?: bigint) => void): L;
}

interface Leading<L> {
  readonly led: L;
  readonly term: bigint;
  isOpen: boolean;
}

export class Leadership<L extends Led> {
  #state: LeaseState;
  #bucket: LeaseBucket;
  #me: Holder;
  #leading: Leading<L> | undefined;
  /** That of the newest term to open, which ends without an error; what went wrong is kept for `open`. */
  #opening: Promise<MillraceError | undefined> | undefined;
  #found: Lease | undefined;
  #listeners = new Set<() => void>();
  #told = "";
  #patienceMs: number = limits.busRequestTimeoutMs;
  #running: Promise<void> | undefined;
  #closed = false;
  #wake: () => void = () => {};

  constructor(private readonly options: LeadershipOptions<L>) {
    this.#bucket = new LeaseBucket(options.bus, options.namespace);
    this.#me = { holder: options.holder, http: options.http };
    this.#state = follower(options.ports.clock.monotonicMs());
  }

  /** Resolves when it leads, or follows another. @throws {MillraceError} what keeps it from both; nothing is left of it then */
  async open(): Promise<void> {
    try {
      // What is wrong with the servers is said at once to whoever starts this.
      while (this.#found === undefined && this.#opening === undefined) await this.#take(this.#next());
      if (this.#next().kind === "claim") await this.#take(this.#next());
    } catch (error) {
      await this.close();
      throw error;
    }
    this.#patienceMs = limits.leaseCallTimeoutMs;
    this.#running = this.#run();
    const failure = await this.#opening;
    if (failure === undefined) return;
    await this.close();
    throw failure;
  }

  /** What leads here, opened; undefined: another leads, or nobody. */
  leader(): L | undefined {
    const { isOpen, led, term } = this.#leading ?? {};
    return isOpen === true && this.#holds(term!) ? led : undefined;
  }

  /** Who leads, here or elsewhere, as far as known; undefined: nobody does. */
  known(): Lease | undefined {
    return this.#found === undefined || this.#found.holder === "" ? undefined : this.#found;
  }

  /** Calls `listener` when `leader` or `known` has changed. @returns ends that */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** E9 */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#wake();
    await this.#running;
    await this.#stop(this.#now());
  }

  #now(): number {
    return this.options.ports.clock.monotonicMs();
  }

  #holds(term: bigint): boolean {
    const state = this.#state;
    return state.kind === "holds" && state.lease.term === term && holdsLease(state, this.#now(), TIMES);
  }

  #next(): LeaseStep {
    return decideLease(this.#state, this.#me, this.#now(), TIMES);
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      try {
        await this.#take(this.#next());
      } catch (error) {
        this.options.ports.log.debug("the lease cannot be reached", { error });
      }
    }
  }

  /** @throws {MillraceError} the lease cannot be reached; what is next was settled */
  async #take(step: LeaseStep): Promise<void> {
    if (step.kind === "wait") return this.#wait(step.untilMs);
    if (step.kind === "stop") {
      this.options.ports.log.warn("the lease could not be renewed in time; this coordinator leads no more");
      return this.#stop(this.#now());
    }
    const before = this.#state;
    const sentMs = this.#now();
    try {
      if (step.kind === "look") await this.#look(before);
      else await this.#write(before, step, sentMs);
    } catch (error) {
      // Who was deposed meanwhile has settled already what is next.
      if (this.#state === before) this.#state = onFailed(before, this.#now(), TIMES);
      if (!isConflict(error)) throw error;
    }
    this.#tell();
  }

  async #look(before: LeaseState): Promise<void> {
    const found = await this.#inTime(this.#bucket.read());
    if (this.#state !== before) return;
    this.#found = found?.lease;
    this.#state = onLooked(before, this.#me, found, this.#now(), TIMES);
    if (this.#state.kind === "follows" && before.kind === "holds") {
      this.options.ports.log.warn("another has the lease; this coordinator leads no more", { ...found?.lease });
      await this.#closeLed();
    }
  }

  async #write(before: LeaseState, write: LeaseWrite, sentMs: number): Promise<void> {
    const revision = await this.#inTime(this.#bucket.write(write.lease, write.over));
    if (this.#state !== before) return;
    this.#found = write.lease;
    this.#state = onWritten(before, write, revision, sentMs, this.#now(), TIMES);
    if (this.#state.kind === "follows") await this.#closeLed();
    else if (write.kind === "claim") this.#lead(write.lease.term);
  }

  #lead(term: bigint): void {
    const { make, ports } = this.options;
    const lease = { term, holds: () => this.#holds(term) };
    const led = make(lease, (by) => {
      if (this.#leading === leading) void this.#stop(this.#now() + limits.leaseMs, by);
    });
    const leading: Leading<L> = { led, term, isOpen: false };
    this.#leading = leading;
    const open = async () => {
      try {
        await led.open();
        leading.isOpen = true;
        this.#tell();
        return undefined;
      } catch (cause) {
        if (this.#leading !== leading) return undefined; // it was closed while it opened
        const error = MillraceError.from(cause);
        ports.log.warn("it cannot begin to lead; others may try", { term, error });
        await this.#stop(this.#now() + limits.leaseMs);
        return error;
      }
    };
    this.#opening = open();
  }

  /** E9. Follows from now on. @param atMs it claims nothing before */
  async #stop(atMs: number, by?: bigint): Promise<void> {
    const before = this.#state;
    const held = before.kind === "holds" && holdsLease(before, this.#now(), TIMES) ? before : undefined;
    this.#state = onStopped(before, atMs, by);
    if (before.kind === "holds") this.#found = undefined;
    this.#wake();
    await this.#closeLed();
    if (held !== undefined) await this.#giveBack(held.lease, held.revision);
    this.#tell();
  }

  async #closeLed(): Promise<void> {
    const leading = this.#leading;
    this.#leading = undefined;
    this.#tell();
    await leading?.led.close();
  }

  async #giveBack(lease: Lease, revision: bigint): Promise<void> {
    try {
      await this.#inTime(this.#bucket.write({ ...lease, holder: "", http: "" }, revision));
    } catch (error) {
      this.options.ports.log.debug("the lease was not given back; it runs out", { error });
    }
  }

  /** E8. What comes later is found by looking. */
  async #inTime<T>(call: Promise<T>): Promise<T> {
    let timer: Timer | undefined;
    const late = new Promise<never>((_, reject) => {
      const message = `the lease of ${this.options.namespace}: NATS did not answer within ${this.#patienceMs} ms.`;
      const error = () => new MillraceError("MILL_BUS_TIMEOUT", message);
      timer = this.options.ports.clock.after(this.#patienceMs, () => reject(error()));
    });
    try {
      return await Promise.race([call, late]);
    } finally {
      timer?.cancel();
    }
  }

  #wait(untilMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.options.ports.clock.after(Math.max(untilMs - this.#now(), 0), () => resolve());
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** Renewals are no news. */
  #tell(): void {
    const known = this.known();
    const news = `${this.leader() !== undefined} ${known?.term} ${known?.holder}`;
    if (news === this.#told) return;
    this.#told = news;
    for (const listener of this.#listeners) listener();
  }
}

const TIMES: LeaseTimes = {
  renewMs: limits.leaseRenewMs,
  lookMs: limits.leaseLookMs,
  retryMs: limits.leaseRetryMs,
  holdMs: limits.leaseHoldMs,
  leaseMs: limits.leaseMs,
};
