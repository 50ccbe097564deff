/**
 * Which regions of a job are to be looked at. A job may have thousands, and most of what is heard is about one of them.
 *
 * Invariants:
 *   U1  A region waits to be looked at from when anything has changed that `checkpoint/region.ts` decides on, and when its time has come.
 *   U2  On every heartbeat all of them do: what was asked for and got lost, what depends on other jobs, and what U1 overlooked, is late
 *       by a heartbeat, and not lost.
 *   U3  None is looked at again while another waits for longer: a look that ends before its end goes on there. But one that can begin with a
 *       checkpoint that was asked for goes before all others: that is so once for each question, so it keeps nobody waiting for long.
 *   U4  One that fits nowhere waits for a heartbeat, or for something that is heard of a worker: to try again at once would never end.
 */
import type { RegionBook } from "./region-book.js";

export class RegionTurns {
  /** Those that wait longest come first. */
  #waiting = new Set<RegionBook>();
  #unplaced = new Set<RegionBook>();
  /** By the monotonic clock. */
  #dueMs = new Map<RegionBook, number>();
  #all: readonly RegionBook[] = [];

  begin(all: readonly RegionBook[]): void {
    this.#all = all;
    this.addAll();
  }

  add(region: RegionBook): void {
    this.#waiting.add(region);
  }

  addAll(): void {
    this.#unplaced.clear();
    for (const region of this.#all) this.#waiting.add(region);
  }

  /** U4 */
  unplaced(region: RegionBook): void {
    this.#unplaced.add(region);
  }

  addUnplaced(): void {
    for (const region of this.#unplaced) this.#waiting.add(region);
    this.#unplaced.clear();
  }

  /** A host there has come or gone: those that have, or are to have, actors on it. */
  addOn(worker: string): void {
    for (const region of this.#all) if (region.workers.has(worker)) this.#waiting.add(region);
  }

  /** One of those that wait can begin with a checkpoint that was asked for. */
  get isAsked(): boolean {
    for (const region of this.#waiting) if (region.isAsked) return true;
    return false;
  }

  /** Each waits no more when it is taken, and may be made to wait again meanwhile: for a later look. */
  *take(nowMs: number): Iterable<RegionBook> {
    for (const [region, dueMs] of this.#dueMs) if (dueMs <= nowMs) this.#waiting.add(region);
    const [first, others]: [RegionBook[], RegionBook[]] = [[], []];
    for (const region of this.#waiting) (region.isAsked ? first : others).push(region);
    for (const region of [...first, ...others]) {
      this.taken(region);
      yield region;
    }
  }

  /** What has changed of it until now is decided on now. */
  taken(region: RegionBook): void {
    this.#waiting.delete(region);
    this.#dueMs.delete(region);
  }

  /** @param atMs infinite: its time does not decide */
  due(region: RegionBook, atMs: number): void {
    if (Number.isFinite(atMs)) this.#dueMs.set(region, atMs);
  }

  /** When the first is due, whatever else happens; infinite: none is. */
  get dueMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const dueMs of this.#dueMs.values()) first = Math.min(first, dueMs);
    return first;
  }
}
