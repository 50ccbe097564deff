/**
 * An append that waits while the log is full, and tries a failed call again. It may write the entry twice: a call that
 * failed may have been done.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Ports } from "../base/ports.js";
import type { DurableLog } from "../bus/bus.js";

/**
 * @param entry gives what is appended, asked before each try
 * @returns the entry's sequence
 * @throws {MillraceError} the signal's reason; `MILL_BUS_LOG_FULL` where even the empty log has no room for the entry; what
 *   `append` throws, when it is no use to try again or has failed `limits.exchangeAttemptsMax` times
 */
export async function appendWaiting(
  log: DurableLog,
  entry: () => Uint8Array | Promise<Uint8Array>,
  ports: Ports,
  signal: AbortSignal,
): Promise<bigint> {
  let failures = 0;
  /** End of the log when it was last seen empty. */
  let emptyAt: bigint | undefined;
  for (let pauseMs: number = limits.exchangeBackoffMs; ; pauseMs = Math.min(2 * pauseMs, limits.exchangeBackoffMsMax)) {
    signal.throwIfAborted();
    try {
      return await log.append(await entry());
    } catch (error) {
      if (!MillraceError.is(error)) throw error;
      if (error.code === "MILL_BUS_LOG_FULL") {
        const last = await log.last();
        if (emptyAt === last) throw error; // nobody has appended since, and still there was no room: there never will be
        emptyAt = (await log.first()) > last ? last : undefined;
        failures = 0;
      } else if (!isTransient(error) || ++failures >= limits.exchangeAttemptsMax) {
        throw error;
      }
    }
    await ports.clock.sleep(pauseMs * (0.5 + ports.random.next() / 2), signal);
  }
}

/** @throws {MillraceError} the signal's reason; what `call` throws, when it is no use to try again or has failed `limits.exchangeAttemptsMax` times */
export async function tryAgain<T>(call: () => Promise<T>, { clock }: Ports, signal: AbortSignal): Promise<T> {
  for (let failures = 1; ; failures++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (!isTransient(error) || failures >= limits.exchangeAttemptsMax) throw error;
    }
    await clock.sleep(Math.min(limits.exchangeBackoffMs * 2 ** failures, limits.exchangeBackoffMsMax), signal);
  }
}

export function isTransient(error: unknown): boolean {
  return MillraceError.is(error) && error.retry === "backoff" && error.code !== "MILL_BUS_CLOSED";
}
