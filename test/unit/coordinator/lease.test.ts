import assert from "node:assert/strict";
import { limits } from "../../../src/base/limits.js";
import {
  decideLease,
  follower,
  holdsLease,
  type LeaseState,
  type LeaseWrite,
  onFailed,
  onLooked,
  onStopped,
  onWritten,
} from "../../../src/coordinator/lease.js";
import type { FoundLease } from "../../../src/coordinator/term.js";
import { LeaseWalk, TIMES } from "./lease-walk.js";

const me = { holder: "me", http: "http://me" };
const { renewMs, lookMs, retryMs, holdMs, leaseMs } = TIMES;

const found = (holder: string, term: bigint, revision: bigint): FoundLease => ({
  lease: { term, holder, http: "", counter: 0n },
  revision,
});
const seen = (what: FoundLease | undefined, nowMs: number, before = follower(0)) =>
  onLooked(before, me, what, nowMs, TIMES);
const next = (state: LeaseState, nowMs: number) => decideLease(state, me, nowMs, TIMES);
const claimOf = (term: bigint, over: bigint): LeaseWrite => ({
  kind: "claim",
  lease: { ...me, term, counter: 0n },
  over,
});
/** Leads with term 3 since 1000 ms; revision 8. */
const leads = onWritten(seen(undefined, 990), claimOf(3n, 7n), 8n, 1_000, 1_005, TIMES);

describe("coordinator/lease: a follower", () => {
  it("looks before it claims anything", () => {
    assert.deepEqual(next(follower(5), 5), { kind: "look" });
    assert.deepEqual(next(follower(5), 4), { kind: "wait", untilMs: 5 });
  });

  it("claims at once what nobody holds: no lease, one that was given back, one of its own (E3)", () => {
    assert.deepEqual(next(seen(undefined, 10), 10), claimOf(1n, 0n));
    assert.deepEqual(next(seen(found("", 4n, 9n), 10), 10), claimOf(5n, 9n));
    assert.deepEqual(next(seen(found("me", 4n, 9n), 10), 10), claimOf(5n, 9n));
  });

  it(`claims the next term over the revision that it has seen unchanged for ${leaseMs} ms, and not before (E1, E3)`, () => {
    let state = seen(found("other", 4n, 9n), 10);
    for (let now = 10; now < 10 + leaseMs; now += 50) {
      const step = next(state, now);
      assert.ok(step.kind === "look" || step.kind === "wait", `${step.kind} at ${now}`);
      if (step.kind === "look") state = seen(found("other", 4n, 9n), now, state);
      else assert.ok(step.untilMs <= 10 + leaseMs && step.untilMs <= now + lookMs);
    }
    assert.deepEqual(next(state, 10 + leaseMs), claimOf(5n, 9n));
  });

  it("begins anew to count with every renewal that it sees (E3)", () => {
    const state = seen(found("other", 4n, 10n), 1_500, seen(found("other", 4n, 9n), 10));
    assert.notEqual(next(state, 10 + leaseMs).kind, "claim");
    assert.equal(next(state, 1_500 + leaseMs).kind, "claim");
  });

  it("looks again after a claim that failed, and its time goes on if nothing has changed", () => {
    const failed = onFailed(seen(found("other", 4n, 9n), 10), 2_010, TIMES);
    assert.deepEqual(next(failed, 2_010), { kind: "wait", untilMs: 2_010 + retryMs });
    assert.deepEqual(next(failed, 2_110), { kind: "look" });
    assert.equal(next(seen(found("other", 4n, 9n), 2_115, failed), 2_115).kind, "claim");
    assert.notEqual(next(seen(found("third", 5n, 10n), 2_115, failed), 2_115).kind, "claim");
  });

  it("claims a term above any that it has heard of, also where the lease itself was lost (E1)", () => {
    assert.deepEqual(next(seen(undefined, 20, onStopped(leads, 20, 7n)), 20), claimOf(8n, 0n));
    assert.deepEqual(next(seen(undefined, 20, onStopped(leads, 20)), 20), claimOf(4n, 0n));
  });
});

describe("coordinator/lease: a leader", () => {
  it(`holds for ${holdMs} ms from the sending of its newest write, and not from its answer (E2)`, () => {
    assert.equal(holdsLease(leads, 1_000 + holdMs - 1, TIMES), true);
    assert.equal(holdsLease(leads, 1_000 + holdMs, TIMES), false);
    assert.deepEqual(next(leads, 1_000 + holdMs), { kind: "stop" });
  });

  it(`renews every ${renewMs} ms what it wrote last`, () => {
    assert.deepEqual(next(leads, 1_000), { kind: "wait", untilMs: 1_000 + renewMs });
    const renew = { kind: "renew", lease: { ...me, term: 3n, counter: 1n }, over: 8n } as const;
    assert.deepEqual(next(leads, 1_500), renew);
    const renewed = onWritten(leads, renew, 9n, 1_500, 1_510, TIMES);
    assert.equal(holdsLease(renewed, 1_500 + holdMs - 1, TIMES), true);
    assert.deepEqual(next(renewed, 1_600), { kind: "wait", untilMs: 2_000 });
  });

  it("an answer that comes when its time is over does not bring the term back; it claims the next one (E2)", () => {
    const renew = next(leads, 2_700) as LeaseWrite;
    const late = onWritten(leads, renew, 9n, 2_700, 1_000 + holdMs, TIMES);
    assert.equal(late.kind, "follows");
    assert.deepEqual(next(late, 2_800), { kind: "look" });
    assert.deepEqual(next(seen(found("me", 3n, 9n), 2_810, late), 2_810), claimOf(4n, 9n));
  });

  it("a claim whose answer took longer than it would hold begins nothing (E2)", () => {
    const state = onWritten(seen(undefined, 0), claimOf(1n, 0n), 1n, 10, 10 + holdMs, TIMES);
    assert.equal(holdsLease(state, 10 + holdMs, TIMES), false);
    assert.equal(state.kind, "follows");
  });

  it("finds a renewal whose answer was lost by looking, renews over it, and has gained no time by that (E6)", () => {
    const unsure = onFailed(leads, 2_100, TIMES);
    assert.deepEqual(next(unsure, 2_200), { kind: "look" });
    const sure = onLooked(unsure, me, found("me", 3n, 9n), 2_205, TIMES);
    const step = next(sure, 2_205);
    assert.deepEqual(step, { kind: "renew", lease: { ...me, term: 3n, counter: 1n }, over: 9n });
    assert.equal(holdsLease(sure, 1_000 + holdMs, TIMES), false);
  });

  it("follows when it finds another's lease, or one of its own of another term (E1)", () => {
    for (const other of [found("other", 4n, 9n), found("me", 4n, 9n), found("", 3n, 9n), undefined]) {
      assert.equal(onLooked(onFailed(leads, 1_200, TIMES), me, other, 1_300, TIMES).kind, "follows");
    }
  });

  it("one that stood still stops before anything else, however much it had to do (E5)", () => {
    for (const state of [leads, onFailed(leads, 1_500, TIMES)]) {
      assert.equal(holdsLease(state, 60_000, TIMES), false);
      assert.deepEqual(next(state, 60_000), { kind: "stop" });
    }
  });

  it("the limits are those of the tests", () => {
    const { leaseRenewMs, leaseLookMs, leaseRetryMs, leaseHoldMs } = limits;
    assert.deepEqual([leaseRenewMs, leaseLookMs, leaseRetryMs, leaseHoldMs, limits.leaseMs], Object.values(TIMES));
  });
});

describe("coordinator/lease: random walks", () => {
  it("no two hold it at one moment, whoever stands still and whatever is lost or late; in the calm one does (E1 to E6)", () => {
    const sum = { terms: 0, pauses: 0, lost: 0 };
    for (let seed = 1; seed <= 150; seed++) {
      const walk = new LeaseWalk(seed, 2 + (seed % 3));
      for (let i = 0; i < 60; i++) {
        walk.run(walk.nowMs + walk.random.logBetween(10, 2_000));
        const victim = walk.random.pick(
          walk.holders().length > 0 && walk.random.chance(0.7) ? walk.holders() : walk.members,
        );
        if (walk.random.chance(0.5)) walk.pause(victim, walk.random.logBetween(10, 6_000));
        else if (walk.random.chance(0.2) && !victim.isPaused) walk.release(victim);
      }
      walk.run(walk.nowMs + 6_000);
      walk.isCalm = true;
      walk.run(walk.nowMs + 3_000);
      const terms = walk.terms.length;
      walk.run(walk.nowMs + 20_000);
      assert.equal(walk.holders().length, 1, `seed ${seed}: somebody leads in the calm`);
      assert.equal(walk.terms.length, terms, `seed ${seed}: who leads in the calm goes on`);
      assert.ok(walk.longestGapMs < 3_000, `seed ${seed}: nobody led for ${walk.longestGapMs} ms of the calm`);
      sum.terms += terms;
      sum.pauses += walk.pauses;
      sum.lost += walk.lost;
    }
    assert.ok(sum.terms > 1_000 && sum.pauses > 3_000 && sum.lost > 2_000, JSON.stringify(sum));
  });

  it("one that is killed is followed within three seconds", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const walk = new LeaseWalk(seed, 3);
      walk.isCalm = true;
      walk.run(5_000 + seed * 37);
      const [victim] = walk.holders();
      const killedMs = walk.nowMs;
      walk.pause(victim!, Number.MAX_SAFE_INTEGER);
      const other = () => walk.holders().some((member) => member !== victim);
      while (!other()) walk.run(walk.nowMs + 10);
      assert.ok(walk.nowMs - killedMs < 3_000, `seed ${seed}: ${walk.nowMs - killedMs} ms`);
    }
  });

  it("one that gives it back is followed at the next look", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const walk = new LeaseWalk(seed, 2);
      walk.isCalm = true;
      walk.run(5_000 + seed * 37);
      const [victim] = walk.holders();
      const releasedMs = walk.nowMs;
      walk.release(victim!);
      while (walk.holders().length === 0) walk.run(walk.nowMs + 10);
      assert.notEqual(walk.holders()[0], victim);
      assert.ok(walk.nowMs - releasedMs < lookMs + 100, `seed ${seed}: ${walk.nowMs - releasedMs} ms`);
    }
  });
});
