/**
 * Every error that Millrace raises on purpose: a code, who has to act, whether a retry may help, and the facts.
 *
 * Callers branch on `code`, never on message text. A message names the thing (operator, column, file, limit,
 * server) and the next step. `docs/errors.md` has a section per code; `test/unit/errors.test.ts` checks both ways.
 */
import { withoutSecrets } from "./secrets.js";

/** Who has to act: the user (input, code, configuration), an external system, or Millrace itself. */
export type ErrorDomain = "user" | "external" | "internal";
export type RetryAdvice = "never" | "backoff";

interface ErrorEntry {
  readonly domain: ErrorDomain;
  readonly retry: RetryAdvice;
  /** Status of the HTTP answer that carries the error. */
  readonly http: number;
  /** Exit status of the command line. 2: the user's input; 3: an external system; 4: Millrace; 1: the job failed. */
  readonly exit: number;
}

const user = { domain: "user", retry: "never", http: 422, exit: 2 } as const satisfies ErrorEntry;
const external = { domain: "external", retry: "backoff", http: 503, exit: 3 } as const satisfies ErrorEntry;
const internal = { domain: "internal", retry: "never", http: 500, exit: 4 } as const satisfies ErrorEntry;

export const ERROR_CODES = {
  // base
  MILL_INTERNAL: internal,
  MILL_CONFIG: user,
  // topology and plan
  MILL_TOPOLOGY_LOAD: user,
  MILL_TOPOLOGY_CONFINED: user,
  MILL_TOPOLOGY_COLUMN: user,
  MILL_TOPOLOGY_TYPE: user,
  MILL_TOPOLOGY_DUPLICATE_ID: user,
  MILL_TOPOLOGY_UNCONNECTED: user,
  MILL_BUNDLE_BUILD: user,
  MILL_BUNDLE_HASH: { ...external, retry: "never" },
  MILL_BUNDLE_PACKAGE: user,
  MILL_PLAN_MISMATCH: internal,
  // wire
  MILL_FRAME_INVALID: { ...external, retry: "never" },
  MILL_FRAME_UNKNOWN_SCHEMA: { ...external, retry: "never" },
  MILL_FRAME_TOO_LARGE: { ...user, http: 413 },
  // bus
  MILL_BUS_UNREACHABLE: external,
  MILL_BUS_REFUSED: { ...external, retry: "never", http: 502 },
  MILL_BUS_NO_RESPONDER: external,
  MILL_BUS_TIMEOUT: external,
  MILL_BUS_SUBJECT: internal,
  MILL_BUS_CLOSED: external,
  MILL_BUS_CONFLICT: { ...internal, http: 409 },
  MILL_BUS_LOG_FULL: external,
  MILL_BUS_LOG_GONE: { ...external, retry: "never", http: 500 },
  MILL_CHANNEL_GAP: external,
  MILL_EXCHANGE_LOST: { ...external, retry: "never", http: 500 },
  // storage
  MILL_STORE_UNREACHABLE: external,
  MILL_STORE_REFUSED: { ...external, retry: "never", http: 502 },
  MILL_STORE_EXPIRED: { ...external, retry: "never", http: 502 },
  MILL_STORE_NOT_FOUND: { ...user, http: 404 },
  MILL_STORE_CORRUPT: { ...external, retry: "never" },
  MILL_STORE_FULL: external,
  MILL_STORE_KEY: user,
  MILL_STORE_FAILED: external,
  // content
  MILL_CONTENT_ADDRESS: user,
  MILL_CONTENT_HASH: { ...external, retry: "never", http: 502 },
  MILL_CONTENT_SLOW: external,
  MILL_CONTENT_REFUSED: { ...user, http: 403 },
  MILL_CONTENT_TOO_LARGE: { ...user, http: 413 },
  // sources and sinks
  MILL_SOURCE_EMPTY: user,
  MILL_SOURCE_CHANGED: user,
  MILL_SINK_EXISTS: user,
  MILL_SINK_UNWRITABLE: user,
  // records
  MILL_RECORD_INVALID: user,
  MILL_OPERATOR_FAILED: { ...user, exit: 1 },
  // images
  MILL_IMAGE_INVALID: user,
  MILL_IMAGE_TOO_LARGE: user,
  // audio, video and text
  MILL_FFMPEG_MISSING: user,
  MILL_MEDIA_INVALID: user,
  MILL_MEDIA_TOO_LARGE: user,
  MILL_TEXT_TOO_LARGE: user,
  // services
  MILL_MODEL_MISSING: user,
  MILL_MODEL_CORRUPT: user,
  MILL_MODEL_INPUTS: user,
  MILL_PROVIDER_MISSING: user,
  /** Not retried as it is: an instance halves the call at once. Acts: whoever chose the batch size and the machine. */
  MILL_OUT_OF_MEMORY: { ...user, http: 507, exit: 1 },
  MILL_ENDPOINT_UNREACHABLE: external,
  MILL_ENDPOINT_BUSY: external,
  MILL_ENDPOINT_FAILED: { ...external, http: 502 },
  MILL_ENDPOINT_REFUSED: user,
  MILL_ENDPOINT_INVALID: { ...external, retry: "never", http: 502 },
  MILL_ANSWER_INVALID: { ...external, retry: "never", http: 502 },
  MILL_SERVICE_FAILED: { ...external, exit: 1 },
  MILL_SERVICE_LOST: external,
  MILL_SERVICE_TIMEOUT: external,
  // jobs and workers
  MILL_JOB_FAILED: { ...user, exit: 1 },
  MILL_JOB_UNKNOWN: { ...user, http: 404 },
  MILL_WORKER_LOST: external,
  MILL_CHECKPOINT_FAILED: external,
  MILL_SAVEPOINT_UNMATCHED: user,
  MILL_REPLAY_IMPOSSIBLE: user,
  MILL_NO_LEADER: external,
  MILL_TERM_OVER: { ...internal, http: 409 },
  MILL_COMMAND_REFUSED: { ...internal, http: 409 },
  // http api
  MILL_COORDINATOR_UNREACHABLE: external,
  MILL_REQUEST_INVALID: { ...user, http: 400 },
  MILL_REQUEST_UNAUTHENTICATED: { ...user, http: 401 },
  MILL_REQUEST_FORBIDDEN: { ...user, http: 403 },
  MILL_REQUEST_NOT_FOUND: { ...user, http: 404 },
  MILL_REQUEST_METHOD: { ...user, http: 405 },
  MILL_REQUEST_CONFLICT: { ...user, http: 409 },
  MILL_REQUEST_STALE: { ...user, http: 412 },
  MILL_REQUEST_TOO_LARGE: { ...user, http: 413 },
  MILL_REQUEST_TOO_MANY: { ...user, retry: "backoff", http: 429 },
} as const satisfies Record<string, ErrorEntry>;

/** Every code that an error of Millrace can have. docs/errors.md has a section for each. */
export type ErrorCode = keyof typeof ERROR_CODES;
/** What an error is about, as fields by name: file, operator, limit. No secrets. */
export type ErrorFacts = Readonly<Record<string, string | number | bigint | boolean>>;

const BRAND: unique symbol = Symbol.for("millrace.error");

/**
 * Every error that Millrace raises on purpose. Branch on `code`, never on the message; docs/errors.md has them all. Throw one to refuse a row with
 * a code.
 */
export class MillraceError extends Error {
  override readonly name = "MillraceError";
  readonly [BRAND] = true;

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** Logged as fields, never parsed from text. */
    readonly facts: ErrorFacts = {},
    options?: ErrorOptions,
  ) {
    super(withoutSecrets(message), options); // what a server or a user's code has said may repeat what it was told
  }

  get domain(): ErrorDomain {
    return ERROR_CODES[this.code].domain;
  }
  get retry(): RetryAdvice {
    return ERROR_CODES[this.code].retry;
  }

  /** Holds across copies of this package, where `instanceof` does not. */
  static is(e: unknown): e is MillraceError {
    return typeof e === "object" && e !== null && BRAND in e;
  }

  /** `e` itself if it is one of ours, else `e` wrapped as `code` with its message kept. */
  static from(e: unknown, code: ErrorCode = "MILL_INTERNAL", context = ""): MillraceError {
    if (MillraceError.is(e)) return e;
    const text = e instanceof Error ? e.message : String(e);
    return new MillraceError(code, context === "" ? text : `${context}: ${text}`, {}, { cause: e });
  }
}

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** Fails with `MILL_INTERNAL` when an invariant of ours does not hold; stays on in production. */
export function invariant(holds: unknown, message: string): asserts holds {
  if (!holds) throw new MillraceError("MILL_INTERNAL", `broken invariant: ${message}. Please report this.`);
}
