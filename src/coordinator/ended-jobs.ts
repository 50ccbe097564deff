/**
 * Jobs that have ended, as the store has them: how one ended outlives whoever led then. They are listed by marks of their own, newest first,
 * so that a list costs what it shows, and not what all jobs have left.
 */
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { endedJobKey, endedJobs, jobKeys } from "../storage/keys.js";
import { jobReportFrame, jobSpecFrame } from "../wire/control.js";
import type { JobDetail, JobSummary } from "./describe.js";
import { detailOf, summaryOf } from "./describe-job.js";
import type { JobBook } from "./job-book.js";
import { type DeletionOptions, JobDeletion } from "./job-deletion.js";

export class EndedJobs {
  readonly deletion: JobDeletion;
  /** By key of its mark; those that were listed last. */
  #listed = new Map<string, JobSummary>();
  #listedMs = Number.NEGATIVE_INFINITY;
  #listing: Promise<void> | undefined;

  constructor(private readonly options: DeletionOptions) {
    this.deletion = new JobDeletion(options, (key) => this.#listed.delete(key));
  }

  /** By then its report is in the store, whoever led. */
  async has(job: JobId): Promise<boolean> {
    return (await this.options.store.head(jobKeys(job).report)) !== undefined;
  }

  /** The frame of its report; undefined: there is none. */
  async report(job: string): Promise<Uint8Array | undefined> {
    const known = id<JobId>("job", job);
    return (await this.has(known)) ? this.options.store.get(jobKeys(known).report) : undefined;
  }

  async detail(job: string): Promise<JobDetail | undefined> {
    const frame = await this.report(job);
    if (frame === undefined) return undefined;
    const spec = jobSpecFrame.decode(await this.options.store.get(jobKeys(job as JobId).spec)).header;
    return detailOf(spec, jobReportFrame.decode(frame).header);
  }

  /** Records how it ended; the mark comes last, for it says what the report says. */
  async keep(book: JobBook): Promise<void> {
    await this.options.store.put(jobKeys(book.job).report, jobReportFrame.encode(book.describe()));
    await this.#mark(book.summary());
  }

  /** @returns whether it has ended; then whoever recorded that may not have come to its mark */
  async takeUp(job: JobId): Promise<boolean> {
    const { store } = this.options;
    const frame = await this.report(job);
    if (frame === undefined) return false;
    const report = jobReportFrame.decode(frame).header;
    if ((await store.head(endedJobKey(job, Number(report.finishedMs)))) !== undefined) return true;
    if (await this.deletion.isAsked(job)) return true;
    await this.#mark(summaryOf(jobSpecFrame.decode(await store.get(jobKeys(job).spec)).header, report, 0));
    return true;
  }

  /** The newest `limits.endedJobsListedMax`; it may be some seconds old. */
  async summaries(): Promise<JobSummary[]> {
    const { clock } = this.options.ports;
    if (clock.monotonicMs() - this.#listedMs >= limits.endedJobsListMs) {
      this.#listing ??= this.#list().finally(() => {
        this.#listing = undefined;
      });
      await this.#listing;
    }
    return [...this.#listed.values()];
  }

  async #list(): Promise<void> {
    const { store, ports } = this.options;
    const found = new Map<string, JobSummary>();
    for await (const { key } of store.list(endedJobs)) {
      const known = this.#listed.get(key);
      try {
        found.set(key, known ?? (JSON.parse(Buffer.from(await store.get(key)).toString("utf8")) as JobSummary));
      } catch (error) {
        ports.log.warn("a job that has ended cannot be listed", { key, error }); // deleted meanwhile, or damaged
      }
      if (found.size === limits.endedJobsListedMax) break;
    }
    this.#listed = found;
    this.#listedMs = ports.clock.monotonicMs();
  }

  async #mark(summary: JobSummary): Promise<void> {
    const key = endedJobKey(summary.job as JobId, summary.finishedMs);
    await this.options.store.put(key, Buffer.from(JSON.stringify(summary)), { contentType: "application/json" });
  }
}
