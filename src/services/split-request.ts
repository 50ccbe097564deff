/** A request in parts, and the answers to the parts as the answer to it. Pure. */
import type { RecordBatch } from "apache-arrow";
import type { MillraceError } from "../base/errors.js";
import { concatBatches } from "../types/concat.js";
import type { RejectedRow } from "../wire/frames.js";

/** An instance, and the request of which it keeps the answers. */
export interface AnsweredBy {
  readonly instance: string;
  readonly request: string;
}

export interface Answer {
  /** Who keeps answers of its rows, for all of them; undefined: that is not known. */
  readonly by?: readonly AnsweredBy[] | undefined;
  /** As many rows as were sent; the places of rejected rows hold anything. */
  readonly records: RecordBatch;
  readonly rejected: readonly RejectedRow[];
}

export interface Part {
  readonly start: number;
  readonly rows: number;
}

export function halves(rows: number): Part[] {
  const half = rows >> 1;
  return [
    { start: 0, rows: half },
    { start: half, rows: rows - half },
  ];
}

export function singles(rows: number): Part[] {
  return Array.from({ length: rows }, (_, start) => ({ start, rows: 1 }));
}

/**
 * Rows of a part that failed with an error of its own are rejected with it.
 * @throws the error, where all parts failed, or one with an error that is not of its rows
 */
export async function joinAnswers(
  parts: readonly Part[],
  answers: readonly Promise<Answer>[],
  isOfRows: (error: unknown) => error is MillraceError,
): Promise<Answer> {
  const settled = await Promise.allSettled(answers);
  const some = settled.find((outcome) => outcome.status === "fulfilled")?.value.records;
  const records: RecordBatch[] = [];
  const rejected: RejectedRow[] = [];
  for (const [i, outcome] of settled.entries()) {
    const { start, rows } = parts[i]!;
    if (outcome.status === "fulfilled") {
      records.push(outcome.value.records);
      rejected.push(...outcome.value.rejected.map((reason) => ({ ...reason, row: start + reason.row })));
      continue;
    }
    const error: unknown = outcome.reason;
    if (some === undefined || !isOfRows(error)) throw error;
    const { code, message } = error;
    for (let row = 0; row < rows; row++) {
      records.push(some.slice(0, 1));
      rejected.push({ row: start + row, code, message });
    }
  }
  return { by: allBy(settled), records: concatBatches(records), rejected };
}

function allBy(parts: readonly PromiseSettledResult<Answer>[]): readonly AnsweredBy[] | undefined {
  const all: AnsweredBy[] = [];
  for (const part of parts) {
    if (part.status === "rejected" || part.value.by === undefined) return undefined;
    all.push(...part.value.by);
  }
  return all;
}

/** @throws what is wrong with an answer to so many rows */
export function checkRows(sent: number, answered: number, rejected: Answer["rejected"]): void {
  if (answered !== sent) throw new Error(`${sent} rows were sent, and ${answered} answered`);
  for (const { row } of rejected) if (row < 0 || row >= sent) throw new Error(`it refuses row ${row} of ${sent}`);
}
