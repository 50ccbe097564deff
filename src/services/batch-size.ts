/**
 * How many rows the next call may hold: as many as the service declares, fewer where calls take longer than its target, and
 * never again as many as have once been too much for the memory.
 *
 * Invariants:
 *   Z1  From 1 to `rowsMax`, whatever is told.
 *   Z2  A size that ran out of memory is not tried again, nor a larger one.
 *   Z3  A call that took longer than the target makes the next ones smaller; it grows while calls of full size stay within it.
 */
export class BatchSize {
  #rows: number;
  #rowsMax: number;

  /** @param latencyMsTarget 0: none */
  constructor(
    rowsMax: number,
    private readonly latencyMsTarget: number,
  ) {
    this.#rowsMax = rowsMax;
    this.#rows = rowsMax;
  }

  get rows(): number {
    return this.#rows;
  }

  /** A call of so many rows has succeeded. */
  took(rows: number, ms: number): void {
    if (this.latencyMsTarget === 0) return;
    if (ms > this.latencyMsTarget) {
      this.#set(Math.min(this.#rows, Math.floor((rows * this.latencyMsTarget) / ms)));
    } else if (rows >= this.#rows) {
      this.#set(this.#rows + Math.max(1, Math.floor(this.#rows / 8)));
    }
  }

  ranOutOfMemory(rows: number): void {
    this.#rowsMax = Math.max(1, Math.min(this.#rowsMax, rows - 1));
    this.#set(Math.min(this.#rows, Math.floor(rows / 2)));
  }

  #set(rows: number): void {
    this.#rows = Math.min(Math.max(rows, 1), this.#rowsMax);
  }
}
