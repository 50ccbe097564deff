/** Requests that wait in one instance, oldest first. What leaves is in no count any more, whichever way it leaves. */
import type { RecordBatch } from "apache-arrow";
import { type BatchDecision, type BatchRules, nextCall } from "./batching.js";

/** Whom an answer goes to. */
export interface Sender {
  readonly id: string;
  readonly client: string;
  readonly rows: number;
}

export interface QueuedRequest extends Sender {
  readonly bucket: string;
  readonly bytes: number;
  readonly cost: number;
  readonly arrivedMs: number;
  /** Not begun after that, by the monotonic clock; Infinity: no limit. */
  readonly dueMs: number;
  readonly records: RecordBatch;
  /** Of each row; empty: they have none. */
  readonly rowIds: readonly string[];
}

export class RequestQueue {
  #queue: QueuedRequest[] = [];
  #rows = 0;
  #bytes = 0;

  get rows(): number {
    return this.#rows;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get length(): number {
    return this.#queue.length;
  }

  [Symbol.iterator](): Iterator<QueuedRequest> {
    return this.#queue[Symbol.iterator]();
  }

  push(request: QueuedRequest): void {
    this.#queue.push(request);
    this.#count(request, 1);
  }

  /** The requests of the next call, taken out; or how long to wait for more. */
  next(
    rules: BatchRules,
    nowMs: number,
  ): Exclude<BatchDecision, { kind: "call" }> | { readonly kind: "call"; readonly requests: readonly QueuedRequest[] } {
    const decision = nextCall(this.#queue, rules, nowMs);
    if (decision.kind !== "call") return decision;
    const taken = new Set(decision.take.map((i) => this.#queue[i]!));
    return { kind: "call", requests: this.remove((request) => taken.has(request)) };
  }

  /** Takes out what matches, oldest first. */
  remove(matches: (request: QueuedRequest) => boolean): QueuedRequest[] {
    const removed = this.#queue.filter(matches);
    if (removed.length === 0) return removed;
    const gone = new Set(removed);
    this.#queue = this.#queue.filter((request) => !gone.has(request));
    for (const request of removed) this.#count(request, -1);
    return removed;
  }

  /** Takes out the newest requests, as long as they have at most `rows` together. */
  removeNewest(rows: number): QueuedRequest[] {
    const gone = new Set<QueuedRequest>();
    for (let left = rows, i = this.#queue.length - 1; i >= 0 && this.#queue[i]!.rows <= left; i--) {
      gone.add(this.#queue[i]!);
      left -= this.#queue[i]!.rows;
    }
    return this.remove((request) => gone.has(request));
  }

  #count({ rows, bytes }: QueuedRequest, sign: 1 | -1): void {
    this.#rows += sign * rows;
    this.#bytes += sign * bytes;
  }
}
