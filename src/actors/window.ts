/**
 * Room for work under way, in rows and bytes. A single piece larger than the whole window is let in when it is alone.
 */
export class Window {
  #rows = 0;
  #bytes = 0;
  #waiting: (() => void)[] = [];

  constructor(
    private readonly rowsMax: number,
    private readonly bytesMax: number,
  ) {}

  get rows(): number {
    return this.#rows;
  }

  /** Takes the room if there is any. @param rowsMax a smaller bound for this piece */
  tryEnter(rows: number, bytes: number, rowsMax = this.rowsMax): boolean {
    const bound = Math.min(rowsMax, this.rowsMax);
    if (this.#rows > 0 && (this.#rows + rows > bound || this.#bytes + bytes > this.bytesMax)) return false;
    this.force(rows, bytes);
    return true;
  }

  /** Takes room that may not be there: for work that was under way before. */
  force(rows: number, bytes: number): void {
    this.#rows += rows;
    this.#bytes += bytes;
  }

  leave(rows: number, bytes: number): void {
    this.#rows -= rows;
    this.#bytes -= bytes;
    this.wake();
  }

  /** Lets those who wait try again. */
  wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Resolves after the next `leave` or `wake`. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
