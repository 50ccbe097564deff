/**
 * The rows of requests that an instance has answered, until it is told that nobody asks about them again: a request is shorter to name
 * than its rows. Where no checkpoint comes for long the oldest are forgotten; what was answered for them goes in its own time (R2).
 */
export class AnsweredRequests {
  #rowIds = new Map<string, readonly string[]>();
  #rows = 0;

  constructor(private readonly rowsMax: number) {}

  add(request: string, rowIds: readonly string[]): void {
    if (rowIds.length === 0) return;
    this.take(request);
    this.#rowIds.set(request, rowIds);
    this.#rows += rowIds.length;
    for (const oldest of this.#rowIds.keys()) {
      if (this.#rows <= this.rowsMax) break;
      this.take(oldest);
    }
  }

  /** @returns its rows, as far as they are known; they are not known any more */
  take(request: string): readonly string[] {
    const rowIds = this.#rowIds.get(request);
    if (rowIds === undefined) return [];
    this.#rowIds.delete(request);
    this.#rows -= rowIds.length;
    return rowIds;
  }
}
