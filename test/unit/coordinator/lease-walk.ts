/**
 * Several processes that want one lease, each with a clock of its own rate and start, and a server that replaces one value by
 * compare-and-set. Calls are late, lost on the way there or back, or carried out long after they were given up; processes stand still.
 * After every event it is looked at who would say of itself that it holds the lease.
 */
import assert from "node:assert/strict";
import {
  decideLease,
  follower,
  holdsLease,
  type LeaseState,
  type LeaseTimes,
  type LeaseWrite,
  onFailed,
  onLooked,
  onStopped,
  onWritten,
} from "../../../src/coordinator/lease.js";
import type { FoundLease } from "../../../src/coordinator/term.js";
import { SimRandom } from "../../sim/sim-random.js";

export const TIMES: LeaseTimes = { renewMs: 500, lookMs: 250, retryMs: 100, holdMs: 1_800, leaseMs: 2_000 };
const CALL_TIMEOUT_MS = 600;
/** Rates of clocks: the fastest runs 6 % faster than the slowest. */
const RATE: readonly [number, number] = [0.97, 1.03];

interface Member {
  readonly me: { readonly holder: string; readonly http: string };
  readonly rate: number;
  readonly startMs: number;
  state: LeaseState;
  isPaused: boolean;
  /** What it would have done or been told meanwhile. */
  kept: (() => void)[];
  /** Its newest call; answers of others are not heard. */
  call: number;
  isWaiting: boolean;
}

export class LeaseWalk {
  readonly random: SimRandom;
  readonly members: Member[];
  nowMs = 0;
  /** Claims that the server has taken. */
  readonly terms: bigint[] = [];
  /** Part of the time in which somebody held it, and longest time in which nobody did, since `calm`. */
  longestGapMs = 0;
  isCalm = false;
  pauses = 0;
  lost = 0;
  #found: FoundLease | undefined;
  #queue: { readonly atMs: number; readonly fn: () => void }[] = [];
  #heldMs = 0;

  constructor(seed: number, count: number) {
    this.random = new SimRandom(`lease ${seed}`);
    this.members = Array.from({ length: count }, (_, i) => ({
      me: { holder: `c${i}`, http: "" },
      rate: RATE[0] + this.random.next() * (RATE[1] - RATE[0]),
      startMs: this.random.between(0, 1e9),
      state: follower(0),
      isPaused: false,
      kept: [],
      call: 0,
      isWaiting: false,
    }));
    for (const member of this.members) {
      member.state = follower(this.local(member));
      this.#at(this.random.between(0, 1_000), () => this.#turn(member));
    }
  }

  local({ startMs, rate }: Member): number {
    return startMs + this.nowMs * rate;
  }

  holders(): Member[] {
    return this.members.filter((member) => holdsLease(member.state, this.local(member), TIMES));
  }

  run(untilMs: number): void {
    for (;;) {
      this.#queue.sort((a, b) => a.atMs - b.atMs);
      const next = this.#queue[0];
      if (next === undefined || next.atMs > untilMs) break;
      this.#queue.shift();
      this.nowMs = next.atMs;
      next.fn();
      this.#check();
    }
    this.nowMs = untilMs;
    this.#check();
  }

  pause(member: Member, ms: number): void {
    if (member.isPaused) return;
    member.isPaused = true;
    this.pauses += 1;
    this.#at(ms, () => this.resume(member));
  }

  resume(member: Member): void {
    member.isPaused = false;
    for (const fn of member.kept.splice(0)) fn();
  }

  /** It gives the lease back, if it holds it. */
  release(member: Member): void {
    const { state } = member;
    if (state.kind !== "holds") return;
    member.state = onStopped(state, this.local(member) + TIMES.leaseMs);
    this.#toServer(
      () => void this.#write({ kind: "renew", lease: { ...state.lease, holder: "" }, over: state.revision }),
    );
  }

  #check(): void {
    const holders = this.holders().map(({ me }) => me.holder);
    assert.ok(holders.length <= 1, `at ${this.nowMs} ms ${holders.join(" and ")} hold it (E4)`);
    if (holders.length === 1 || !this.isCalm) this.#heldMs = this.nowMs;
    else this.longestGapMs = Math.max(this.longestGapMs, this.nowMs - this.#heldMs);
  }

  #at(delayMs: number, fn: () => void): void {
    this.#queue.push({ atMs: this.nowMs + delayMs, fn });
  }

  /** As its process: when it does not stand still. */
  #as(member: Member, fn: () => void): void {
    if (member.isPaused) member.kept.push(() => this.#as(member, fn));
    else fn();
  }

  #turn(member: Member): void {
    this.#as(member, () => {
      const now = this.local(member);
      const step = decideLease(member.state, member.me, now, TIMES);
      if (step.kind === "wait") this.#at((step.untilMs - now) / member.rate + 0.01, () => this.#turn(member));
      else if (step.kind === "stop") {
        member.state = onStopped(member.state, now);
        this.#at(0, () => this.#turn(member));
      } else this.#ask(member, step);
    });
  }

  #ask(member: Member, step: { readonly kind: "look" } | LeaseWrite): void {
    const call = ++member.call;
    const before = member.state;
    const sentMs = this.local(member);
    const over = (change: () => LeaseState) => {
      this.#as(member, () => {
        if (member.call !== call) return;
        member.call += 1;
        if (member.state === before) member.state = change();
        this.#turn(member);
      });
    };
    const failed = () => over(() => onFailed(before, this.local(member), TIMES));
    this.#at(CALL_TIMEOUT_MS / member.rate, failed);
    if (step.kind === "look") {
      this.#toServer(() => {
        const found = this.#found;
        this.#back(() => over(() => onLooked(before, member.me, found, this.local(member), TIMES)));
      });
    } else {
      this.#toServer(() => {
        const revision = this.#write(step);
        if (revision === undefined) this.#back(failed);
        else this.#back(() => over(() => onWritten(before, step, revision, sentMs, this.local(member), TIMES)));
      });
    }
  }

  #write({ kind, lease, over }: LeaseWrite): bigint | undefined {
    if ((this.#found?.revision ?? 0n) !== over) return undefined;
    if (kind === "claim") {
      assert.ok(lease.term > (this.terms.at(-1) ?? 0n), "terms only grow (E1)");
      this.terms.push(lease.term);
    }
    this.#found = { lease, revision: over + 1n };
    return over + 1n;
  }

  #toServer(arrive: () => void): void {
    if (!this.#isLost()) this.#at(this.#wayMs(), arrive);
  }

  #back(arrive: () => void): void {
    if (!this.#isLost()) this.#at(this.#wayMs(), arrive);
  }

  #isLost(): boolean {
    const isLost = !this.isCalm && this.random.chance(0.1);
    if (isLost) this.lost += 1;
    return isLost;
  }

  /** Mostly short; sometimes longer than anybody waits. */
  #wayMs(): number {
    if (this.isCalm || this.random.chance(0.7)) return this.random.logBetween(0.1, 20);
    return this.random.logBetween(20, 3_000);
  }
}
