/**
 * Which queued requests make the next call of a handler. Pure.
 *
 * Invariants:
 *   D1  A call holds at most `rowsMax` rows, `bytesMax` bytes and `costMax` cost, unless a single request is larger.
 *   D2  Requests meet in a call only when their buckets are equal.
 *   D3  The oldest request is in the next call; requests of one bucket keep their order.
 *   D4  A call waits for more rows at most until its oldest request has waited `delayMsMax`.
 */
export interface Batchable {
  readonly rows: number;
  readonly bytes: number;
  readonly cost: number;
  readonly bucket: string;
  readonly arrivedMs: number;
}

export interface BatchRules {
  readonly rowsMax: number;
  readonly bytesMax: number;
  readonly costMax: number;
  readonly delayMsMax: number;
}

export type BatchDecision =
  | { readonly kind: "call"; readonly take: readonly number[] }
  | { readonly kind: "wait"; readonly untilMs: number }
  | { readonly kind: "idle" };

export function nextCall(queue: readonly Batchable[], rules: BatchRules, nowMs: number): BatchDecision {
  const oldest = queue[0];
  if (oldest === undefined) return { kind: "idle" };
  const take = [0];
  let { rows, bytes, cost } = oldest;
  for (let i = 1; i < queue.length && rows < rules.rowsMax; i++) {
    const request = queue[i]!;
    if (request.bucket !== oldest.bucket) continue;
    rows += request.rows;
    bytes += request.bytes;
    cost += request.cost;
    // The first one that does not fit ends the call: a later, smaller one must not overtake it (D3).
    if (rows > rules.rowsMax || bytes > rules.bytesMax || cost > rules.costMax) return { kind: "call", take };
    take.push(i);
  }
  const dueMs = oldest.arrivedMs + rules.delayMsMax;
  if (rows < rules.rowsMax && nowMs < dueMs) return { kind: "wait", untilMs: dueMs };
  return { kind: "call", take };
}
