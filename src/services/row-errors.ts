/** Errors that are of the rows of one request: they are bad records, and whoever sent them goes on. */
import { MillraceError } from "../base/errors.js";

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
