/**
 * Answers that an instance has given and keeps, by the id of the row: a row that is asked about again, in whatever request,
 * is not worked on again.
 *
 * Invariants:
 *   R1  An id finds the answer that was given for it, or nothing.
 *   R2  It holds at most its bytes; the oldest call's answers go first. Answers of one call that are larger than that are not kept.
 *   R3  What was released is not found, and answers of a call whose rows were all released take no room.
 */
import type { RecordBatch } from "apache-arrow";
import { batchBytes } from "../types/batches.js";
import type { RejectedRow } from "../wire/frames.js";

/** One row's answer: a row of a batch of answers, or the reason why it was refused. */
export interface RowAnswer {
  readonly records: RecordBatch;
  readonly row: number;
  readonly rejected: RejectedRow | undefined;
}

interface Call {
  readonly bytes: number;
  readonly ids: readonly string[];
  /** Of its ids that were not released. */
  left: number;
}

export class Journal {
  #answers = new Map<string, RowAnswer & { readonly call: Call }>();
  #calls = new Set<Call>();
  #bytes = 0;

  constructor(private readonly bytesMax: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  find(id: string): RowAnswer | undefined {
    return this.#answers.get(id);
  }

  /** @param ids one for each row of `records`; "" for rows without one */
  add(ids: readonly string[], records: RecordBatch, rejected: ReadonlyMap<number, RejectedRow>): void {
    const call: Call = { bytes: batchBytes(records), ids, left: 0 };
    if (call.bytes > this.bytesMax) return;
    for (let row = 0; row < ids.length; row++) {
      const id = ids[row]!;
      if (id === "" || this.#answers.has(id)) continue;
      this.#answers.set(id, { records, row, rejected: rejected.get(row), call });
      call.left += 1;
    }
    if (call.left === 0) return;
    this.#calls.add(call);
    this.#bytes += call.bytes;
    for (const oldest of this.#calls) {
      if (this.#bytes <= this.bytesMax) break;
      for (const id of oldest.ids) if (this.#answers.get(id)?.call === oldest) this.#answers.delete(id);
      this.#drop(oldest);
    }
  }

  release(ids: Iterable<string>): void {
    for (const id of ids) {
      const call = this.#answers.get(id)?.call;
      if (call === undefined) continue;
      this.#answers.delete(id);
      call.left -= 1;
      if (call.left === 0) this.#drop(call);
    }
  }

  #drop(call: Call): void {
    if (this.#calls.delete(call)) this.#bytes -= call.bytes;
  }
}
