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

/** Of credentials that were good once. */
const EXPIRED_NAMES = new Set(["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"]);

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
  if (EXPIRED_NAMES.has(error.name)) {
    return as(
      "MILL_STORE_EXPIRED",
      `${where}: these credentials have run out (${error.name}). Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew, and start again.`,
    );
  }
  const refusal = refusalOf(error, status, key, place);
  if (refusal !== undefined) return as("MILL_STORE_REFUSED", `${where}: ${refusal}`);
  if (error.name === "NoSuchUpload") {
    return as(
      "MILL_STORE_FAILED",
      `${where}: the upload of ${key} was ended by somebody else (NoSuchUpload). Look for a rule of the bucket that clears uploads too early, then run again.`,
    );
  }
  if (status === 404 && key !== "") return notFound(where, key, cause);
  if (/^(KeyTooLongError|XMinioInvalidObjectName)$/.test(error.name)) return invalidKey(key, cause);
  if (status === 507 || /StorageFull|QuotaExceeded/.test(error.name)) {
    return as("MILL_STORE_FULL", `${where} has no room left for ${key} (${error.name}). Free some and run again.`);
  }
  if (status === undefined && isTransient(error)) {
    return as(
      "MILL_STORE_UNREACHABLE",
      `${where} cannot be reached (${silenceOf(error)}, tried ${limits.storeAttemptsMax} times). Start it (compose.yaml has one), or set AWS_ENDPOINT_URL_S3.`,
    );
  }
  const tried = isTransient(error) ? ` after ${limits.storeAttemptsMax} attempts` : "";
  const said = status === undefined ? error.name : `status ${status}, ${error.name}: ${error.message}`;
  return as(
    "MILL_STORE_FAILED",
    `${where}: ${key === "" ? "the request" : key} failed${tried} (${said}). Look into the store's log, then run again.`,
  );
}

function refusalOf(error: S3Error, status: number | undefined, key: string, place: S3Place): string | undefined {
  const { bucket } = place;
  if (error.name === "NoSuchBucket") return `there is no bucket ${bucket}. Create it, or name another one.`;
  if (status === 301 || error.name === "AuthorizationHeaderMalformed") {
    return `the bucket ${bucket} is in another region (${error.name}). Set AWS_REGION to it.`;
  }
  if (status === 400 && error.name === "Unknown") {
    // The answer to a HEAD has no body that could say why.
    return `a request for the bucket ${bucket} is refused without a reason (status 400); mostly it is in another region, or the credentials have run out. Set AWS_REGION to the bucket's, and AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew.`;
  }
  if (error.name === "InvalidBucketName") return `${bucket} is no name that a bucket can have. Name another one.`;
  if (error.name === "CredentialsProviderError") return `no credentials were given. ${LOGIN}`;
  if (status === 403 || status === 401) return `these credentials are refused (${error.name}). ${LOGIN}`;
  // Of an object it would be missing; of the bucket every S3 server says so by name.
  if (status === 404 && key === "") return NO_S3;
  return undefined;
}

const LOGIN = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a user who may read and write the bucket.";

/** Of something that answers, but not as S3 does. */
export const NO_S3 = "what answers there is no S3 server. Set AWS_ENDPOINT_URL_S3 to the address of one.";

/** Why no answer came, with the code for those who look it up. */
function silenceOf({ code, name }: S3Error): string {
  if (code === undefined) return name;
  if (code.startsWith("HPE_")) return `what answers there speaks no HTTP, ${code}`;
  if (code === "EPROTO") return `it speaks no TLS, which https:// asks for, ${code}`;
  return code;
}
