/**
 * Decides how a savepoint of a job is taken: which region takes a checkpoint next, and when all of it is there.
 *
 * Pure: facts in, actions out; `coordinator/savepoints.ts` carries the actions out.
 *
 * Invariants:
 *   V1  Every region takes a checkpoint that was opened after the savepoint was asked for; of a region that is over, its last
 *       commit is taken.
 *   V2  The savepoint is recorded only when everything before it is published, so that whoever starts from it has nothing to
 *       publish of the job that it was taken of.
 *   V3  A job that ends, or a region that stays without a checkpoint for too long, ends the savepoint, and no record is left.
 */

export interface SavepointRegionFacts {
  readonly region: string;
  readonly finished: boolean;
  /** `none`: nothing was asked of it; `asked`: its checkpoint is under way; `taken`: it is committed. */
  readonly state: "none" | "asked" | "taken";
  /** What its savepoint checkpoint holds, and all before it, is published. */
  readonly published: boolean;
}

export interface SavepointFacts {
  readonly jobRuns: boolean;
  readonly ageMs: number;
  readonly regions: readonly SavepointRegionFacts[];
}

export type SavepointAction =
  | { readonly kind: "ask"; readonly region: string }
  | { readonly kind: "take"; readonly region: string }
  | { readonly kind: "record" }
  | { readonly kind: "fail"; readonly why: "ended" | "late" };

export function decideSavepoint(facts: SavepointFacts, timeoutMs: number): SavepointAction[] {
  if (!facts.jobRuns) return [{ kind: "fail", why: "ended" }];
  if (facts.ageMs > timeoutMs) return [{ kind: "fail", why: "late" }];
  if (facts.regions.every(({ state, published }) => state === "taken" && published)) return [{ kind: "record" }];
  return facts.regions
    .filter(({ state }) => state === "none")
    .map(({ region, finished }): SavepointAction => ({ kind: finished ? "take" : "ask", region }));
}
