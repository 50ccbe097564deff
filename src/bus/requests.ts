/**
 * One question that waits for its answer: timeout, abort and the end of the bus, each of which takes the others away.
 * Shared by the buses that find answers themselves (memory, link).
 */
import type { Clock } from "../base/ports.js";
import type { BusMessage } from "./bus.js";
import { deferred } from "./deferred.js";
import { closedError, timeoutError } from "./delivery.js";

export interface OpenRequest {
  readonly answer: Promise<BusMessage>;
  resolve(message: BusMessage): void;
  reject(error: unknown): void;
}

export class OpenRequests {
  private readonly open = new Set<OpenRequest>();

  constructor(private readonly clock: Clock) {}

  start(subject: string, timeoutMs: number, signal: AbortSignal | undefined): OpenRequest {
    const { promise, resolve, reject } = deferred<BusMessage>();
    const settle = () => {
      this.open.delete(request);
      timer.cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const request: OpenRequest = {
      answer: promise,
      resolve: (message) => {
        settle();
        resolve(message);
      },
      reject: (error) => {
        settle();
        reject(error);
      },
    };
    const onAbort = () => request.reject(signal?.reason);
    const timer = this.clock.after(timeoutMs, () => request.reject(timeoutError(subject, timeoutMs)));
    signal?.addEventListener("abort", onAbort, { once: true });
    this.open.add(request);
    return request;
  }

  /** Fails every request that is open with `MILL_BUS_CLOSED`. */
  close(): void {
    for (const request of [...this.open]) request.reject(closedError("request"));
  }
}
