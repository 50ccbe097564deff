/** What the command line and the environment say of servers and folders. Secrets come from the environment alone. */
import { homedir } from "node:os";
import { join } from "node:path";
import { MillraceError } from "../base/errors.js";
import { id, type Namespace } from "../base/ids.js";
import { limits } from "../base/limits.js";
import type { NatsCredentials, NatsTls } from "../bus/nats-bus.js";

export interface S3Settings {
  readonly endpoint?: string;
  readonly region?: string;
  readonly accessKeyId?: string;
  readonly secretAccessKey?: string;
  readonly sessionToken?: string;
}

export interface NatsSettings {
  /** Without user and password: they are shown in messages. */
  readonly servers: readonly string[];
  readonly credentials?: NatsCredentials;
  readonly tls?: NatsTls;
  /** What subjects of answers begin with; none: the client's own default. */
  readonly inbox?: string;
  /** JetStream's interface for logs of durable exchanges, where they are in another account of NATS. */
  readonly logsApi?: string;
  /** Of logs and buckets that this process creates. */
  readonly replicas?: number;
}

/** How the processes of a cluster find one another. Handed to children over their pipe, never on a command line. */
export interface ClusterSettings {
  readonly namespace: Namespace;
  readonly nats: NatsSettings;
  readonly store: string;
  readonly s3: S3Settings;
}

/** Where a process of a job keeps content. */
export interface ContentSettings {
  /** A store: what belongs to jobs. */
  readonly store: string;
  /** A folder of this machine, for all its processes: what they have read or written lately. */
  readonly folder: string;
  /** 0: nothing is kept there. */
  readonly folderBytesMax: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** An empty variable is none: so it is unset in a compose file, or for one command in a shell. */
function setting(env: Environment, name: string): string | undefined {
  return env[name] === "" ? undefined : env[name];
}

/** @param instead what does without a store, as a sentence */
export function clusterSettings(
  flags: { readonly nats?: string; readonly store?: string; readonly namespace?: string },
  env: Environment,
  instead = "",
): ClusterSettings {
  const store = flags.store ?? setting(env, "MILLRACE_STORE");
  if (store === undefined) {
    throw new MillraceError(
      "MILL_CONFIG",
      `no object store is named. Give --store s3://bucket/prefix, or set MILLRACE_STORE.${instead}`,
    );
  }
  return {
    namespace: id<Namespace>("namespace", flags.namespace ?? setting(env, "MILLRACE_NAMESPACE") ?? "default"),
    nats: natsSettings(flags.nats ?? setting(env, "MILLRACE_NATS") ?? "nats://127.0.0.1:4222", env),
    store,
    s3: s3Settings(env),
  };
}

/** @param urls one or more, separated by commas; what is between `//` and `@` is user and password, or a token */
function natsSettings(urls: string, env: Environment): NatsSettings {
  const inUrls = /:\/\/([^/@,]+)@/.exec(urls)?.[1]?.split(":").map(decoded);
  const servers = urls.split(",").map((url) => url.trim().replace(/:\/\/[^/]*@/, "://"));
  const credentials = natsCredentials(env) ?? fromUrl(inUrls);
  const tls = natsTls(env);
  const replicas = natsReplicas(setting(env, "MILLRACE_NATS_REPLICAS"));
  return {
    servers,
    ...(credentials && { credentials }),
    ...(tls && { tls }),
    ...given("inbox", natsPrefix("MILLRACE_NATS_INBOX", "_INBOX_worker", env)),
    ...given("logsApi", natsPrefix("MILLRACE_NATS_LOGS_API", "JS.jobs.API", env)),
    ...(replicas !== undefined && { replicas }),
  };
}

function natsTls(env: Environment): NatsTls | undefined {
  const certFile = setting(env, "MILLRACE_NATS_CERT");
  const keyFile = setting(env, "MILLRACE_NATS_KEY");
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new MillraceError(
      "MILL_CONFIG",
      "only one of MILLRACE_NATS_CERT and MILLRACE_NATS_KEY is set. A client's certificate needs both.",
    );
  }
  const tls = {
    ...given("caFile", setting(env, "MILLRACE_NATS_CA")),
    ...given("certFile", certFile),
    ...given("keyFile", keyFile),
  };
  return Object.keys(tls).length === 0 ? undefined : tls;
}

function natsPrefix(name: string, example: string, env: Environment): string | undefined {
  const text = setting(env, name);
  if (text === undefined || /^\$?[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*$/.test(text)) return text;
  throw new MillraceError(
    "MILL_CONFIG",
    `${name} is "${text}"; give the beginning of a subject without wildcards, such as ${example}.`,
  );
}

/** A cluster of NATS servers keeps up to five copies. */
const REPLICAS_MAX = 5;

function natsReplicas(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const replicas = Number(text);
  if (Number.isInteger(replicas) && replicas >= 1 && replicas <= REPLICAS_MAX) return replicas;
  throw new MillraceError(
    "MILL_CONFIG",
    `MILLRACE_NATS_REPLICAS is "${text}"; give a whole number from 1 to ${REPLICAS_MAX}, at most as many as NATS has servers.`,
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    // Not shown: it is a part of a secret.
    throw new MillraceError(
      "MILL_CONFIG",
      "user or password in the NATS address cannot be decoded. Write %25 for %, or set MILLRACE_NATS_USER and MILLRACE_NATS_PASSWORD instead.",
      {},
      { cause },
    );
  }
}

function fromUrl([user, password]: readonly string[] = []): NatsCredentials | undefined {
  if (user === undefined) return undefined;
  return password === undefined ? { token: user } : { user, password };
}

/** Of what is set, one: two would leave it open who this process is. */
function natsCredentials(env: Environment): NatsCredentials | undefined {
  const user = setting(env, "MILLRACE_NATS_USER");
  const token = setting(env, "MILLRACE_NATS_TOKEN");
  const nkeyFile = setting(env, "MILLRACE_NATS_NKEY");
  const credsFile = setting(env, "MILLRACE_NATS_CREDS");
  const kinds = { USER: user, TOKEN: token, NKEY: nkeyFile, CREDS: credsFile };
  const names = Object.entries(kinds).flatMap(([name, value]) => (value === undefined ? [] : `MILLRACE_NATS_${name}`));
  if (names.length > 1) {
    throw new MillraceError(
      "MILL_CONFIG",
      `${names.join(" and ")} are set, and say who this process is. Set one of them.`,
    );
  }
  if (user !== undefined) return { user, password: env.MILLRACE_NATS_PASSWORD ?? "" };
  if (token !== undefined) return { token };
  if (nkeyFile !== undefined) return { nkeyFile };
  return credsFile === undefined ? undefined : { credsFile };
}

/** The names that AWS's own tools use. */
export function s3Settings(env: Environment): S3Settings {
  return {
    ...given("endpoint", setting(env, "AWS_ENDPOINT_URL_S3") ?? setting(env, "AWS_ENDPOINT_URL")),
    ...given("region", setting(env, "AWS_REGION") ?? setting(env, "AWS_DEFAULT_REGION")),
    ...given("accessKeyId", setting(env, "AWS_ACCESS_KEY_ID")),
    ...given("secretAccessKey", setting(env, "AWS_SECRET_ACCESS_KEY")),
    ...given("sessionToken", setting(env, "AWS_SESSION_TOKEN")),
  };
}

/** Bundles, models and downloaded tools: everything in it can be made again. */
export function cacheFolder(env: Environment): string {
  const folder = setting(env, "XDG_CACHE_HOME") ?? join(homedir(), ".cache");
  return setting(env, "MILLRACE_CACHE") ?? join(folder, "millrace");
}

/** @param store that owned content goes to @param cache as `cacheFolder` has it @throws {MillraceError} `MILL_CONFIG` */
export function contentSettings(store: string, cache: string, env: Environment): ContentSettings {
  const text = setting(env, "MILLRACE_CONTENT_CACHE_BYTES") ?? String(limits.contentCacheBytes);
  const folderBytesMax = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(folderBytesMax)) {
    throw new MillraceError(
      "MILL_CONFIG",
      `MILLRACE_CONTENT_CACHE_BYTES is "${text}"; give a whole number of bytes, or 0 to keep no content on disk.`,
    );
  }
  return { store, folder: join(cache, "content"), folderBytesMax };
}

function given<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: string };
}
