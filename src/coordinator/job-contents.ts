/** Collects the owned content of the jobs that a coordinator knows: of open ones from time to time, of ended ones until none is left over. */
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Timer } from "../base/ports.js";
import { jobKeys } from "../storage/keys.js";
import type { CollectContent, ContentReport } from "../wire/control.js";
import type { RegionRecord } from "../wire/stored.js";
import { type CollectorOptions, ContentCollector, type ContentJob, endedJob } from "./content-collector.js";
import { hasEnded } from "./job.js";
import type { JobBook } from "./job-book.js";
import { RegionFloors } from "./region-floor.js";

export interface JobContentsOptions extends CollectorOptions {
  /** Commits that a savepoint is being made of. */
  taken(book: JobBook): readonly RegionRecord[];
}

export class JobContents {
  #collector: ContentCollector;
  #floors: RegionFloors;
  #timers = new Map<JobId, Timer>();
  #closed = false;

  constructor(private readonly options: JobContentsOptions) {
    this.#collector = new ContentCollector(options);
    this.#floors = new RegionFloors(options.bus, options.namespace);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  look(book: JobBook): void {
    if (!hasEnded(book.state)) this.#collector.look(this.#jobOf(book));
  }

  /** @param book undefined: the job has ended */
  collect({ job, dryRun }: CollectContent, book: JobBook | undefined): Promise<ContentReport> {
    const open = book !== undefined && !hasEnded(book.state);
    return this.#collector.collect(open ? this.#jobOf(book) : endedJob(id<JobId>("job", job)), { dryRun });
  }

  /** Of a job that has ended: what nothing refers to goes at once, by way of the trash. */
  async empty(job: JobId): Promise<void> {
    const bounds = { ageMsMin: Number.NEGATIVE_INFINITY };
    for (let i = 0; i < 2; i++) await this.#collector.collect(endedJob(job), bounds);
    this.#collector.forget(job);
  }

  /** Of a job that has ended: it counts as open for as long as it owns anything that nothing refers to. */
  async forget(job: JobId): Promise<void> {
    const { store, ports, leads } = this.options;
    let pauseMs: number = limits.storeBackoffMsMax;
    try {
      if ((await this.#collector.collect(endedJob(job))).left === 0 && (await leads())) {
        this.#collector.forget(job);
        await this.#floors.forget(job);
        return await store.delete(jobKeys(job).open);
      }
      pauseMs = limits.contentCollectionMs;
    } catch (error) {
      ports.log.warn("what a job has left could not be collected", { job, error });
    }
    if (this.#closed) return; // the next leader's
    this.#timers.set(
      job,
      ports.clock.after(pauseMs, () => void this.forget(job)),
    );
  }

  #jobOf(book: JobBook): ContentJob {
    const regions = () => [...book.regions.values()].filter(({ phase }) => phase !== "FINISHED");
    return {
      job: book.job,
      ended: false,
      exchanges: book.exchanges,
      commits: () => regions().flatMap(({ commit }) => commit ?? []),
      isFinished: (actor) => !regions().some(({ actors }) => actors.includes(actor)),
      taken: () => this.options.taken(book),
      commitsFromMs: () => regions().map(({ commitFromMs }) => commitFromMs),
    };
  }
}
