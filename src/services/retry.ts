/**
 * What becomes of a request that has failed. Pure.
 *
 * Invariants:
 *   T1  Nothing is tried again after its deadline, nor more often than the service allows.
 *   T2  Pauses grow from try to try and are drawn at random, so that clients who failed together do not come back together. A server
 *       that said how long to wait is not asked sooner.
 *   T3  A request of several rows that a handler cannot work on is cut into halves until the rows that are to blame are alone.
 *   T4  What this service cannot do is its fallback's, if it has one; else the rows are refused with the error.
 */
import type { MillraceError } from "../base/errors.js";

export interface FailedRequest {
  readonly rows: number;
  /** This one included. */
  readonly tries: number;
  /** By the monotonic clock; Infinity: none. */
  readonly deadlineMs: number;
}

export interface RetryRules {
  readonly attemptsMax: number;
  readonly pauseMs: number;
  readonly pauseMsMax: number;
}

export type AfterFailure =
  | { readonly kind: "retry"; readonly atMs: number }
  | { readonly kind: "split" }
  | { readonly kind: "give-up" };

/** What one of several rows may be to blame for: a model that throws or takes too long, a server that answers with an error to all of them. */
const OF_SOME_ROW: ReadonlySet<string> = new Set([
  "MILL_SERVICE_FAILED",
  "MILL_SERVICE_TIMEOUT",
  "MILL_ENDPOINT_FAILED",
  "MILL_ENDPOINT_REFUSED",
]);

/** @param random uniform in [0, 1) */
export function afterFailure(
  request: FailedRequest,
  error: MillraceError,
  rules: RetryRules,
  nowMs: number,
  random: number,
): AfterFailure {
  const inTime = nowMs < request.deadlineMs;
  if (error.retry === "backoff" && request.tries < rules.attemptsMax) {
    const atMs = nowMs + Math.max(pauseOf(request.tries, rules, random), waitOf(error));
    if (atMs < request.deadlineMs) return { kind: "retry", atMs };
  }
  if (OF_SOME_ROW.has(error.code) && request.rows > 1 && inTime) return { kind: "split" };
  return { kind: "give-up" };
}

/** From the half of the pause to all of it. */
function pauseOf(tries: number, { pauseMs, pauseMsMax }: RetryRules, random: number): number {
  const longest = Math.min(pauseMs * 2 ** (tries - 1), pauseMsMax);
  return longest * (0.5 + random / 2);
}

function waitOf({ facts: { retryAfterMs } }: MillraceError): number {
  return typeof retryAfterMs === "number" ? retryAfterMs : 0;
}
