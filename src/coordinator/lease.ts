/**
 * Decides what a coordinator does about the lease of its namespace: looks, claims the next term, renews, stops.
 *
 * Pure: it reads no clock and sends nothing; `leadership.ts` carries the steps out. A lease is one value with a revision, replaced by
 * compare-and-set. Times are those of one process's own monotonic clock; no two clocks are compared.
 *
 * Invariants:
 *   E1  Terms only grow, and each is claimed by one process: a claim replaces the very revision that its claimer has seen.
 *   E2  A leader holds the lease for `holdMs` from the moment at which it *sent* the newest write of which it knows that it was
 *       taken. What it learns later than that does not bring the term back.
 *   E3  A follower claims what it has itself seen unchanged for `leaseMs` (longer than `holdMs`) since it *received* it; or, at
 *       once, what nobody holds: what was given back, what names itself, or nothing at all.
 *   E4  By E1 to E3 no two hold it at one moment, wherever processes stand still and however long calls are on their way, as
 *       long as no clock runs faster than another by more than `leaseMs` over `holdMs`. (Terms guard what even that would break.)
 *   E5  Whether it holds is a question about now, asked before each act. One that stood still finds that it holds no longer before it
 *       does anything.
 *   E6  A write whose answer was lost is found by looking: it is recognised by its holder and term, and proves nothing about time.
 *
 * Method: leases, Gray and Cheriton 1989; the sender's clock counts from the sending, the others' from the receipt.
 */
import type { Lease } from "../wire/stored.js";
import type { FoundLease } from "./term.js";

export interface LeaseTimes {
  readonly renewMs: number;
  readonly lookMs: number;
  readonly retryMs: number;
  readonly holdMs: number;
  readonly leaseMs: number;
}

interface Follows {
  readonly kind: "follows";
  /** What it saw last, and since when it has been so; undefined: it has not looked. */
  readonly seen: { readonly found: FoundLease | undefined; readonly sinceMs: number } | undefined;
  /** It must look before it claims anything. */
  readonly mustLook: boolean;
  /** Its next look. */
  readonly nextMs: number;
  /** The highest term that it has heard of, wherever. */
  readonly newest: bigint;
}

interface Holds {
  readonly kind: "holds";
  readonly lease: Lease;
  readonly revision: bigint;
  /** When the newest write was sent of which is known that it was taken. */
  readonly provenMs: number;
  /** The outcome of a renewal is not known. */
  readonly mustLook: boolean;
  readonly nextMs: number;
}

export type LeaseState = Follows | Holds;

export type LeaseWrite = {
  readonly kind: "claim" | "renew";
  readonly lease: Lease;
  readonly over: bigint;
};

export type LeaseStep =
  | { readonly kind: "look" }
  | LeaseWrite
  /** It holds no longer. */
  | { readonly kind: "stop" }
  | { readonly kind: "wait"; readonly untilMs: number };

/** Of this process: a name that no other has, and its address for people. */
export type Holder = Pick<Lease, "holder" | "http">;

/** One that knows nothing; it looks at `atMs`, and not before. */
export function follower(atMs: number, newest = 0n): LeaseState {
  return { kind: "follows", seen: undefined, mustLook: true, nextMs: atMs, newest };
}

export function decideLease(state: LeaseState, me: Holder, nowMs: number, times: LeaseTimes): LeaseStep {
  const due = nowMs >= state.nextMs;
  if (state.kind === "holds") {
    const endMs = state.provenMs + times.holdMs;
    if (nowMs >= endMs) return { kind: "stop" };
    if (!due) return { kind: "wait", untilMs: Math.min(state.nextMs, endMs) };
    if (state.mustLook) return { kind: "look" };
    const lease = { ...state.lease, ...me, counter: state.lease.counter + 1n };
    return { kind: "renew", lease, over: state.revision };
  }
  const { seen, mustLook, newest } = state;
  if (seen === undefined || mustLook) return due ? { kind: "look" } : { kind: "wait", untilMs: state.nextMs };
  const freeMs = isFree(seen.found, me) ? nowMs : seen.sinceMs + times.leaseMs;
  if (nowMs >= freeMs) {
    const over = seen.found?.revision ?? 0n;
    return { kind: "claim", lease: { ...me, term: newest + 1n, counter: 0n }, over };
  }
  return due ? { kind: "look" } : { kind: "wait", untilMs: Math.min(state.nextMs, freeMs) };
}

/** E3 */
function isFree(found: FoundLease | undefined, me: Holder): boolean {
  return found === undefined || found.lease.holder === "" || found.lease.holder === me.holder;
}

/** E5 */
export function holdsLease(state: LeaseState, nowMs: number, times: LeaseTimes): boolean {
  return state.kind === "holds" && nowMs < state.provenMs + times.holdMs;
}

/** It has looked. @param nowMs when the answer was there */
export function onLooked(
  state: LeaseState,
  me: Holder,
  found: FoundLease | undefined,
  nowMs: number,
  times: LeaseTimes,
): LeaseState {
  if (state.kind === "holds" && holdsLease(state, nowMs, times)) {
    const isOwn = found?.lease.holder === me.holder && found.lease.term === state.lease.term;
    if (isOwn) return { ...state, ...found, mustLook: false, nextMs: nowMs }; // E6
  }
  const heard = state.kind === "holds" ? state.lease.term : state.newest;
  const term = found?.lease.term ?? 0n;
  const before = state.kind === "follows" ? state.seen : undefined;
  const isSame = before !== undefined && before.found?.revision === found?.revision;
  const seen = isSame ? before : { found, sinceMs: nowMs };
  const newest = term > heard ? term : heard;
  return { kind: "follows", seen, mustLook: false, nextMs: nowMs + times.lookMs, newest };
}

/** A write was taken. @param sentMs when it was sent @param nowMs when the answer was there */
export function onWritten(
  state: LeaseState,
  { kind, lease }: LeaseWrite,
  revision: bigint,
  sentMs: number,
  nowMs: number,
  times: LeaseTimes,
): LeaseState {
  const inTime = state.kind === "holds" ? holdsLease(state, nowMs, times) : kind === "claim"; // E2
  if (!inTime || nowMs >= sentMs + times.holdMs) return follower(nowMs, lease.term);
  return { kind: "holds", lease, revision, provenMs: sentMs, mustLook: false, nextMs: sentMs + times.renewMs };
}

/** A call failed, or found another revision: nobody knows what is there. */
export function onFailed(state: LeaseState, nowMs: number, times: LeaseTimes): LeaseState {
  return { ...state, mustLook: true, nextMs: nowMs + times.retryMs };
}

/** Somebody else leads, was met or was found. It follows; @param atMs looks then, and not before */
export function onStopped(state: LeaseState, atMs: number, by = 0n): LeaseState {
  const own = state.kind === "holds" ? state.lease.term : state.newest;
  return follower(atMs, by > own ? by : own);
}
