/** A request in parts, each a request of its own; the request ends when all of them have. */

import type { RowAnswer } from "./journal.js";
import type { Pending } from "./pending.js";
import { isOfRows } from "./row-errors.js";
import { type Answer, joinAnswers, type Part } from "./split-request.js";

/**
 * @param about what is different in the parts
 * @param known answers of single rows that are there already
 * @returns the parts that have to be sent
 */
export function splitPending(
  request: Pending,
  parts: readonly Part[],
  about: Partial<Pending>,
  known: readonly (RowAnswer | undefined)[] = [],
): Pending[] {
  const { records, rowIds, lineageIds, id } = request;
  const open: Pending[] = [];
  const answers = parts.map(
    ({ start, rows }, i) =>
      new Promise<Answer>((resolve, reject) => {
        const answer = known[i];
        if (answer !== undefined) {
          resolve({ records: answer.records, rejected: answer.rejected === undefined ? [] : [answer.rejected] });
          return;
        }
        const part = { id: `${id}.${start}`, records: records.slice(start, start + rows), rows, resolve, reject };
        const ids = { rowIds: rowIds.slice(start, start + rows), lineageIds: lineageIds.slice(start, start + rows) };
        open.push({ ...request, ...part, ...ids, calledMs: 0, notBeforeMs: 0, ...about });
      }),
  );
  joinAnswers(parts, answers, isOfRows).then(request.resolve, request.reject);
  return open;
}
