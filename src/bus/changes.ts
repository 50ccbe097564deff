/** Wakes whoever follows a log in memory. */
import { deferred } from "./deferred.js";

export class Changes {
  private next = deferred<void>();

  announce(): void {
    this.next.resolve();
    this.next = deferred<void>();
  }

  /** Resolves at the next announcement, or when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    const aborted = deferred<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await Promise.race([this.next.promise, aborted.promise]);
    signal.removeEventListener("abort", onAbort);
  }
}
