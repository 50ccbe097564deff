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

interface Waiting<T> {
  readonly item: T;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class Mailbox<T> {
  #items: { readonly item: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #closed = false;
  #failed: { readonly error: unknown } | undefined;
  #wakeTaker: (() => void) | undefined;
  #putters: Waiting<T>[] = [];

  constructor(private readonly bounds: MailboxBounds) {}

  get items(): number {
    return this.#items.length;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** Queues the item, or returns a promise that resolves once it is queued. */
  put(item: T, bytes: number): void | Promise<void> {
    if (this.#failed !== undefined) throw this.#failed.error;
    // Nobody overtakes those who wait (Q1).
    if (this.#putters.length > 0 || !this.#hasRoom(bytes)) {
      return new Promise((resolve, reject) => this.#putters.push({ item, bytes, resolve, reject }));
    }
    this.#queue(item, bytes);
  }

  /** No more will be put; what is queued, or waits to be, still comes out. */
  close(): void {
    this.#closed = true;
    this.#wakeTaker?.();
  }

  fail(error: unknown): void {
    this.#failed ??= { error };
    this.#items = [];
    this.#bytes = 0;
    this.#wakeTaker?.();
    for (const putter of this.#putters.splice(0)) putter.reject(this.#failed.error);
  }

  /** The next item, or undefined once it is closed and empty. One taker at a time. */
  async take(): Promise<T | undefined> {
    for (;;) {
      if (this.#failed !== undefined) throw this.#failed.error;
      const next = this.#items.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes;
        this.#admit();
        return next.item;
      }
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeTaker = resolve;
      });
      this.#wakeTaker = undefined;
    }
  }

  /** Lets in those who wait, in their order, as far as there is room. */
  #admit(): void {
    for (let first = this.#putters[0]; first !== undefined && this.#hasRoom(first.bytes); first = this.#putters[0]) {
      this.#putters.shift();
      this.#queue(first.item, first.bytes);
      first.resolve();
    }
  }

  #queue(item: T, bytes: number): void {
    this.#items.push({ item, bytes });
    this.#bytes += bytes;
    this.#wakeTaker?.();
  }

  #hasRoom(bytes: number): boolean {
    if (this.#items.length === 0) return true;
    return this.#items.length < this.bounds.itemsMax && this.#bytes + bytes <= this.bounds.bytesMax;
  }
}
