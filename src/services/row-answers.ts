/** Answers of rows that come from several calls, as one batch with as few slices as their order allows. */
import type { RecordBatch } from "apache-arrow";
import { invariant } from "../base/errors.js";
import { concatBatches } from "../types/concat.js";
import type { RejectedRow } from "../wire/frames.js";
import type { RowOutcome } from "./handler-call.js";
import type { RowAnswer } from "./journal.js";

export function inOneBatch(answers: readonly RowAnswer[]): RowOutcome {
  const slices: RecordBatch[] = [];
  const rejected = new Map<number, RejectedRow>();
  for (let at = 0; at < answers.length; ) {
    const { records, row: from } = answers[at]!;
    let to = from;
    for (; answers[at]?.records === records && answers[at]?.row === to; at++, to++) {
      const reason = answers[at]!.rejected;
      if (reason !== undefined) rejected.set(at, { ...reason, row: at });
    }
    slices.push(records.slice(from, to));
  }
  invariant(slices.length > 0, "a request has rows");
  return { records: concatBatches(slices), rejected };
}

/** Rows of a batch by their numbers, which ascend, as one batch. */
export function rowsAt(batch: RecordBatch, rows: readonly number[]): RecordBatch {
  return inOneBatch(rows.map((row) => ({ records: batch, row, rejected: undefined }))).records;
}
