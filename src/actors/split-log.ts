/**
 * The log of a source's enumerator: its records, each created once, and pages that repeat them.
 *
 * An enumerator that moves reads the whole log before it can answer, and other regions are waiting for it. `splitPageParts` records
 * are repeated in one page, as many pages in a larger one, and so on: the number of objects to read does not grow with every split
 * that was ever handed out. The pages are those of a log-structured merge tree, without deletion.
 *
 * Invariants:
 *   S1  Records alone decide; they stay. A page repeats records that are in the log and is never changed.
 *   S2  A page that is not there is read from what it repeats, and written again. Nobody waits for that.
 *   S3  Of what is not there, little is asked for: readers wait meanwhile, and the host that takes over has other work.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Log } from "../base/ports.js";
import type { ObjectStore } from "../storage/object-store.js";
import { type SplitRecord, splitRecordFrame } from "../wire/stored.js";

export interface SplitLogOptions {
  readonly store: ObjectStore;
  readonly log: Log;
  /** Key of record `number` of the log. */
  logKey(number: bigint): string;
  /** Key of the page of that size, in records, whose last one is `number`. */
  pageKey(size: number, number: bigint): string;
}

export class SplitLog {
  #newest = 0n;
  /** What is not repeated yet in a page of the next size: records, then pages from small to large. */
  #parts: SplitRecord[][] = Array.from({ length: limits.splitPageLevels }, () => []);

  constructor(private readonly options: SplitLogOptions) {}

  /** Number of the newest record that is known. */
  get newest(): bigint {
    return this.#newest;
  }

  /** What the log holds, from its beginning; a page comes as one record. */
  async *read(): AsyncIterable<SplitRecord> {
    for (let level = limits.splitPageLevels; level >= 0; level--) {
      for await (const record of this.#follow(level)) {
        this.#note(record, level);
        yield record;
      }
    }
  }

  /** Writes the next record. @returns what is in the log at that place, whoever wrote it */
  async append(record: SplitRecord): Promise<SplitRecord> {
    const made = await this.options.store.create(this.options.logKey(record.number), splitRecordFrame.encode(record));
    const there = made.created ? record : splitRecordFrame.decode(made.existing).header;
    this.#note(there, 0);
    return there;
  }

  /**
   * Pages of a level, or records, from where the log is known to, more and more of them at a time, but not beyond those that make up a
   * larger page: that page was not there, so they are hardly all there either (S3).
   */
  async *#follow(level: number): AsyncIterable<SplitRecord> {
    const size = sizeOf(level);
    const bound = level === limits.splitPageLevels ? limits.splitLogReads : limits.splitPageParts;
    for (let count = 2; ; count *= 2) {
      const place = Number(this.#newest / BigInt(size)) % bound;
      const numbers = Array.from(
        { length: Math.min(count, bound - place) },
        (_, i) => this.#newest + BigInt((i + 1) * size),
      );
      for (const record of await Promise.all(numbers.map((number) => this.#get(this.#keyOf(level, number))))) {
        if (record === undefined) return;
        yield record;
      }
    }
  }

  #keyOf(level: number, number: bigint): string {
    return level === 0 ? this.options.logKey(number) : this.options.pageKey(sizeOf(level), number);
  }

  async #get(key: string): Promise<SplitRecord | undefined> {
    try {
      return splitRecordFrame.decode(await this.options.store.get(key)).header;
    } catch (error) {
      if (MillraceError.is(error) && error.code === "MILL_STORE_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** The next record, or page of that level. */
  #note(record: SplitRecord, level: number): void {
    this.#newest = record.number;
    const parts = this.#parts[level];
    if (parts === undefined) return;
    parts.push(record);
    if (parts.length < limits.splitPageParts) return;
    this.#parts[level] = [];
    const assignments = parts.flatMap((part) => part.assignments);
    const page = { ...record, assignments, listed: parts.some(({ listed }) => listed) };
    void this.#writePage(page, level + 1); // S2
    this.#note(page, level + 1);
  }

  async #writePage(page: SplitRecord, level: number): Promise<void> {
    try {
      await this.options.store.create(this.#keyOf(level, page.number), splitRecordFrame.encode(page));
    } catch (error) {
      this.options.log.debug("a page of a split log was not written", { source: page.source, error });
    }
  }
}

/** Records that a page of that level repeats. */
function sizeOf(level: number): number {
  return limits.splitPageParts ** level;
}
