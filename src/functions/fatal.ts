/** What no other row would survive either fails the job, rather than make a dead letter of every row. */
import { type ErrorCode, MillraceError } from "../base/errors.js";
import type { Applied, ColumnFunction } from "../topology/column-function.js";
import type { Columns } from "../types/columns.js";

/** @param code of what is wrong with the machine or the settings, not with a row */
export function failingWith<O extends Columns>(code: ErrorCode, fn: ColumnFunction<O>): ColumnFunction<O> {
  return {
    ...fn,
    async apply(...args): Promise<Applied<O>> {
      const applied = await fn.apply(...args);
      const fatal = applied.refused?.find(({ error }) => MillraceError.is(error) && error.code === code);
      if (fatal !== undefined) throw fatal.error;
      return applied;
    },
  };
}
