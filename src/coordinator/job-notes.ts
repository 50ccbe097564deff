/**
 * Writes what the store has of jobs for whoever leads next: notes while they run, and how they ended.
 *
 * Invariants:
 *   W1  Notes of a job are written one after the other, and each says what is true when its turn comes: none is overtaken by an older one.
 *   W2  A promise of a note resolves when what it was asked for is there, or what came of it since.
 *   W3  Nothing is noted of a job whose end is being recorded: no note comes behind it.
 */
import type { JobId } from "../base/ids.js";
import { jobKeys } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import { jobReportFrame } from "../wire/control.js";
import { hasEnded } from "./job.js";
import type { JobBook } from "./job-book.js";
import { type Leading, untilDone } from "./until-done.js";

export interface JobNotesOptions extends Leading {
  readonly store: ObjectStore;
  /** Records how a job ended. */
  keep(book: JobBook): Promise<void>;
}

interface Notes {
  /** Settles when what was written last has been answered. */
  last: Promise<unknown>;
  /** The note that waits for that. */
  next: Promise<void> | undefined;
}

export class JobNotes {
  #notes = new WeakMap<JobBook, Notes>();
  #recording = new Map<JobId, Promise<boolean>>();

  constructor(private readonly options: JobNotesOptions) {}

  /** What no report would tell: why the job ends, which instances there were (K5). */
  note(book: JobBook): Promise<void> {
    const notes = this.#of(book);
    if (notes.next !== undefined) return notes.next; // it says what is true when its turn comes (W2)
    const next = notes.last.then(() => {
      notes.next = undefined;
      return this.#note(book);
    });
    notes.next = next;
    notes.last = next.catch(() => {});
    return next;
  }

  /** Tried, and no more. */
  noteSoon(book: JobBook): void {
    if (this.#of(book).next !== undefined) return;
    this.note(book).catch((error: unknown) =>
      this.options.ports.log.warn("the state of a job could not be noted", { job: book.job, error }),
    );
  }

  /** Records how a job ended, until that is done. @returns false: that is another's */
  keepEnd(book: JobBook): Promise<boolean> {
    const recording = this.#untilKept(book).finally(() => this.#recording.delete(book.job));
    this.#recording.set(book.job, recording);
    return recording;
  }

  /** Resolves when nothing of a job's end is being recorded. */
  async recorded(job: JobId): Promise<void> {
    await this.#recording.get(job);
  }

  #of(book: JobBook): Notes {
    const known = this.#notes.get(book);
    if (known !== undefined) return known;
    const notes: Notes = { last: Promise.resolve(), next: undefined };
    this.#notes.set(book, notes);
    return notes;
  }

  async #note(book: JobBook): Promise<void> {
    if (hasEnded(book.state) || !(await this.options.leads())) return; // W3
    await this.options.store.put(jobKeys(book.job).open, jobReportFrame.encode(book.describe()));
  }

  async #untilKept(book: JobBook): Promise<boolean> {
    await this.#of(book).last; // W3
    const keep = () => this.options.keep(book);
    return untilDone(this.options, "the end of a job could not be recorded", book.job, keep);
  }
}
