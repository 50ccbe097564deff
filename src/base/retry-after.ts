/**
 * How long a server wants to be left alone: `Retry-After` of RFC 9110 (seconds, or a date), and `retry-after-ms`, which
 * OpenAI and Azure send beside it.
 *
 * A date is compared with the server's own `Date`, where it sends one: its clock and ours need not agree.
 */

/** The headers of an answer. */
export interface AnswerHeaders {
  /** The value of a header, by its name in lower case; the first one where there are several. */
  header(name: string): string | undefined;
}

/** @returns ms from now, at least 0; undefined: the server did not say, or not in a form that there is */
export function retryAfterMs(answer: AnswerHeaders, nowMs: number): number | undefined {
  const exact = answer.header("retry-after-ms")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(exact)) return Math.ceil(Number(exact));
  const said = answer.header("retry-after")?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(said)) return Math.ceil(Number(said) * 1000);
  const whenMs = httpDateMs(said);
  if (whenMs === undefined) return undefined;
  return Math.max(0, whenMs - (httpDateMs(answer.header("date") ?? "") ?? nowMs));
}

const MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec";

/** `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that RFC 9110 lets servers send, as ms since the Unix epoch. */
function httpDateMs(text: string): number | undefined {
  const parts = /^\w{3}, (\d{2}) (\w{3}) (\d{4}) (\d{2}):(\d{2}):(\d{2}) GMT$/.exec(text.trim());
  const month = MONTHS.indexOf(parts?.[2] ?? "?") / 3;
  if (parts === null || !Number.isInteger(month)) return undefined;
  const [day, year, hour, minute, second] = [parts[1], parts[3], parts[4], parts[5], parts[6]].map(Number);
  return ((daysSinceEpoch(year!, month, day!) * 24 + hour!) * 60 + minute!) * 60_000 + second! * 1000;
}

/** Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so that the leap day comes last. */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const from = month < 2 ? year - 1 : year;
  const dayOfYear = Math.floor((153 * ((month + 10) % 12) + 2) / 5) + day - 1;
  return 365 * from + Math.floor(from / 4) - Math.floor(from / 100) + Math.floor(from / 400) + dayOfYear - 719_468;
}
