/** What the NATS clients throw, as errors that name the thing and the next step. */
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import {
  AuthorizationError,
  ClosedConnectionError,
  DrainingConnectionError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
  UserAuthenticationExpiredError,
} from "@nats-io/transport-node";
import { MillraceError } from "../base/errors.js";

/** Codes of the server's JetStream errors that the client has no name for (nats-server, `server/errors.json`). */
const API_MAXIMUM_BYTES = 10077;
const API_MESSAGE_TOO_LARGE = 10054;
const API_INSUFFICIENT_STORAGE = 10047;
const API_INSUFFICIENT_RESOURCES = 10023;

/** @param urls without credentials @param given whether there were any */
export function connectError(error: unknown, urls: string, given: boolean): MillraceError {
  const options = { cause: error };
  if (error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError) {
    return new MillraceError(
      "MILL_BUS_REFUSED",
      `NATS at ${urls} ${given ? "refused the credentials" : "wants credentials and got none"} (${error.message}). Set MILLRACE_NATS_USER and MILLRACE_NATS_PASSWORD, MILLRACE_NATS_TOKEN, MILLRACE_NATS_NKEY or MILLRACE_NATS_CREDS to what this server takes.`,
      { urls },
      options,
    );
  }
  const reason = messageOf(error);
  if (/does not support 'tls'/.test(reason)) {
    return new MillraceError(
      "MILL_BUS_REFUSED",
      `NATS at ${urls} speaks no TLS. Set it up on the server, or write nats:// where password and data may go in the clear.`,
      { urls },
      options,
    );
  }
  if (certificateRefused(error)) {
    return new MillraceError(
      "MILL_BUS_REFUSED",
      `NATS at ${urls} shows a certificate that is not trusted here (${reason}). Set MILLRACE_NATS_CA to the file of who signed it, and write the host name that the certificate names.`,
      { urls },
      options,
    );
  }
  if (/certificate required|bad certificate|unknown certificate authority|unknown ca/i.test(reason)) {
    return new MillraceError(
      "MILL_BUS_REFUSED",
      `NATS at ${urls} does not take this client's certificate (${reason}). Set MILLRACE_NATS_CERT and MILLRACE_NATS_KEY to one that it trusts.`,
      { urls },
      options,
    );
  }
  return new MillraceError(
    "MILL_BUS_UNREACHABLE",
    `no NATS server answers at ${urls} (${reason}). Start one (\`docker compose up -d nats\` with compose.yaml, or \`nats-server -js\`), or correct the address.`,
    { urls },
    options,
  );
}

/** Whether the client did not believe the server's certificate. */
function certificateRefused(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code = "" } = at as NodeJS.ErrnoException;
    if (/^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|ERR_TLS_CERT_)/.test(code)) return true;
  }
  return false;
}

/** `error` as a refusal, if the server has refused a subject. */
export function permissionOf(error: unknown): MillraceError | undefined {
  return error instanceof PermissionViolationError ? permissionError(error) : undefined;
}

function permissionError(error: PermissionViolationError): MillraceError {
  const [verb, grant] = error.operation === "publish" ? ["publish to", "publish"] : ["subscribe to", "subscribe"];
  return new MillraceError(
    "MILL_BUS_REFUSED",
    `NATS does not permit this user to ${verb} ${error.subject}. Add it to the user's ${grant} permissions.`,
    { operation: error.operation, subject: error.subject },
    { cause: error },
  );
}

/** What failed while doing `what` ("append to log orders"), for calls to JetStream. */
export function storageError(error: unknown, what: string): MillraceError {
  if (MillraceError.is(error)) return error;
  const options = { cause: error };
  const refused = (reason: string) => new MillraceError("MILL_BUS_REFUSED", `${what}: ${reason}`, {}, options);
  if (error instanceof JetStreamApiError) {
    switch (error.code) {
      case JetStreamApiCodes.JetStreamNotEnabledForAccount:
        return refused("JetStream is not enabled for this account. Enable it in the server's configuration.");
      case API_MESSAGE_TOO_LARGE:
        return new MillraceError("MILL_FRAME_TOO_LARGE", `${what}: ${error.message}.`, {}, options);
      case API_INSUFFICIENT_STORAGE:
      case API_INSUFFICIENT_RESOURCES:
        return refused(
          `the server has no room (${error.message}). Give JetStream more storage, or ask for fewer bytes.`,
        );
      default:
        return refused(`JetStream refused it (${error.message}).`);
    }
  }
  if (error instanceof Error && error.name === "JetStreamNotEnabled") {
    return refused("JetStream does not answer. Start the server with `-js`, as compose.yaml does.");
  }
  const reason = error instanceof RequestError ? (error.cause ?? error) : error;
  if (reason instanceof PermissionViolationError) return permissionError(reason);
  if (reason instanceof ClosedConnectionError || reason instanceof DrainingConnectionError) {
    return new MillraceError("MILL_BUS_CLOSED", `${what}: the bus is closed. Open a new connection.`, {}, options);
  }
  if (reason instanceof TimeoutError) {
    return new MillraceError("MILL_BUS_TIMEOUT", `${what}: the server did not answer in time.`, {}, options);
  }
  return new MillraceError("MILL_BUS_UNREACHABLE", `${what}: ${messageOf(error)}.`, {}, options);
}

/** Whether a compare-and-set met something else than it expected. */
export function isConflict(error: unknown): boolean {
  return (
    error instanceof JetStreamApiError &&
    (error.code === JetStreamApiCodes.StreamWrongLastSequence ||
      error.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

export function isFull(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === API_MAXIMUM_BYTES;
}

function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join(", ");
  return error instanceof Error && error.message !== "" ? error.message : String(error);
}
