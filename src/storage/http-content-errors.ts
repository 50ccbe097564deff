/** What goes wrong with content over HTTP, as our errors; what may be tried again. No message repeats a user, a password or a query. */
import { connectionReason } from "../base/connection-reason.js";
import { type ErrorCode, MillraceError } from "../base/errors.js";
import { shown } from "./content-checks.js";

/** An attempt that failed, and may not fail again. */
export class Transient extends Error {
  constructor(
    /** What the caller gets when no further attempt is made. */
    readonly error: MillraceError,
    /** How long the server wants to be left alone. */
    readonly waitMs: number | undefined = undefined,
  ) {
    super(error.message);
  }
}

/** An answer that broke off, and cannot be continued; it may be read anew by whoever has handed nothing of it on. */
export class Broken extends Error {
  constructor(readonly error: MillraceError) {
    super(error.message);
  }
}

export interface Asked {
  /** What the caller asked for. */
  readonly uri: string;
  /** What is asked for now, after redirects. */
  readonly url?: URL;
}

export function failure(code: ErrorCode, { uri, url }: Asked, what: string, cause?: unknown): MillraceError {
  const place = shown(uri);
  const led = url === undefined || new URL(uri).host === url.host ? "" : ` (redirected to ${url.host})`;
  return new MillraceError(code, `${place}${led}: ${what}`, { uri: place }, { cause });
}

const TRANSIENT_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);

/** @param said beginning of the body */
export function statusFailure(
  asked: Asked,
  status: number,
  said: string,
  waitMs: number | undefined,
): MillraceError | Transient {
  if (TRANSIENT_STATUS.has(status)) {
    const when = waitMs === undefined ? "" : `, and asks to be left alone for ${Math.ceil(waitMs / 1000)} s`;
    return new Transient(
      failure("MILL_STORE_FAILED", asked, `the server answers with status ${status}${when}. Try again later.`),
      waitMs,
    );
  }
  if (status === 404 || status === 410) {
    return failure("MILL_STORE_NOT_FOUND", asked, `there is nothing at this address (status ${status}). Check it.`);
  }
  // What S3 and its like say of a signed address that was good once.
  if (
    status >= 400 &&
    status < 404 &&
    /ExpiredToken|TokenRefreshRequired|Request has expired|AuthenticationFailed.*expired/is.test(said)
  ) {
    return failure("MILL_STORE_EXPIRED", asked, "the signature in the address has run out. Make the addresses anew.");
  }
  if (status >= 400 && status < 500) {
    const why =
      status === 401 || status === 403
        ? " Check who may read it, and the credentials in the address."
        : " Check the address.";
    return failure("MILL_STORE_REFUSED", asked, `the server refuses with status ${status}.${why}`);
  }
  return failure("MILL_STORE_FAILED", asked, `the server answers with status ${status}, which is none for content.`);
}

/** Of what the connection, or the library below, said. */
export function connectionFailure(asked: Asked, cause: unknown): MillraceError | Transient {
  if (MillraceError.is(cause)) return cause;
  const { code = "", name, message } = cause as NodeJS.ErrnoException;
  if (code === "UND_ERR_CONNECT_TIMEOUT" || code === "UND_ERR_HEADERS_TIMEOUT" || code === "UND_ERR_BODY_TIMEOUT") {
    return new Transient(
      failure("MILL_CONTENT_SLOW", asked, `${SLOW[code]}. Look at the server and the network.`, cause),
    );
  }
  if (name === "HTTPParserError" || code === "UND_ERR_HEADERS_OVERFLOW") {
    return failure(
      "MILL_STORE_FAILED",
      asked,
      `what answers does not speak HTTP (${message}). Check the address.`,
      cause,
    );
  }
  const unreachable = failure(
    "MILL_STORE_UNREACHABLE",
    asked,
    `${connectionReason({ code, message })}. Check the address and the network.`,
    cause,
  );
  return LASTING.test(code) ? unreachable : new Transient(unreachable);
}

const SLOW = {
  UND_ERR_CONNECT_TIMEOUT: "no connection came about in time",
  UND_ERR_HEADERS_TIMEOUT: "no answer came in time",
  UND_ERR_BODY_TIMEOUT: "the answer stopped, and nothing more came in time",
} as const;

/** A name that does not exist, and a certificate that does not hold, are the same a second later. */
const LASTING = /^(ENOTFOUND|.*CERT.*|ERR_TLS.*|ERR_SSL.*|EPROTO)$/;
