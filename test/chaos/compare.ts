/** Rows of a run against those of a run without failures, as multisets. Pure. */

export interface Difference {
  /** Expected rows that are not there. */
  readonly lost: readonly string[];
  /** Rows that are there more often than expected; one that was never expected is one of them. */
  readonly doubled: readonly string[];
}

export function compareRows(expected: readonly string[], published: readonly string[]): Difference {
  const open = new Map<string, number>();
  for (const row of expected) open.set(row, (open.get(row) ?? 0) + 1);
  const doubled: string[] = [];
  for (const row of published) {
    const left = open.get(row) ?? 0;
    if (left === 0) doubled.push(row);
    else open.set(row, left - 1);
  }
  const lost = [...open].flatMap(([row, left]) => Array.from({ length: left }, () => row));
  return { lost, doubled };
}
