/**
 * How the state of a savepoint finds its operators and their parallel instances again.
 *
 * Pure. It knows names and numbers; what state is made of, `actors/saved-state.ts` knows. Keyed state goes by key group
 * (`key-groups.ts`).
 *
 * Invariants:
 *   M1  State goes to the operator of the same id, of the same kind, that takes and keeps the same columns. State that finds none is an
 *       error that names operator and kind, unless it may be dropped. An operator without state starts empty.
 *   M2  Every instance's state goes to exactly one instance. What one instance had in flight goes as a whole, its split and its
 *       batches in their order, so nothing overtakes.
 *   M3  With the same parallelism everything goes where it was; with less, neighbours come together, in order; with more, the
 *       instances beyond start empty and take work that nobody has begun.
 */
import { MillraceError } from "../base/errors.js";

export interface StatefulOperator {
  readonly operator: string;
  readonly kind: string;
  readonly columns: string;
}

/** Sources keep positions, which do not depend on columns. */
const ANY_COLUMNS: ReadonlySet<string> = new Set(["source"]);

/**
 * @param held operators that the savepoint holds state of, or batches on their way into
 * @returns ids of those whose state is used (M1)
 * @throws {MillraceError} `MILL_SAVEPOINT_UNMATCHED`
 */
export function matchState(
  held: readonly StatefulOperator[],
  wanted: readonly StatefulOperator[],
  allowUnmatched: boolean,
): Set<string> {
  const byId = new Map(wanted.map((one) => [one.operator, one]));
  const matched = new Set<string>();
  for (const one of held) {
    const why = mismatch(one, byId.get(one.operator));
    if (why === undefined) matched.add(one.operator);
    else if (!allowUnmatched) {
      throw new MillraceError(
        "MILL_SAVEPOINT_UNMATCHED",
        `the savepoint holds state of operator "${one.operator}" (${one.kind}), and ${why}. Bring it back, or drop that state with --allow-unmatched.`,
        { operator: one.operator, kind: one.kind },
      );
    }
  }
  return matched;
}

function mismatch(held: StatefulOperator, wanted: StatefulOperator | undefined): string | undefined {
  if (wanted === undefined) return "the topology has no operator of that id";
  if (wanted.kind !== held.kind) return `in the topology that id is of kind ${wanted.kind}`;
  if (wanted.columns === held.columns || ANY_COLUMNS.has(held.kind)) return undefined;
  return `in the topology it takes or keeps other columns: ${wanted.columns}, not ${held.columns}`;
}

/** The instance of `to` that takes over what instance `subtask` of `from` had (M2, M3). */
export function successorOf(subtask: number, from: number, to: number): number {
  return to >= from ? subtask : Math.floor((subtask * to) / from);
}
