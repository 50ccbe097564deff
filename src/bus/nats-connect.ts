/** Addresses, credentials and the first connection to NATS. What a connection then does: `nats-bus.ts`. */
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
import { connectError } from "./nats-errors.js";

export type NatsCredentials =
  | { readonly user: string; readonly password: string }
  | { readonly token: string }
  /** An nkey's seed, `SU...`. */
  | { readonly nkeySeed: string }
  /** The text of a `.creds` file. */
  | { readonly creds: string };

export interface NatsOptions {
  /** `nats://host:port`, or `tls://host:port`, one or more of one cluster. With `tls` nothing is said in the clear. User and password in an address are used, and shown nowhere. */
  readonly servers: string | readonly string[];
  /** Shown in the server's list of connections. */
  readonly name: string;
  readonly credentials?: NatsCredentials;
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
  try {
    const connection = await connect({
      servers: addresses.map(({ server }) => server),
      name: options.name,
      timeout: limits.busConnectTimeoutMs,
      pingInterval: limits.busPingIntervalMs,
      reconnectTimeWait: limits.busReconnectDelayMs,
      maxReconnectAttempts: -1,
      // The client reads no meaning into `tls://`: without the option it would speak, and log in, in the clear.
      ...(addresses.some(({ tls }) => tls) ? { tls: {} } : {}),
      ...(credentials === undefined ? {} : { authenticator: authenticatorOf(credentials) }),
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

function authenticatorOf(credentials: NatsCredentials): Authenticator {
  const bytes = (text: string) => new TextEncoder().encode(text);
  if ("user" in credentials) return usernamePasswordAuthenticator(credentials.user, credentials.password);
  if ("token" in credentials) return tokenAuthenticator(credentials.token);
  if ("nkeySeed" in credentials) return nkeyAuthenticator(bytes(credentials.nkeySeed.trim()));
  return credsAuthenticator(bytes(credentials.creds));
}
