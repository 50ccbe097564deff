/**
 * Those who wait until a channel may take a batch. After a refusal nobody is told to try again before something has
 * changed, so that a batch too large for what is left does not spin.
 */
import { type Deferred, deferred } from "../bus/deferred.js";

export class Room {
  #refused = false;
  #closed: { readonly error: unknown } | undefined;
  #waiting: Deferred<void> | undefined;

  /** Somebody was refused, and nothing has changed since. */
  get refused(): boolean {
    return this.#refused;
  }

  refuse(): false {
    this.#refused = true;
    return false;
  }

  async wait(): Promise<void> {
    this.check();
    if (!this.#refused) return;
    this.#waiting ??= deferred<void>();
    await this.#waiting.promise;
  }

  open(): void {
    this.#refused = false;
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }

  /** The first reason counts. */
  close(error: unknown): void {
    if (this.#closed !== undefined) return;
    this.#closed = { error };
    this.#waiting?.reject(error);
    this.#waiting = undefined;
  }

  check(): void {
    if (this.#closed !== undefined) throw this.#closed.error;
  }
}
