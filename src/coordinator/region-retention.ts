/**
 * Deletes what `checkpoint/retention.ts` says is not needed any more, after a commit is in the log. What it fails to delete
 * is asked for again after the next commit.
 *
 * Why no deleted number can be created again and count: whoever begins to lead finds the end of the log, whatever was deleted before and
 * meanwhile, because the floor is raised first (L1, L4). And whoever creates a record asks afterwards whether it still leads (`RegionRunner`): if
 * so, nobody has gone on behind its back, so the number behind the end that it knows was never deleted.
 */
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";
import { decideRetention, type StoredSnapshot } from "../checkpoint/retention.js";
import { jobKeys, numberIn } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { isRunning } from "./job.js";
import type { JobBook } from "./job-book.js";
import type { RegionBook } from "./region-book.js";
import type { RegionFloors } from "./region-floor.js";
import { listNumbers } from "./region-log.js";

export interface RetentionOptions {
  readonly store: ObjectStore;
  readonly log: Log;
  readonly floors: RegionFloors;
  leads(): Promise<boolean>;
  look(book: JobBook): void;
}

export class RegionRetention {
  /** How many there were of each region. */
  #commits = new WeakMap<RegionBook, number>();

  constructor(private readonly options: RetentionOptions) {}

  /** A commit is in the region's log. */
  async onCommit(book: JobBook, region: RegionBook): Promise<void> {
    const commits = (this.#commits.get(region) ?? 0) + 1;
    this.#commits.set(region, commits);
    if (region.cleaning) return;
    region.cleaning = true;
    try {
      await this.#clean(book, region, commits % limits.retentionSweepCommits === 1);
    } catch (error) {
      this.options.log.warn("old checkpoints could not be deleted", { region: region.region, error });
    }
    region.cleaning = false;
    if (!isRunning(book.state)) this.options.look(book); // it waits for that (J4)
  }

  async #clean(book: JobBook, region: RegionBook, sweep: boolean): Promise<void> {
    const { store, floors } = this.options;
    const keys = jobKeys(book.job);
    // Listed first: what is decided on must not be older than the listing.
    const snapshots = sweep ? await this.#list(keys.snapshots(region.region)) : [];
    const numbers = sweep ? await listNumbers({ store, keys, region: region.region }) : [];
    const first = region.logged[0]?.number ?? 0n;
    const retention = decideRetention(
      {
        records: region.logged,
        older: numbers.filter((number) => number < first),
        snapshots: [...region.strays, ...snapshots],
        pinned: book.pinned,
      },
      limits.checkpointsKept,
    );
    if (retention.records.length + retention.snapshots.length === 0 || !(await this.options.leads())) return;
    if (retention.records.length > 0) await floors.raise(book.job, region.region, retention.keptFrom); // L4
    for (const number of retention.records) await store.delete(keys.regionRecord(region.region, number)); // H4: one by one
    for (const key of retention.snapshots) await store.delete(key);
    region.forget(retention.records, retention.snapshots);
  }

  async #list(prefix: string): Promise<StoredSnapshot[]> {
    const found: StoredSnapshot[] = [];
    for await (const { key } of this.options.store.list(prefix)) {
      const checkpoint = numberIn(key);
      if (checkpoint !== undefined) found.push({ key, checkpoint });
    }
    return found;
  }
}
