/** Errors as HTTP answers: problem details (RFC 9457) with the code of the error table. */
import { ERROR_CODES, type ErrorCode, isErrorCode, MillraceError } from "../base/errors.js";

export const PROBLEM_TYPE = "application/problem+json";

export interface Problem {
  /** Names the kind of error; the same for all errors of a code. */
  readonly type: string;
  /** The code in words. */
  readonly title: string;
  readonly status: number;
  /** What is wrong and what to do next, for people. */
  readonly detail: string;
  /** As in docs/errors.md. */
  readonly code: ErrorCode;
}

/** Messages of other systems' faults and of our own may hold what only the log should see, so they are not passed on. */
export function problemOf(cause: unknown): Problem {
  const error = errorOf(cause);
  const { http } = ERROR_CODES[error.code];
  const detail =
    error.code === "MILL_INTERNAL"
      ? "something failed in a way that nobody foresaw; the coordinator's log has more."
      : error.message;
  return {
    type: `urn:millrace:error:${error.code}`,
    title: titleOf(error.code),
    status: http,
    detail,
    code: error.code,
  };
}

/** What Fastify itself refuses, in our codes. */
export function errorOf(cause: unknown): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const { validation, validationContext, statusCode, code, message } = cause as FastifyRefusal;
  const refused = (ours: ErrorCode, text: string) => new MillraceError(ours, text, {}, { cause });
  if (validation !== undefined) {
    const [first] = validation;
    const at = `${validationContext ?? "request"}${first?.instancePath?.replaceAll("/", ".") ?? ""}`;
    return refused("MILL_REQUEST_INVALID", `${at} ${first?.message ?? "is not valid"}. See /docs for what it may be.`);
  }
  if (statusCode === 413) return refused("MILL_REQUEST_TOO_LARGE", `the body is too large for this route: ${message}`);
  if (statusCode === 404) return refused("MILL_REQUEST_NOT_FOUND", message ?? "there is no such thing.");
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500)
    return refused("MILL_REQUEST_INVALID", `the request cannot be read: ${message} (${code})`);
  return MillraceError.from(cause);
}

interface FastifyRefusal {
  readonly validation?: readonly { readonly instancePath?: string; readonly message?: string }[];
  readonly validationContext?: string;
  readonly statusCode?: number;
  readonly code?: string;
  readonly message?: string;
}

/** `MILL_JOB_UNKNOWN`: "Job unknown". */
function titleOf(code: ErrorCode): string {
  const words = code
    .replace(/^MILL_/, "")
    .replaceAll("_", " ")
    .toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The error that a problem tells of, as a client of the API has it. */
export function errorOfProblem({
  code,
  detail,
}: {
  readonly code?: unknown;
  readonly detail?: unknown;
}): MillraceError {
  const known = typeof code === "string" && isErrorCode(code) ? code : "MILL_INTERNAL";
  return new MillraceError(known, String(detail ?? "the coordinator answered with an error that says nothing."));
}
