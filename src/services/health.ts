/**
 * Whether an instance fails more often than its peers do: a black hole answers fast with errors, so it looks idle, and a balancer
 * that looks at waits alone would send it everything. Pure.
 *
 * Invariants:
 *   E1  One is put aside only where its peers do better: what fails everywhere is not an instance's fault.
 *   E2  One that was put aside gets a single request when its time is over. That one answered well, it is as good as the others;
 *       else it is put aside for longer.
 */
import { limits } from "../base/limits.js";

export interface Health {
  /** Requests that came to an end there. */
  readonly outcomes: number;
  /** Share of failures, the newest ones weighing most. */
  readonly failing: number;
  /** Put aside until then, by the monotonic clock; 0: it is not. */
  readonly asideUntilMs: number;
  /** Times in a row that it was put aside. */
  readonly asideTimes: number;
}

export const HEALTHY: Health = { outcomes: 0, failing: 0, asideUntilMs: 0, asideTimes: 0 };

const SMOOTHING = 0.2;
const OUTCOMES_MIN = 5;
const FAILING_MIN = 0.5;
const PEERS_FAILING_MAX = 0.1;

/** After one more outcome there. @param peers those that take requests */
export function afterOutcome(own: Health, failed: boolean, peers: readonly Health[], nowMs: number): Health {
  if (own.asideUntilMs > 0) {
    // On probation: the first outcome after its time decides. Earlier ones were sent before it was put aside.
    if (nowMs < own.asideUntilMs) return own;
    return failed ? aside(own, nowMs) : HEALTHY;
  }
  const failing = own.failing + SMOOTHING * ((failed ? 1 : 0) - own.failing);
  const next = { ...own, outcomes: own.outcomes + 1, failing };
  return failed && next.outcomes >= OUTCOMES_MIN && failing >= FAILING_MIN && doBetter(peers)
    ? aside(next, nowMs)
    : next;
}

/** E1 */
function doBetter(peers: readonly Health[]): boolean {
  const known = peers.filter(({ outcomes, asideUntilMs }) => outcomes >= OUTCOMES_MIN && asideUntilMs === 0);
  if (known.length === 0) return false;
  const shares = known.map(({ failing }) => failing).sort((a, b) => a - b);
  return shares[Math.floor(shares.length / 2)]! <= PEERS_FAILING_MAX;
}

function aside(own: Health, nowMs: number): Health {
  const ms = Math.min(limits.asideMs * 2 ** own.asideTimes, limits.asideMsMax);
  return { ...own, asideUntilMs: nowMs + ms, asideTimes: own.asideTimes + 1 };
}

/** How many requests it may have now: none, one on probation, or as many as any. */
export function standing(health: Health, nowMs: number): "aside" | "probation" | "good" {
  if (health.asideUntilMs === 0) return "good";
  return nowMs < health.asideUntilMs ? "aside" : "probation";
}
