/** The reader's side of a source's splits. */
import { isErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Bus } from "../bus/bus.js";
import type { Split } from "../topology/endpoints.js";
import { type SplitRequest, splitAssignmentFrame, splitRequestFrame } from "../wire/control.js";

/** Not there yet, or not any more: the enumerator may be on its way to another host. */
const PASSING: ReadonlySet<string> = new Set(["MILL_BUS_NO_RESPONDER", "MILL_BUS_TIMEOUT"]);

/**
 * The reader's assignment of that number. The same question always has the same answer, so it is asked until there is one.
 * @returns undefined: there is none, and none after it
 * @throws {MillraceError} what keeps the source from being listed; the signal's reason
 */
export async function requestSplit(
  bus: Bus,
  clock: Clock,
  subject: string,
  request: SplitRequest,
  signal: AbortSignal,
): Promise<Split | undefined> {
  const question = splitRequestFrame.encode(request);
  for (;;) {
    let payload: Uint8Array;
    try {
      ({ payload } = await bus.request(subject, question, { timeoutMs: limits.splitRequestTimeoutMs, signal }));
    } catch (error) {
      signal.throwIfAborted();
      if (!MillraceError.is(error) || !PASSING.has(error.code)) throw error;
      await clock.sleep(limits.splitRequestRepeatMs, signal);
      continue;
    }
    const { split, done, code, message } = splitAssignmentFrame.decode(payload).header;
    if (code !== "") {
      throw new MillraceError(isErrorCode(code) ? code : "MILL_INTERNAL", message, { operator: request.operator });
    }
    if (split !== null) return split;
    if (done) return undefined;
  }
}
