/**
 * What a failed S3 request means: whether to try again, and which error the caller gets.
 *
 * Messages name store, endpoint and key, and what to do. Of the client's error they repeat its name, and its text only
 * where the server answered: what the client says of itself may hold a request with its signature.
 */
import { type ErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { invalidKey, notFound } from "./object-calls.js";

export interface S3Error extends Error {
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
}

/** Errors with a 4xx status that the same request may not meet again: damage on the way, haste, clocks. */
const TRANSIENT_NAMES = new Set([
  "BadDigest",
  "IncompleteBody",
  "RequestTimeTooSkewed", // the client corrects its clock by the answer
  "RequestTimeout",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "XAmzContentChecksumMismatch",
  "XAmzContentSHA256Mismatch",
]);

/** HTTP status of an answer; undefined where none came. */
export function statusOf(error: unknown): number | undefined {
  return (error as S3Error | undefined)?.$metadata?.httpStatusCode;
}

export function isTransient(error: unknown): boolean {
  const { name, code } = error as S3Error;
  const status = statusOf(error);
  if (status === undefined) return name === "TimeoutError" || (typeof code === "string" && isNetworkCode(code));
  if (TRANSIENT_NAMES.has(name)) return true;
  return status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 507);
}

/** Codes of the operating system, of TLS and of the HTTP parser: all mean that no answer came. */
function isNetworkCode(code: string): boolean {
  return /^(E[A-Z]+|EAI_[A-Z]+|HPE_[A-Z_]+|ERR_(SOCKET|STREAM|SSL|TLS)_[A-Z_]+|[A-Z_]*CERT[A-Z_]*)$/.test(code);
}

export interface S3Place {
  readonly url: string;
  readonly bucket: string;
  /** Without credentials. */
  readonly endpoint: string | undefined;
}

export function whereIs({ url, endpoint }: S3Place): string {
  return endpoint === undefined ? url : `${url} at ${endpoint}`;
}

/** The error of a request that is not tried again. */
export function explain(place: S3Place, key: string, cause: unknown): MillraceError {
  if (MillraceError.is(cause)) return cause;
  const error = cause as S3Error;
  const status = statusOf(error);
  const where = whereIs(place);
  const as = (code: ErrorCode, message: string) => new MillraceError(code, message, { url: place.url, key }, { cause });
  const refusal = refusalOf(error, status, place);
  if (refusal !== undefined) return as("MILL_STORE_REFUSED", `${where}: ${refusal}`);
  if (status === 404) return notFound(where, key, cause);
  if (/^(KeyTooLongError|XMinioInvalidObjectName)$/.test(error.name)) return invalidKey(key, cause);
  if (status === 507 || /StorageFull|QuotaExceeded/.test(error.name)) {
    return as("MILL_STORE_FULL", `${where} has no room left for ${key} (${error.name}). Free some and run again.`);
  }
  if (status === undefined && isTransient(error)) {
    return as(
      "MILL_STORE_UNREACHABLE",
      `${where} cannot be reached (${error.code ?? error.name}, tried ${limits.storeAttemptsMax} times). Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
    );
  }
  const tried = isTransient(error) ? ` after ${limits.storeAttemptsMax} attempts` : "";
  const said = status === undefined ? error.name : `status ${status}, ${error.name}: ${error.message}`;
  return as(
    "MILL_STORE_FAILED",
    `${where}: ${key} failed${tried} (${said}). Look into the store's log, then run again.`,
  );
}

function refusalOf(error: S3Error, status: number | undefined, { bucket }: S3Place): string | undefined {
  if (error.name === "NoSuchBucket") return `there is no bucket ${bucket}. Create it, or name another one.`;
  if (status === 301 || error.name === "AuthorizationHeaderMalformed") {
    return `the bucket ${bucket} is in another region (${error.name}). Set AWS_REGION to it.`;
  }
  if (status === 403 || status === 401 || error.name === "CredentialsProviderError") {
    return `these credentials are refused (${error.name}). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a user who may read and write the bucket.`;
  }
  return undefined;
}
