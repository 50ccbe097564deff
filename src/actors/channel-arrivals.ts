/**
 * What came on a channel and waits for something before it: the receiver's reorder buffer, and what it knows to be
 * missing. Pure: no bus, no clock.
 *
 * Invariants:
 *   A1  Items leave in the order of their numbers, each once, without a gap.
 *   A2  Nothing at or above the granted number of frames is kept, so what waits here stays within the grant.
 *   A3  An item that turns out to be broken is missing again.
 */
export class Arrivals<T> {
  #early = new Map<bigint, T>();
  #next = 0n;
  #known = 0n;

  /** The number of the first item that is missing. */
  get next(): bigint {
    return this.#next;
  }
  /** Items below this number were sent. */
  get known(): bigint {
    return this.#known;
  }
  /** Something is missing that was sent. */
  get gap(): boolean {
    return this.#next < this.#known;
  }

  /** Every item below `sequence` was sent. */
  learn(sequence: bigint): void {
    if (sequence > this.#known) this.#known = sequence;
  }

  /** @returns whether it is new (A1) */
  add(sequence: bigint, item: T): boolean {
    if (sequence < this.#next || this.#early.has(sequence)) return false;
    this.#early.set(sequence, item);
    this.learn(sequence + 1n);
    return true;
  }

  /** The next item, if it is there. */
  take(): T | undefined {
    const item = this.#early.get(this.#next);
    if (item === undefined) return undefined;
    this.#early.delete(this.#next);
    this.#next += 1n;
    return item;
  }

  /** The item taken last cannot be read (A3). */
  giveBack(): void {
    this.#next -= 1n;
  }

  /** What is missing below `limit`, as ranges [from, to), at most `rangesMax` of them. */
  missing(limit: bigint, rangesMax: number): { readonly from: bigint; readonly to: bigint }[] {
    const ranges: { from: bigint; to: bigint }[] = [];
    const end = limit < this.#known ? limit : this.#known;
    for (let sequence = this.#next; sequence < end; sequence += 1n) {
      if (this.#early.has(sequence)) continue;
      const last = ranges.at(-1);
      if (last?.to === sequence) last.to = sequence + 1n;
      else if (ranges.length === rangesMax) break;
      else ranges.push({ from: sequence, to: sequence + 1n });
    }
    return ranges;
  }

  clear(): void {
    this.#early.clear();
  }
}
