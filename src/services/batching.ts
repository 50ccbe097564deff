/**
 * Which queued requests make the next call of a model. Pure.
 *
 * Invariants:
 *   D1  A call holds at most `rowsMax` rows, unless a single request is larger.
 *   D2  Requests meet in a call only when their buckets are equal.
 *   D3  The oldest request is in the next call; requests of one bucket keep their order.
 *   D4  A call waits for more rows at most until its oldest request has waited `delayMsMax`.
 */
export interface QueuedRequest {
  readonly rows: number;
  readonly bucket: string;
  readonly arrivedMs: number;
}

export interface BatchRules {
  readonly rowsMax: number;
  readonly delayMsMax: number;
}

export type BatchDecision =
  | { readonly kind: "call"; readonly take: readonly number[] }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "idle" };

export function nextCall(queue: readonly QueuedRequest[], rules: BatchRules, nowMs: number): BatchDecision {
  const oldest = queue[0];
  if (oldest === undefined) return { kind: "idle" };
  const take = [0];
  let rows = oldest.rows;
  for (let i = 1; i < queue.length && rows < rules.rowsMax; i++) {
    const request = queue[i]!;
    if (request.bucket !== oldest.bucket) continue;
    // The first one that does not fit ends the call: a later, smaller one must not overtake it (D3).
    if (rows + request.rows > rules.rowsMax) return { kind: "call", take };
    take.push(i);
    rows += request.rows;
  }
  const dueMs = oldest.arrivedMs + rules.delayMsMax;
  if (rows < rules.rowsMax && nowMs < dueMs) return { kind: "wait", untilMs: dueMs };
  return { kind: "call", take };
}
