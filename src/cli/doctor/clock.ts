/** Whether this machine's clock and a server's agree. Pure. */
import { type Check, fail, ok, warn } from "./check.js";

/** What a server said its time was, between two moments of this machine's clock. */
export interface ClockReading {
  readonly server: string;
  readonly serverMs: number;
  /** Of the server's time, as it was told: HTTP tells seconds. */
  readonly coarseMs: number;
  readonly afterMs: number;
  readonly beforeMs: number;
}

/** Events and logs of several machines cannot be put in order above this. */
const SKEW_MS_WARN = 5_000;
/** Signatures, certificates and temporary credentials are refused above this. */
const SKEW_MS_FAIL = 300_000;

const MEND = "Set the clocks by NTP on both (timedatectl set-ntp true, or chrony).";

/** Of the skew only what is certain counts: the time that the question took is not known to be one. */
export function checkClock(readings: readonly ClockReading[]): Check {
  if (readings.length === 0) return warn("clock", "no server told its time", "Mend the servers' checks first.");
  const skews = readings.map(({ server, serverMs, coarseMs, afterMs, beforeMs }) => {
    const aheadMs = serverMs + coarseMs / 2 - (afterMs + beforeMs) / 2;
    const certainMs = Math.max(0, Math.abs(aheadMs) - (beforeMs - afterMs + coarseMs) / 2);
    return { certainMs, text: `${server} ${skewText(aheadMs, certainMs)}` };
  });
  const found = skews.map(({ text }) => text).join(", ");
  const worstMs = Math.max(...skews.map(({ certainMs }) => certainMs));
  if (worstMs >= SKEW_MS_FAIL) return fail("clock", 2, found, MEND);
  return worstMs >= SKEW_MS_WARN ? warn("clock", found, MEND) : ok("clock", found);
}

function skewText(aheadMs: number, certainMs: number): string {
  if (certainMs < 1_000) return "agrees";
  return `is ${(certainMs / 1000).toFixed(0)} s ${aheadMs > 0 ? "ahead" : "behind"}`;
}
