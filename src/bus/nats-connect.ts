/**
 * Addresses, credentials and the first connection to NATS. What a connection then does: `nats-bus.ts`.
 *
 * Files of credentials and certificates are read again for each connection, so that they can be renewed while a process runs. One
 * that cannot be read fails the first connection; later ones go on with what was read last.
 */
import { readFileSync } from "node:fs";
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { keepSecret } from "../base/secrets.js";
import { connectError } from "./nats-errors.js";

export type NatsCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string }
  /** A file that holds an nkey's seed, `SU...`. */
  | { readonly nkeyFile: string }
  /** A `.creds` file: a user's JWT and seed. */
  | { readonly credsFile: string };

/** Files in PEM. With any of them nothing is said in the clear, whatever the address says. */
export interface NatsTls {
  /** Who signs servers' certificates, where the system does not know them. */
  readonly caFile?: string;
  /** The client's own certificate and its key, for servers that ask for one. */
  readonly certFile?: string;
  readonly keyFile?: string;
}

export interface NatsOptions {
  /** `nats://host:port`, or `tls://host:port`, one or more of one cluster. With `tls` nothing is said in the clear. User and password in an address are used, and shown nowhere. */
  readonly servers: string | readonly string[];
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  /** What subjects of answers begin with. Default `_INBOX`. Permissions keep users apart by it. */
  readonly inbox?: string;
  /** JetStream's interface for logs, where they are in another account. Default `$JS.API`: they are in this one. */
  readonly logsApi?: string;
  /** Replicas of logs and buckets that this connection creates. Default 1. */
  readonly replicas?: number;
}

interface Address {
  readonly server: string;
  readonly tls: boolean;
  readonly credentials: NatsCredentials | undefined;
}

/** @throws {MillraceError} `MILL_BUS_UNREACHABLE`, `MILL_BUS_REFUSED`, `MILL_CONFIG` for an address that is none */
export async function openNats(options: NatsOptions): Promise<{ connection: NatsConnection; urls: string }> {
  const addresses = [options.servers].flat().map(addressOf);
  const urls = addresses.map(({ server }) => server).join(", ");
  const credentials = options.credentials ?? addresses.find((address) => address.credentials)?.credentials;
  const authenticator = credentials && authenticatorOf(credentials);
  for (const file of Object.values(options.tls ?? {})) readGiven(file);
  const tls = options.tls ?? (addresses.some((address) => address.tls) ? {} : undefined);
  try {
    const connection = await connect({
      servers: addresses.map(({ server }) => server),
      name: options.name,
      timeout: limits.busConnectTimeoutMs,
      pingInterval: limits.busPingIntervalMs,
      reconnectTimeWait: limits.busReconnectDelayMs,
      maxReconnectAttempts: -1,
      // Else the client ends for good where it is refused twice in a row: while credentials are renewed, or a server loads its accounts.
      ignoreAuthErrorAbort: true,
      // The client reads no meaning into `tls://`: without the option it would speak, and log in, in the clear.
      ...(tls && { tls }),
      ...(authenticator && { authenticator }),
      ...(options.inbox !== undefined && { inboxPrefix: options.inbox }),
    });
    return { connection, urls };
  } catch (error) {
    throw connectError(error, urls, credentials !== undefined);
  }
}

function addressOf(text: string): Address {
  let url: URL;
  const next = 'Write "nats://host:port" or "tls://host:port" in --nats or MILLRACE_NATS.';
  try {
    url = new URL(text.includes("://") ? text : `nats://${text}`);
  } catch (error) {
    // Not shown: what cannot be parsed may hold a password anywhere.
    throw new MillraceError("MILL_CONFIG", `a NATS address cannot be read. ${next}`, {}, { cause: error });
  }
  if (!["nats:", "tls:"].includes(url.protocol)) {
    throw new MillraceError("MILL_CONFIG", `"${url.protocol}//" does not begin a NATS address. ${next}`);
  }
  const tls = url.protocol === "tls:";
  const [user, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)];
  const server = `${url.protocol}//${url.hostname}:${url.port === "" ? 4222 : url.port}`;
  if (user === "") return { server, tls, credentials: undefined };
  return { server, tls, credentials: password === "" ? { token: user } : { user, password } };
}

/** @throws {MillraceError} `MILL_CONFIG` for a file that cannot be read */
function authenticatorOf(credentials: NatsCredentials): Authenticator {
  if ("user" in credentials) {
    keepSecret(credentials.password);
    return usernamePasswordAuthenticator(credentials.user, credentials.password);
  }
  if ("token" in credentials) {
    keepSecret(credentials.token);
    return tokenAuthenticator(credentials.token);
  }
  if ("nkeyFile" in credentials) return nkeyAuthenticator(renewed(credentials.nkeyFile, trimmed));
  return credsAuthenticator(renewed(credentials.credsFile, (bytes) => bytes));
}

function trimmed(bytes: Uint8Array): Uint8Array {
  return Buffer.from(Buffer.from(bytes).toString("latin1").trim(), "latin1");
}

/** The file's bytes as they are now, or as they were when it could last be read. */
function renewed(file: string, form: (bytes: Uint8Array) => Uint8Array): () => Uint8Array {
  let last = kept(form(readGiven(file)));
  return () => {
    try {
      last = kept(form(readFileSync(file)));
    } catch {
      // Somebody is putting a new one in its place; the client asks again with the next attempt.
    }
    return last;
  };
}

/** A seed, and a JWT; the rest of such a file is for people. */
const SECRETS = /S[A-Z2-7]{57}|eyJ[\w-]+\.[\w-]+\.[\w-]+/g;

function kept(bytes: Uint8Array): Uint8Array {
  for (const [secret] of Buffer.from(bytes).toString("latin1").matchAll(SECRETS)) keepSecret(secret);
  return bytes;
}

function readGiven(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new MillraceError(
      "MILL_CONFIG",
      `the file ${file}, which is to hold credentials or certificates for NATS, cannot be read (${(cause as NodeJS.ErrnoException).code}). Correct MILLRACE_NATS_CREDS, _NKEY, _CA, _CERT or _KEY, or the file's rights.`,
      { file },
      { cause },
    );
  }
}
