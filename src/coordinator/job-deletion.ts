/**
 * Deletes what the store holds of jobs that have ended.
 *
 * Invariants:
 *   X1  Only of a job whose end is recorded, and only while this coordinator leads: it asks before each some of the objects.
 *   X2  A mark in the store goes before everything, so that it can be gone on with after a crash, by asking again; spec and report go last, and
 *       stay for as long as anything else does.
 *   X3  Savepoints stay unless asked for, with what a job that begins with them reads: logs of sources, uploaded inputs, content.
 *   X4  What jobs publish is not touched, nor is content that it, or a savepoint that stays, refers to.
 */
import { MillraceError } from "../base/errors.js";
import type { JobId, Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { deletedJobKey, endedJobKey, jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { jobReportFrame } from "../wire/control.js";
import { each } from "./content-roots.js";
import { hasEnded } from "./job.js";
import type { JobBook } from "./job-book.js";
import type { JobContents } from "./job-contents.js";
import { RegionFloors } from "./region-floor.js";

export interface DeletionOptions {
  readonly bus: Bus;
  readonly store: ObjectStore;
  readonly ports: Ports;
  readonly namespace: Namespace;
  /** Those that the coordinator knows; a deleted one is taken out. */
  readonly jobs: Map<string, JobBook>;
  readonly contents: Pick<JobContents, "empty">;
  leads(): Promise<boolean>;
  /** Resolves when nothing of a job's end is being recorded. */
  recorded(job: JobId): Promise<void>;
}

export interface DeletionWish {
  /** Savepoints, too (X3). */
  readonly savepoints: boolean;
}

/** How it stands. */
export interface Standing {
  readonly state: "running" | "done" | "failed";
  readonly code: string;
  readonly message: string;
}

interface Mark extends DeletionWish {
  /** What was to go has gone; other things of the job stay. */
  readonly done: boolean;
}

/** Below a job: what belongs to savepoints, and what a job that begins with one reads. */
const OF_SAVEPOINTS = ["savepoints/", "savepoint-snapshots/", "savepoint-exchanges/"];
const READ_WITH_THEM = ["sources/", "inputs/"];
/** Kept and collected by other rules (X4). */
const OF_CONTENT = ["content/", "content-trash/", "content-roots/"];
const LAST = ["content-mark", "report.avro", "spec.avro"];

const RUNNING: Standing = { state: "running", code: "", message: "" };
const DONE: Standing = { state: "done", code: "", message: "" };

export class JobDeletion {
  #running = new Map<JobId, DeletionWish>();
  #failed = new Map<JobId, MillraceError>();
  #floors: RegionFloors;

  /** @param unlisted told which job is listed no more, by the key of its mark */
  constructor(
    private readonly options: DeletionOptions,
    private readonly unlisted: (key: string) => void,
  ) {
    this.#floors = new RegionFloors(options.bus, options.namespace);
  }

  /** Somebody has asked for it, whoever led. */
  async isAsked(job: JobId): Promise<boolean> {
    return (await this.#markOf(job)) !== undefined;
  }

  /** Begins it, or goes on with it. @throws {MillraceError} `MILL_JOB_UNKNOWN`, `MILL_REQUEST_CONFLICT` */
  async begin(job: JobId, wish: DeletionWish): Promise<Standing> {
    const { store, jobs } = this.options;
    const running = this.#running.get(job);
    if (running !== undefined && (running.savepoints || !wish.savepoints)) return RUNNING;
    if (running !== undefined)
      throw conflict(job, "is being deleted without its savepoints. Ask again when that is done");
    const mark = await this.#markOf(job);
    const book = jobs.get(job);
    if (book !== undefined && !hasEnded(book.state))
      throw conflict(job, `is ${book.state}. Cancel it, or wait for its end, and delete it then`);
    if (mark === undefined && (await store.head(jobKeys(job).report)) === undefined) {
      if (book !== undefined) throw conflict(job, "has ended, and that is not recorded yet. Ask again");
      const message = `there is no job "${job}" that has ended. Check its name and the namespace.`;
      throw new MillraceError("MILL_JOB_UNKNOWN", message, { job });
    }
    if (!(await this.options.leads()))
      throw new MillraceError("MILL_NO_LEADER", "another coordinator leads now. Ask again.");
    const asked = { savepoints: wish.savepoints || (mark !== undefined && !mark.done && mark.savepoints) };
    await this.#note(job, { ...asked, done: false }); // X2
    this.#failed.delete(job);
    this.#running.set(job, asked);
    void this.#run(job, asked);
    return RUNNING;
  }

  /** @throws {MillraceError} `MILL_REQUEST_NOT_FOUND`: nobody has asked for it */
  async standing(job: JobId): Promise<Standing> {
    if (this.#running.has(job)) return RUNNING;
    const error = this.#failed.get(job);
    if (error !== undefined) return { state: "failed", code: error.code, message: error.message };
    const mark = await this.#markOf(job);
    if (mark?.done) return DONE;
    if (mark !== undefined) {
      const message = `the coordinator that deleted job ${job} has gone. Delete it again: that goes on.`;
      return { state: "failed", code: "MILL_NO_LEADER", message };
    }
    if ((await this.options.store.head(jobKeys(job).spec)) === undefined) return DONE;
    throw new MillraceError("MILL_REQUEST_NOT_FOUND", `nobody has asked to delete job ${job}.`, { job });
  }

  async #run(job: JobId, wish: DeletionWish): Promise<void> {
    const { ports } = this.options;
    try {
      await this.#delete(job, wish);
      ports.log.info("job deleted", { job, ...wish });
    } catch (cause) {
      const error = MillraceError.from(cause);
      ports.log.warn("a job could not be deleted", { job, error });
      this.#failed.set(job, error);
    } finally {
      this.#running.delete(job);
    }
  }

  async #delete(job: JobId, { savepoints }: DeletionWish): Promise<void> {
    const { store, jobs, contents } = this.options;
    const keys = jobKeys(job);
    await this.options.recorded(job); // what is written later than it is deleted would stay
    if ((await store.head(keys.report)) !== undefined) {
      const { finishedMs } = jobReportFrame.decode(await store.get(keys.report)).header;
      const mark = endedJobKey(job, Number(finishedMs));
      await this.#step([mark]);
      this.unlisted(mark);
    }
    await this.#floors.forget(job);
    await this.#step([keys.open]);
    let named = false;
    if (!savepoints) for await (const _ of store.list(keys.savepoints)) named = true;
    // Their records go first: one that is there is whole.
    if (!named) for (const folder of OF_SAVEPOINTS) await this.#deleteAll(keys.all + folder, []);
    await this.#deleteAll(keys.all, [...LAST, ...OF_CONTENT, ...(named ? [...OF_SAVEPOINTS, ...READ_WITH_THEM] : [])]);
    await contents.empty(job);
    let left = false;
    for await (const { key } of store.list(keys.all)) left ||= !LAST.includes(key.slice(keys.all.length));
    if (left) await this.#note(job, { savepoints, done: true });
    else {
      for (const name of LAST) await this.#step([keys.all + name]);
      await this.#step([deletedJobKey(job)]);
    }
    jobs.get(job)?.close();
    jobs.delete(job);
  }

  async #deleteAll(prefix: string, kept: readonly string[]): Promise<void> {
    const from = `jobs/${prefix.split("/")[1]}/`.length;
    let some: string[] = [];
    for await (const { key } of this.options.store.list(prefix)) {
      if (kept.some((name) => key.startsWith(name, from))) continue;
      some.push(key);
      if (some.length < limits.contentCollectionObjectsAtOnce) continue;
      await this.#step(some);
      some = [];
    }
    await this.#step(some);
  }

  /** X1 */
  async #step(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    if (!(await this.options.leads()))
      throw new MillraceError("MILL_NO_LEADER", "another coordinator leads now. Ask again.");
    await each(keys, (key) => this.options.store.delete(key));
  }

  async #markOf(job: JobId): Promise<Mark | undefined> {
    const { store } = this.options;
    const key = deletedJobKey(job);
    if ((await store.head(key)) === undefined) return undefined;
    return JSON.parse(Buffer.from(await store.get(key)).toString("utf8")) as Mark;
  }

  async #note(job: JobId, mark: Mark): Promise<void> {
    const body = Buffer.from(JSON.stringify(mark));
    await this.options.store.put(deletedJobKey(job), body, { contentType: "application/json" });
  }
}

function conflict(job: JobId, why: string): MillraceError {
  return new MillraceError("MILL_REQUEST_CONFLICT", `job ${job} ${why}.`, { job });
}
