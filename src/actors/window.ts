/**
 * Room for work under way, in rows and bytes. Whoever adds waits for room; a single piece larger than the whole
 * window is let in when it is alone.
 */
export class Window {
  #rows = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(
    private readonly rowsMax: number,
    private readonly bytesMax: number,
  ) {}

  get rows(): number {
    return this.#rows;
  }

  /** One waiter at a time. */
  async enter(rows: number, bytes: number): Promise<void> {
    while (this.#rows > 0 && (this.#rows + rows > this.rowsMax || this.#bytes + bytes > this.bytesMax)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#rows += rows;
    this.#bytes += bytes;
  }

  leave(rows: number, bytes: number): void {
    this.#rows -= rows;
    this.#bytes -= bytes;
    this.#wake?.();
    this.#wake = undefined;
  }
}
