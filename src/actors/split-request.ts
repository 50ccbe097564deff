/** The reader's side of a source's splits. */
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import { type SplitRequest, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";
import type { GivenSplits, SplitWish } from "./splits-ahead.js";

/**
 * The reader's assignment of that number, and what is there of those after it. The same question always has the same answer, so it is asked until there is one: soon
 * again, because its answer may have died with the enumerator's host, which is there again in no time.
 * @param wish asked before each message
 * @throws {MillraceError} what keeps the source from being listed; the signal's reason
 */
export async function requestSplit(
  bus: Bus,
  clock: Clock,
  subject: string,
  request: Omit<SplitRequest, keyof SplitWish>,
  wish: () => SplitWish,
  signal: AbortSignal,
): Promise<GivenSplits> {
  let [timeoutMs, repeatMs]: [number, number] = [limits.splitRequestTimeoutMs, limits.splitRequestRepeatMs];
  for (;;) {
    let payload: Uint8Array;
    try {
      const question = splitRequestFrame.encode({ ...request, ...wish() });
      ({ payload } = await bus.request(subject, question, { timeoutMs, signal }));
    } catch (error) {
      signal.throwIfAborted();
      if (MillraceError.is(error) && error.code === "MILL_BUS_TIMEOUT") {
        timeoutMs = Math.min(timeoutMs * 2, limits.splitRequestTimeoutMsMax);
        continue;
      }
      // Not there yet, or not any more: the enumerator may be on its way to another host.
      if (!MillraceError.is(error) || error.code !== "MILL_BUS_NO_RESPONDER") throw error;
      await clock.sleep(repeatMs, signal);
      repeatMs = Math.min(repeatMs * 2, limits.splitRequestRepeatMsMax);
      continue;
    }
    const { split, done, code, message, more } = splitAssignmentFrame.decode(payload).header;
    if (code !== "") {
      throw new MillraceError(isErrorCode(code) ? code : "MILL_INTERNAL", message, { operator: request.operator });
    }
    if (split !== null) return [split, ...more];
    return done ? "none" : "later";
  }
}
