/**
 * Collects owned content that nothing refers to any more: gathers the facts, along the flow (`content-roots.ts`), and carries out what
 * `checkpoint/content-collection.ts` decides. A round that fails is logged, and the next one begins anew.
 *
 * Invariants:
 *   Q8  Only the leader moves and deletes: it asks whether it still leads before each some of them.
 *   Q9  All times that are compared are the store's own. The leader puts a mark in each round; what it has triggered after the mark was
 *       there is later than the mark's age says, whatever its own clock shows.
 *   Q10 The record of a published file is deleted when the file is gone, the record is older than the cutoff, and no root names any of
 *       its content: a checkpoint that does may publish the file yet.
 */
import type { JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import {
  type ContentCollection,
  collectContent,
  cutoffMs,
  type StoredContent,
} from "../checkpoint/content-collection.js";
import { type JobKeys, jobKeys } from "../storage/keys.js";
import type { ContentReport } from "../wire/control.js";
import { ContentRoots, each, type JobFlow, type RootOptions } from "./content-roots.js";

/** What is known of a job whose content is collected. */
export interface ContentJob extends JobFlow {
  /** Of every region that is not finished: when its newest commit was triggered, by the monotonic clock; undefined: nobody knows. */
  commitsFromMs(): readonly (number | undefined)[];
}

export interface CollectorOptions extends RootOptions {
  leads(): Promise<boolean>;
}

export interface CollectionBounds {
  /** Says what would be done, and does nothing. */
  readonly dryRun?: boolean;
  /** Default: `limits.contentAgeMsMin`. Less is right only where nothing of the job is at work any more. */
  readonly ageMsMin?: number;
}

/** The store's time, by its own clock, at some moment before `atMs` of the monotonic one. */
interface Mark {
  readonly atMs: number;
  readonly storeMs: number;
}

interface Known {
  readonly roots: ContentRoots;
  marks: Mark[];
  round: Promise<unknown>;
  dueMs: number;
}

const MARKS_MAX = 16;
const NOTHING: ContentReport = {
  contents: 0,
  trash: 0,
  rooted: 0,
  broughtBack: 0,
  putAway: 0,
  purged: 0,
  recordsDeleted: 0,
  left: 0,
  heldBy: "",
};

export class ContentCollector {
  #known = new Map<JobId, Known>();

  constructor(private readonly options: CollectorOptions) {}

  /** Begins a round when one is due. */
  look(job: ContentJob): void {
    const { clock, log } = this.options.ports;
    const known = this.#of(job.job);
    if (clock.monotonicMs() < known.dueMs) return;
    known.dueMs = Number.POSITIVE_INFINITY; // until this one is over
    this.collect(job)
      .catch((error: unknown) => log.warn("owned content could not be collected", { job: job.job, error }))
      .finally(() => {
        known.dueMs = clock.monotonicMs() + limits.contentCollectionMs;
      });
  }

  /** One round now, behind one that is under way. @throws what the bus or the store says */
  collect(job: ContentJob, bounds: CollectionBounds = {}): Promise<ContentReport> {
    const known = this.#of(job.job);
    const round = known.round.then(() => this.#round(known, job, bounds));
    known.round = round.catch(() => {});
    return round;
  }

  forget(job: JobId): void {
    this.#known.delete(job);
  }

  #of(job: JobId): Known {
    let known = this.#known.get(job);
    if (known === undefined) {
      const prefix = `${this.options.contents.url}/${jobKeys(job).content("")}`;
      const roots = new ContentRoots(prefix, this.options);
      const dueMs = this.options.ports.clock.monotonicMs() + limits.contentCollectionMs;
      known = { roots, marks: [], round: Promise.resolve(), dueMs };
      this.#known.set(job, known);
    }
    return known;
  }

  async #round(known: Known, job: ContentJob, bounds: CollectionBounds): Promise<ContentReport> {
    const { dryRun = false, ageMsMin = limits.contentAgeMsMin } = bounds;
    const keys = jobKeys(job.job);
    // Listed first: what is decided on must not be older than the listing.
    const [contents, trash] = [await this.#list(keys.content("")), await this.#list(keys.contentTrash(""))];
    if (contents.length + trash.length === 0) return NOTHING;
    const times = { commitsMs: this.#commitsMs(known, job), nowMs: await this.#mark(known, keys) };
    const { rooted: labels, records } = await known.roots.read(job);
    const rooted = new Set(labels.keys());
    const cutoff = cutoffMs(times, { ageMsMin });
    const old = records.filter(({ counts, sinceMs }) => !counts && cutoff !== undefined && sinceMs < cutoff);
    for (const one of records) if (!old.includes(one)) for (const hash of one.contents) rooted.add(hash);
    const stale = old.filter((one) => !one.contents.some((hash) => rooted.has(hash))); // Q10
    const decided = collectContent({ contents, trash, rooted, ...times }, { ageMsMin });
    const { bringBack, putAway, purge } = decided;
    // What is kept for a file alone that may be published yet is left over as well.
    const unrooted = [...contents, ...trash].filter(({ sha256 }) => !labels.has(sha256)).length;
    const report: ContentReport = {
      contents: contents.length,
      trash: trash.length,
      rooted: contents.length + trash.length - unrooted,
      broughtBack: bringBack.length,
      putAway: putAway.length,
      purged: purge.length,
      recordsDeleted: stale.length,
      left: unrooted - purge.length,
      heldBy:
        cutoff === undefined ? "a region has no checkpoint that was triggered after this coordinator's last look" : "",
    };
    if (dryRun || bringBack.length + putAway.length + purge.length + stale.length === 0) return report;
    const staleKeys = stale.map(({ key }) => key);
    if (!(await this.#carryOut(keys, decided, staleKeys))) return { ...report, ...NOT_DONE, left: unrooted };
    this.options.ports.log.info("owned content collected", { job: job.job, ...report });
    return report;
  }

  /** @returns whether all of it was done (Q8) */
  async #carryOut(keys: JobKeys, { bringBack, putAway, purge }: ContentCollection, records: readonly string[]) {
    const { contents: store, leads } = this.options;
    const steps = [
      ...bringBack.map((hash) => async () => {
        await store.put(keys.content(hash), store.stream(keys.contentTrash(hash))); // a copy (Q11)
      }),
      ...records.map((key) => () => store.delete(key)),
      // Before others are moved there: what lies in both places keeps the newer time.
      ...purge.map((hash) => () => store.delete(keys.contentTrash(hash))),
      ...putAway.map((hash) => () => store.move(keys.content(hash), keys.contentTrash(hash))),
    ];
    for (let at = 0; at < steps.length; at += limits.contentCollectionObjectsAtOnce) {
      if (!(await leads())) return false;
      await each(steps.slice(at, at + limits.contentCollectionObjectsAtOnce), (step) => step());
    }
    return true;
  }

  async #list(prefix: string): Promise<StoredContent[]> {
    const found: StoredContent[] = [];
    for await (const { key, sinceMs } of this.options.contents.list(prefix)) {
      const sha256 = key.slice(prefix.length);
      if (/^[0-9a-f]{64}$/.test(sha256)) found.push({ sha256, sinceMs });
    }
    return found;
  }

  /** Q9 */
  #commitsMs({ marks }: Known, job: ContentJob): (number | undefined)[] {
    return job.commitsFromMs().map((fromMs) => {
      return fromMs === undefined ? undefined : marks.findLast(({ atMs }) => atMs <= fromMs)?.storeMs;
    });
  }

  /** @returns the store's time now, or a little before */
  async #mark(known: Known, { contentMark }: JobKeys): Promise<number> {
    const { contents: store, ports } = this.options;
    await store.put(contentMark, new Uint8Array());
    const atMs = ports.clock.monotonicMs();
    for await (const { key, sinceMs } of store.list(contentMark)) {
      if (key === contentMark) known.marks = [...known.marks, { atMs, storeMs: sinceMs }].slice(-MARKS_MAX);
    }
    return known.marks.at(-1)?.storeMs ?? Number.NEGATIVE_INFINITY;
  }
}

const NOT_DONE = { broughtBack: 0, putAway: 0, purged: 0, recordsDeleted: 0 };

/** A job that has ended, for `ContentCollector`: published files and savepoints are all that refers to its content. */
export function endedJob(job: JobId): ContentJob {
  const none = () => [];
  return { job, ended: true, exchanges: [], commits: none, taken: none, isFinished: () => true, commitsFromMs: none };
}
