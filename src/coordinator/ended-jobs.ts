/** Jobs that have ended, as the store has them: how one ended outlives whoever led then. */
import { id, type JobId } from "../base/ids.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { jobReportFrame, jobSpecFrame } from "../wire/control.js";
import type { JobDetail } from "./describe.js";
import { detailOf } from "./describe-job.js";

export class EndedJobs {
  constructor(private readonly store: ObjectStore) {}

  /** By then its report is in the store, whoever led. */
  async has(job: JobId): Promise<boolean> {
    return (await this.store.head(jobKeys(job).report)) !== undefined;
  }

  /** The frame of its report; undefined: there is none. */
  async report(job: string): Promise<Uint8Array | undefined> {
    const known = id<JobId>("job", job);
    return (await this.has(known)) ? this.store.get(jobKeys(known).report) : undefined;
  }

  async detail(job: string): Promise<JobDetail | undefined> {
    const frame = await this.report(job);
    if (frame === undefined) return undefined;
    const spec = jobSpecFrame.decode(await this.store.get(jobKeys(job as JobId).spec)).header;
    return detailOf(spec, jobReportFrame.decode(frame).header);
  }
}
