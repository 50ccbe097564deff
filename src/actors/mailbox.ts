/**
 * A queue with a bound in bytes and items, between one side that waits for room and one that waits for items.
 *
 * Invariants:
 *   Q1  Items come out in the order they went in.
 *   Q2  What it holds stays within both bounds, but an item larger than the byte bound is let in when it is alone.
 *   Q3  After `fail` both sides meet the error; what was queued is dropped.
 */
export interface MailboxBounds {
  readonly bytesMax: number;
  readonly itemsMax: number;
}

export class Mailbox<T> {
  #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #closed = false;
  #error: unknown;
  #wakeTaker: (() => void) | undefined;
  #wakePutters: (() => void)[] = [];

  constructor(private readonly bounds: MailboxBounds) {}

  get items(): number {
    return this.#items.length;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** Queues the item, or returns a promise that resolves once it is queued. */
  put(item: T, bytes: number): void | Promise<void> {
    if (this.#error !== undefined) throw this.#error;
    if (!this.#hasRoom(bytes)) return this.#putLater(item, bytes);
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    this.#wakeTaker?.();
  }

  /** No more will be put; what is queued still comes out. */
  close(): void {
    this.#closed = true;
    this.#wakeTaker?.();
  }

  fail(error: unknown): void {
    this.#error ??= error;
    this.#items = [];
    this.#bytes = 0;
    this.#wakeTaker?.();
    for (const wake of this.#wakePutters.splice(0)) wake();
  }

  /** The next item, or undefined once it is closed and empty. One taker at a time. */
  async take(): Promise<T | undefined> {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      const next = this.#items.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes;
        this.#wakePutters.shift()?.();
        return next.item;
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
      this.#wakeTaker = undefined;
    }
  }

  async #putLater(item: T, bytes: number): Promise<void> {
    while (!this.#hasRoom(bytes)) {
      await new Promise<void>((resolve) => this.#wakePutters.push(resolve));
      if (this.#error !== undefined) throw this.#error;
    }
    await this.put(item, bytes);
  }

  #hasRoom(bytes: number): boolean {
    if (this.#items.length === 0) return true;
    return this.#items.length < this.bounds.itemsMax && this.#bytes + bytes <= this.bounds.bytesMax;
  }
}
