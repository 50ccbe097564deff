/**
 * Takes savepoints: asks the regions of a job for checkpoints as `checkpoint/savepoint.ts` decides, copies their snapshots, and what lies
 * between them in durable exchanges, to keys that belong to the savepoint, and records it. The record, created once, is the savepoint.
 *
 * What a savepoint refers to is its own, so nothing that is done to the job or by its later coordinators touches it. A coordinator that
 * dies forgets a savepoint that is not recorded; whoever asked asks again.
 */
import { createHash } from "node:crypto";
import { invariant, MillraceError } from "../base/errors.js";
import { id, type JobId } from "../base/ids.js";
import { limits } from "../base/limits.js";
import { decideSavepoint, readersByRegion, type SavepointAction } from "../checkpoint/savepoint.js";
import { jobKeys, numberIn } from "../storage/keys.js";
import type { CreateSavepoint, SavepointReport } from "../wire/control.js";
import {
  type ActorCheckpoint,
  type RegionRecord,
  type SavepointActor,
  type SavepointExchange,
  type SavepointRegion,
  type SavepointSource,
  savepointFrame,
} from "../wire/stored.js";
import type { Happening } from "./events.js";
import { isRunning } from "./job.js";
import type { JobBook } from "./job-book.js";
import type { RegionBook } from "./region-book.js";
import { type KeepOptions, keepExchange, sidesOf } from "./savepoint-exchanges.js";

export interface SavepointsOptions extends KeepOptions {
  leads(): Promise<boolean>;
  /** Writes down what the next leader has to know of the job. */
  note(book: JobBook): Promise<void>;
  look(book: JobBook): void;
  /** For people: it is there, or why it is not. */
  tell(happening: Happening): void;
}

interface Open {
  readonly name: string;
  readonly stop: boolean;
  readonly sinceMs: number;
  /** Regions that read what a region writes to durable exchanges. */
  readonly readers: ReadonlyMap<string, ReadonlySet<string>>;
  readonly asked: Set<string>;
  readonly taken: Map<string, RegionRecord>;
  state: "taking" | "recording" | "done" | "failed";
  error: MillraceError | undefined;
}

export class Savepoints {
  /** The newest of each job. */
  #open = new WeakMap<JobBook, Open>();

  constructor(private readonly options: SavepointsOptions) {}

  /** Asked as often as one likes, until the answer is not OPEN. */
  async ask(book: JobBook, { name, stop }: CreateSavepoint): Promise<SavepointReport> {
    id("savepoint", name);
    const exists = (await this.options.store.head(jobKeys(book.job).savepoint(name))) !== undefined;
    const known = this.#open.get(book);
    if (known?.name === name && known.state !== "failed") return reportOf(known.state === "done", undefined);
    if (known?.name === name) {
      this.#open.delete(book); // the next question begins anew
      return reportOf(false, known.error);
    }
    if (exists) {
      if (!stop) return reportOf(true, undefined);
      if (isStopped(book)) {
        await this.options.note(book); // the note of whoever stopped it may have been lost
        return reportOf(true, undefined);
      }
      const message = `savepoint "${name}" of job ${book.job} is there, but the job was not stopped at it: another coordinator took over. Take another one.`;
      throw new MillraceError("MILL_JOB_FAILED", message, { name });
    }
    if (known?.state === "taking" || known?.state === "recording") {
      const message = `savepoint "${known.name}" of job ${book.job} is being taken; wait for it.`;
      throw new MillraceError("MILL_CONFIG", message, { name: known.name });
    }
    const early = book.exchanges.find(({ readers }) => readers.length === 0);
    if (early !== undefined) {
      const message = `job ${book.job} was submitted by an earlier version, and has the durable exchange "${early.operator}": it can have no savepoint.`;
      throw new MillraceError("MILL_CONFIG", message, { operator: early.operator });
    }
    if (book.wishes.paused) {
      const message = `job ${book.job} is paused: its regions take no checkpoints. Resume it first, or stop it with a savepoint instead of pausing it.`;
      throw new MillraceError("MILL_REQUEST_CONFLICT", message);
    }
    const readers = readersByRegion(book.exchanges.map((exchange) => sidesOf(book, exchange)));
    const sinceMs = this.options.ports.clock.monotonicMs();
    const [asked, taken] = [new Set<string>(), new Map<string, RegionRecord>()];
    this.#open.set(book, { name, stop, sinceMs, readers, asked, taken, state: "taking", error: undefined });
    this.options.look(book);
    return reportOf(false, undefined);
  }

  /** How one stands that was asked for, without asking for it. @param book undefined: the job has ended long ago */
  async standing(job: JobId, book: JobBook | undefined, { name, stop }: CreateSavepoint): Promise<SavepointReport> {
    const open = book && this.#open.get(book);
    if (open?.name === name && open.state !== "done") return reportOf(false, open.error);
    const exists = (await this.options.store.head(jobKeys(job).savepoint(name))) !== undefined;
    if (exists && (!stop || book === undefined || isStopped(book))) return reportOf(true, undefined);
    const why = exists
      ? `savepoint "${name}" of job ${job} is there, but the job was not stopped at it: another coordinator took over. Take another one.`
      : `job ${job} has no savepoint "${name}", and none of that name is being taken: nobody asked for it, or who took it leads no more. Ask for it again.`;
    return reportOf(false, new MillraceError("MILL_JOB_FAILED", why, { job, name }));
  }

  /** Commits that the savepoint will refer to that is being taken. */
  taken(book: JobBook): readonly RegionRecord[] {
    const open = this.#open.get(book);
    return open?.state === "taking" || open?.state === "recording" ? [...open.taken.values()] : [];
  }

  look(book: JobBook): void {
    const open = this.#open.get(book);
    if (open?.state !== "taking") return;
    for (const region of book.regions.values()) {
      // Taken at once: retention keeps the commit until it has fallen behind newer ones. One that was not opened for it may be the last.
      if (open.asked.has(region.region) && (!region.wanted || region.over)) this.#take(book, open, region);
    }
    const facts = {
      jobRuns: isRunning(book.state),
      ageMs: this.options.ports.clock.monotonicMs() - open.sinceMs,
      regions: [...book.regions.values()].map((region) => this.#factsOf(open, region)),
    };
    for (const action of decideSavepoint(facts, limits.savepointTimeoutMs)) this.#carryOut(book, open, action);
  }

  #factsOf(open: Open, region: RegionBook) {
    const taken = open.taken.get(region.region);
    return {
      region: region.region,
      finished: region.over,
      state: taken !== undefined ? ("taken" as const) : open.asked.has(region.region) ? "asked" : "none",
      published: taken !== undefined && region.hasPublished(taken.number),
      readers: [...(open.readers.get(region.region) ?? [])],
    } as const;
  }

  #carryOut(book: JobBook, open: Open, action: SavepointAction): void {
    switch (action.kind) {
      case "ask": {
        const region = book.regions.get(action.region)!;
        open.asked.add(action.region);
        region.held = open.stop || [...open.readers.values()].some((readers) => readers.has(action.region)); // V5
        region.wantCheckpoint();
        this.options.look(book);
        return;
      }
      case "take":
        this.#take(book, open, book.regions.get(action.region)!);
        this.options.look(book);
        return;
      case "record":
        open.state = "recording";
        book.recording = true; // so it does not end meanwhile (J4)
        void this.#record(book, open).finally(() => {
          book.recording = false;
        });
        return;
      case "fail": {
        const why = action.why === "ended" ? "the job has ended, or is about to" : "it took too long";
        this.#end(
          book,
          open,
          new MillraceError("MILL_JOB_FAILED", `no savepoint of job ${book.job} was taken: ${why}.`),
        );
      }
    }
  }

  #take(book: JobBook, open: Open, region: RegionBook): void {
    const { commit } = region;
    if (open.taken.has(region.region)) return;
    invariant(commit !== undefined, "a region that is over, or whose checkpoint was committed, has a commit");
    open.taken.set(region.region, commit);
    for (const { key } of commit.actors) if (key !== "") book.pinned.add(key);
  }

  async #record(book: JobBook, open: Open): Promise<void> {
    try {
      const regions: SavepointRegion[] = [];
      for (const record of open.taken.values()) regions.push(await this.#copy(book, open.name, record));
      const sources: SavepointSource[] = [];
      for (const source of book.sources) sources.push({ source, records: await this.#newestSplitRecord(book, source) });
      const exchanges: SavepointExchange[] = [];
      for (const exchange of book.exchanges) {
        exchanges.push(await keepExchange(book, open.name, exchange, open.taken, this.options));
      }
      const { topology, planHash, operators } = book;
      const createdMs = BigInt(Math.round(this.options.ports.clock.nowMs()));
      const base = { job: book.job, name: open.name, topology, planHash, createdMs };
      const record = { ...base, operators, regions, sources, exchanges };
      if (!(await this.options.leads())) return;
      const bytes = savepointFrame.encode(record);
      const made = await this.options.store.create(jobKeys(book.job).savepoint(open.name), bytes);
      if (!made.created && Buffer.compare(made.existing, bytes) !== 0) {
        const message = `savepoint "${open.name}" of job ${book.job} is there: another coordinator took it. Take another one.`;
        throw new MillraceError("MILL_JOB_FAILED", message, { name: open.name });
      }
      if (open.stop) {
        book.cancel();
        // Before anybody is told that it is done: what the next leader let go on would be done by the restored job, too.
        await this.options.note(book);
      }
      this.#end(book, open, undefined);
    } catch (cause) {
      this.#end(book, open, MillraceError.from(cause));
    }
  }

  async #copy(book: JobBook, name: string, record: RegionRecord): Promise<SavepointRegion> {
    const actors: SavepointActor[] = [];
    for (const one of record.actors) {
      const sha256 = sha256Of(one);
      const key = jobKeys(book.job).savepointSnapshot(name, record.region, one.actor, sha256);
      await this.options.store.put(key, one.key === "" ? one.inline : this.options.store.stream(one.key));
      const subtask = book.subtaskOf(one.actor);
      actors.push({ actor: one.actor, subtask, key, sha256, sizeBytes: one.sizeBytes });
    }
    return { region: record.region, number: record.number, actors };
  }

  /** Every assignment that a reader has taken is before it: it was recorded before the reader was told. */
  async #newestSplitRecord({ job }: JobBook, source: string): Promise<bigint> {
    const { store } = this.options;
    const keys = jobKeys(job);
    let newest = 0n;
    for await (const { key } of store.list(keys.splitLog(source))) newest = numberIn(key) ?? newest;
    while ((await store.head(keys.splitRecord(source, newest + 1n))) !== undefined) newest += 1n; // a listing may be old
    return newest;
  }

  #end(book: JobBook, open: Open, error: MillraceError | undefined): void {
    open.state = error === undefined ? "done" : "failed";
    open.error = error;
    book.pinned.clear();
    if (error !== undefined || !open.stop) for (const region of book.regions.values()) region.held = false;
    const { name } = open;
    this.options.ports.log.info("savepoint", { job: book.job, name, state: open.state, error: error?.message ?? "" });
    const about = { kind: "savepoint.taken", job: book.job, about: name } as const;
    if (error === undefined) this.options.tell({ ...about, message: `savepoint ${book.job}/${name} is there` });
    else this.options.tell({ ...about, severity: "error", code: error.code, message: error.message });
    this.options.look(book);
  }
}

function isStopped(book: JobBook): boolean {
  const { state, code } = book.describe();
  return state === "CANCELLED" || (state === "FAILING" && code === "");
}

function reportOf(done: boolean, error: MillraceError | undefined): SavepointReport {
  if (error !== undefined) return { state: "FAILED", code: error.code, message: error.message };
  return { state: done ? "DONE" : "OPEN", code: "", message: "" };
}

function sha256Of({ key, sha256, inline }: ActorCheckpoint): string {
  return key === "" ? createHash("sha256").update(inline).digest("hex") : sha256;
}
