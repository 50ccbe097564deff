/**
 * Decides how a savepoint of a job is taken: which region takes a checkpoint next, and when all of it is there.
 *
 * Pure: facts in, actions out; `coordinator/savepoints.ts` carries the actions out.
 *
 * Invariants:
 *   V1  It goes against the flow: a region that writes a durable exchange is asked when all that read it have taken theirs. So no
 *       reader holds what its writer would produce again.
 *   V2  Every region takes a checkpoint that was opened after the savepoint was asked for; of a region that is over, its last
 *       commit is taken, published or not.
 *   V3  The savepoint is recorded only when the sinks have published everything before it, so that whoever starts from it has
 *       nothing to publish of the job that it was taken of. What lies between two regions is kept instead (V5): a log may be full,
 *       and nobody empties it meanwhile.
 *   V4  A job that ends, or a region that stays without a checkpoint for too long, ends the savepoint, and no record is left.
 *   V5  Of an exchange's log is kept what its reader has not passed and its writers' checkpoints hold. Until it is kept, regions that
 *       read an exchange commit nothing else, because logs are purged up to what they commit.
 */

export interface SavepointRegionFacts {
  readonly region: string;
  readonly finished: boolean;
  /** `none`: nothing was asked of it; `asked`: its checkpoint is under way; `taken`: it is committed. */
  readonly state: "none" | "asked" | "taken";
  /** Its sinks have published what its savepoint checkpoint holds, and all before it. */
  readonly published: boolean;
  /** Regions that read what it writes to durable exchanges (V1). */
  readonly readers: readonly string[];
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
  const taken = new Set(facts.regions.filter(({ state }) => state === "taken").map(({ region }) => region));
  return facts.regions
    .filter(({ state, readers }) => state === "none" && readers.every((reader) => taken.has(reader)))
    .map(({ region, finished }): SavepointAction => ({ kind: finished ? "take" : "ask", region }));
}

/** Both sides of a durable exchange: the region of each partition's reader, and of each writer. */
export interface ExchangeSides {
  readonly readers: readonly string[];
  readonly writers: readonly { readonly writer: string; readonly region: string }[];
}

/** V1 @returns by region those that read what it writes; regions that write nothing are left out */
export function readersByRegion(exchanges: readonly ExchangeSides[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const { readers, writers } of exchanges) {
    for (const { region } of writers) found.set(region, new Set([...(found.get(region) ?? []), ...readers]));
  }
  return found;
}

/** V5 @param numbers by region, of its savepoint checkpoint @returns whether the savepoint keeps entries */
export function keptEntries(
  { writers }: ExchangeSides,
  numbers: ReadonlyMap<string, bigint>,
): (entry: { readonly writer: string; readonly checkpoint: bigint }) => boolean {
  const upTo = new Map(writers.map(({ writer, region }) => [writer, numbers.get(region) ?? 0n]));
  return ({ writer, checkpoint }) => checkpoint <= (upTo.get(writer) ?? 0n);
}
