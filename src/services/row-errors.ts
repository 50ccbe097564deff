/** Errors that are of the rows of one request: they are bad records, and whoever sent them goes on. */
import { MillraceError } from "../base/errors.js";
import type { Service } from "../topology/service.js";

const OF_ROWS: ReadonlySet<string> = new Set([
  "MILL_SERVICE_FAILED",
  "MILL_SERVICE_LOST",
  "MILL_SERVICE_TIMEOUT",
  "MILL_OUT_OF_MEMORY",
  "MILL_ENDPOINT_UNREACHABLE",
  "MILL_ENDPOINT_BUSY",
  "MILL_ENDPOINT_FAILED",
  "MILL_ENDPOINT_REFUSED",
  "MILL_ENDPOINT_INVALID",
  "MILL_RECORD_INVALID",
  "MILL_FRAME_TOO_LARGE",
]);

/** Of one message; an answer may carry one for each row in its header, and a server may say anything. */
const MESSAGE_CHARS_MAX = 4_096;

export function shortened(message: string): string {
  return message.length <= MESSAGE_CHARS_MAX ? message : `${message.slice(0, MESSAGE_CHARS_MAX)}...`;
}

export function isOfRows(error: unknown): error is MillraceError {
  return MillraceError.is(error) && OF_ROWS.has(error.code);
}

export function poisoned(
  { id: service }: Service,
  { rows }: { readonly rows: number },
  crashes: number,
  reason: string,
): MillraceError {
  const what = `this request of ${rows} rows was on board of ${crashes} instances that were lost; the last one: ${reason}`;
  return new MillraceError("MILL_SERVICE_LOST", `service "${service}": ${what}`, { service, crashes });
}

export function timedOut({ id: service, deadlineMs }: Service, { tries }: { readonly tries: number }): MillraceError {
  const what = `no answer within its deadlineMs of ${deadlineMs} ms, ${tries} tries`;
  return new MillraceError("MILL_SERVICE_TIMEOUT", `service "${service}": ${what}.`, { service, tries });
}
