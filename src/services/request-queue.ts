/** Requests that wait in one instance, oldest first. What leaves is in no count any more, whichever way it leaves. */
import type { RecordBatch } from "apache-arrow";
import { type BatchDecision, type BatchRules, nextCall } from "./batching.js";
import type { RequestTrace } from "./desk-telemetry.js";

/** Whom an answer goes to. */
export interface Sender {
  readonly id: string;
  readonly client: string;
  readonly rows: number;
  /** undefined: it is not traced. */
  readonly trace?: RequestTrace | undefined;
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
    return { kind: "call", requests: this.#takeAt(decision.take) };
  }

  /** Takes out what matches, oldest first. */
  remove(matches: (request: QueuedRequest) => boolean): QueuedRequest[] {
    const places: number[] = [];
    for (let i = 0; i < this.#queue.length; i++) if (matches(this.#queue[i]!)) places.push(i);
    return this.#takeAt(places);
  }

  /** @param places ascending */
  #takeAt(places: readonly number[]): QueuedRequest[] {
    if (places.length === 0) return [];
    if (places.length === this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      this.#rows = 0;
      this.#bytes = 0;
      return all;
    }
    const taken: QueuedRequest[] = [];
    const left: QueuedRequest[] = [];
    for (const [i, request] of this.#queue.entries()) (i === places[taken.length] ? taken : left).push(request);
    this.#queue = left;
    for (const request of taken) this.#count(request, -1);
    return taken;
  }

  /** Takes out the newest of the requests that may go, as long as they have at most `rows` together. */
  removeNewest(rows: number, mayGo: (request: QueuedRequest) => boolean): QueuedRequest[] {
    const gone = new Set<QueuedRequest>();
    const free = this.#queue.filter(mayGo);
    for (let left = rows, i = free.length - 1; i >= 0 && free[i]!.rows <= left; i--) {
      gone.add(free[i]!);
      left -= free[i]!.rows;
    }
    return this.remove((request) => gone.has(request));
  }

  #count({ rows, bytes }: QueuedRequest, sign: 1 | -1): void {
    this.#rows += sign * rows;
    this.#bytes += sign * bytes;
  }
}
