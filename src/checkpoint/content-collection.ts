/**
 * Decides which of a job's owned content is not needed any more (decision 0010).
 *
 * Pure: facts in, moves and deletions out; `coordinator/content-collector.ts` gathers the facts, along the flow, and acts.
 *
 * Invariants:
 *   Q1  What a root names is never moved to the trash; where it lies there, it comes back.
 *   Q2  What was put at the cutoff or later is not touched: an open attempt may refer to it, and no root says so yet. The cutoff is before the
 *       trigger of every region's newest commit, so whatever an open attempt has taken over from that commit is named by a root.
 *   Q3  Nothing is deleted but out of the trash, and only what has lain there since before the cutoff: whoever put the same content again in
 *       the moment in which it was moved away has committed since, and then a root names it, or holds the cutoff back.
 *   Q4  While one region has no commit, nothing goes.
 *   Q11 What comes back stays in the trash as well, as long as a root names it: where a move is a copy and a delete, whoever moved it
 *       there may have stood still between the two.
 */

/** An object by its hash, and when it got its key, by the store's clock. */
export interface StoredContent {
  readonly sha256: string;
  readonly sinceMs: number;
}

export interface ContentFacts {
  /** Every object that the job owns, and every one in its trash. */
  readonly contents: readonly StoredContent[];
  readonly trash: readonly StoredContent[];
  /** What roots refer to. */
  readonly rooted: ReadonlySet<string>;
  /**
   * Of every region that is not finished: when its newest commit was triggered, or a time before that, by the store's clock; undefined:
   * it has none, or nobody knows.
   */
  readonly commitsMs: readonly (number | undefined)[];
  /** By the store's clock. */
  readonly nowMs: number;
}

export interface ContentBounds {
  /** Content that was put more recently stays: it may be handed out without being put again. */
  readonly ageMsMin: number;
}

export interface ContentCollection {
  /** By hash, each list in order. */
  readonly bringBack: readonly string[];
  readonly putAway: readonly string[];
  readonly purge: readonly string[];
}

export function collectContent(facts: ContentFacts, { ageMsMin }: ContentBounds): ContentCollection {
  const { contents, trash, rooted } = facts;
  const goes = before(cutoffMs(facts, { ageMsMin }));
  const hashes = (found: readonly StoredContent[]) => found.map(({ sha256 }) => sha256).sort();
  const inPlace = new Set(contents.map(({ sha256 }) => sha256));
  return {
    bringBack: hashes(trash.filter(({ sha256 }) => rooted.has(sha256) && !inPlace.has(sha256))),
    putAway: hashes(contents.filter((one) => !rooted.has(one.sha256) && goes(one))),
    purge: hashes(trash.filter((one) => !rooted.has(one.sha256) && goes(one))),
  };
}

/** Undefined: nothing goes (Q4). */
export function cutoffMs(
  { commitsMs, nowMs }: Pick<ContentFacts, "commitsMs" | "nowMs">,
  { ageMsMin }: ContentBounds,
): number | undefined {
  let cutoff = nowMs;
  for (const commitMs of commitsMs) {
    if (commitMs === undefined) return undefined;
    cutoff = Math.min(cutoff, commitMs);
  }
  return cutoff - ageMsMin;
}

function before(cutoff: number | undefined): (content: StoredContent) => boolean {
  return ({ sinceMs }) => cutoff !== undefined && sinceMs < cutoff;
}
