/** The HTTP API of a coordinator process: settings, tokens from their file, certificate, and the page. */
import { appendFileSync, existsSync, readFileSync, statSync, unwatchFile, watchFile } from "node:fs";
import { join } from "node:path";
import { type Access, isLoopback, openOnLoopback } from "../api/access.js";
import type { ApiOptions } from "../api/api-options.js";
import { type Api, openApi } from "../api/server.js";
import { parseTokens, TokenAccess } from "../api/tokens.js";
import { MillraceError } from "../base/errors.js";
import type { Ports } from "../base/ports.js";
import { packageRoot, readVersion } from "./packages.js";

export interface HttpFlags {
  readonly http?: string;
  readonly tokens?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly cors?: string;
  readonly hosts?: string;
  readonly audit?: string;
}

export interface HttpSettings {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly tokens?: string;
  readonly tls?: TlsFiles;
  readonly cors?: readonly string[];
  readonly hosts?: readonly string[];
  /** File that takes the audit log. */
  readonly audit?: string;
}

/** Paths. */
interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @param standard used where neither flag nor environment says anything @returns undefined: there is to be none */
export function httpSettings(flags: HttpFlags, env: Environment, standard: string): HttpSettings | undefined {
  const address = flags.http ?? (env.MILLRACE_HTTP || standard);
  if (address === "off") return undefined;
  const [, host = "", port = ""] = /^(\[[0-9a-fA-F:]+\]|[^:]+):(\d{1,5})$/.exec(address) ?? [];
  if (host === "" || Number(port) > 65_535) {
    const message = `--http ${address} is no address. Write host:port, such as 127.0.0.1:8080, or "off".`;
    throw new MillraceError("MILL_CONFIG", message, { address });
  }
  const tokens = flags.tokens ?? (env.MILLRACE_TOKENS || undefined);
  const cert = flags.tlsCert ?? (env.MILLRACE_TLS_CERT || undefined);
  const key = flags.tlsKey ?? (env.MILLRACE_TLS_KEY || undefined);
  if ((cert === undefined) !== (key === undefined))
    throw new MillraceError(
      "MILL_CONFIG",
      "a certificate and its key go together: give both --tls-cert and --tls-key.",
    );
  const audit = flags.audit ?? (env.MILLRACE_AUDIT || undefined);
  return {
    cors: listOf(flags.cors ?? env.MILLRACE_CORS, "--cors", ORIGIN, "https://ops.example.org"),
    hosts: listOf(flags.hosts ?? env.MILLRACE_HOSTS, "--hosts", HOST, "millrace.example.org"),
    ...(audit === undefined ? {} : { audit }),
    host: host.replace(/^\[|\]$/g, ""),
    port: Number(port),
    ...(tokens === undefined ? {} : { tokens }),
    ...(cert === undefined || key === undefined ? {} : { tls: { cert, key } }),
  };
}

const ORIGIN = /^https?:\/\/[a-z0-9.-]+(:\d{1,5})?$/;
const HOST = /^[a-z0-9.-]+$/;

function listOf(text: string | undefined, flag: string, form: RegExp, example: string): string[] {
  const all = (text ?? "").split(",").filter((one) => one !== "");
  const wrong = all.find((one) => !form.test(one));
  if (wrong === undefined) return all;
  throw new MillraceError("MILL_CONFIG", `${flag} ${wrong} is none. Write it like ${example}, several with commas.`);
}

type Served = Omit<ApiOptions, "host" | "port" | "tls" | "access" | "version" | "pages" | "cors" | "hosts" | "audit">;

/** @throws {MillraceError} `MILL_CONFIG`: address, token file or certificate */
export async function serveApi(settings: HttpSettings, served: Served): Promise<Api> {
  const { host, port, tls, cors = [], hosts = [], audit } = settings;
  const { log } = served.ports;
  if (audit !== undefined) appendTo(audit, "");
  const { access, close } = accessOf(settings, served.ports);
  const pages = join(packageRoot, "dist", "dashboard");
  try {
    const api = await openApi({
      ...served,
      ...{ host, port, access, cors, hosts, version: readVersion() },
      ...(tls === undefined ? {} : { tls: readTls(tls) }),
      ...(audit === undefined ? {} : { audit: (record) => appendTo(audit, `${JSON.stringify(record)}\n`) }),
      ...(existsSync(pages) ? { pages } : {}),
    });
    const renew = () => {
      if (tls === undefined) return;
      try {
        api.renew(readTls(tls));
        log.info("the certificate was read again", { file: tls.cert });
      } catch (error) {
        log.error("the certificate could not be read again; the one before stays", { file: tls.cert, error });
      }
    };
    const stops = tls === undefined ? [] : [tls.cert, tls.key].map((file) => watchText(file, renew));
    return {
      ...api,
      async close() {
        close();
        for (const stop of stops) stop();
        await api.close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

const readTls = ({ cert, key }: TlsFiles) => ({ cert: readText(cert), key: readText(key) });

/** The file is opened for each record, so that it may be moved away at any time. @throws {MillraceError} `MILL_CONFIG` */
function appendTo(file: string, text: string): void {
  try {
    appendFileSync(file, text, { mode: 0o600 });
  } catch (cause) {
    const message = `the audit log ${file} cannot be written: ${(cause as Error).message}. Check the path and its rights.`;
    throw new MillraceError("MILL_CONFIG", message, { file }, { cause });
  }
}

/** Time between two looks at whether the file has changed. */
const LOOK_MS = 1_000;

function accessOf({ host, tokens, tls }: HttpSettings, ports: Ports): { readonly access: Access; close(): void } {
  if (tokens === undefined) {
    if (!isLoopback(host) && host !== "localhost") {
      const message = `--http ${host} can be reached from other machines, so it takes --tokens: a file of access tokens. Make one with \`millrace token\`.`;
      throw new MillraceError("MILL_CONFIG", message, { host });
    }
    ports.log.warn("the HTTP API takes requests of everybody on this machine: there are no access tokens", { host });
    return { access: openOnLoopback, close() {} };
  }
  if (tls === undefined && !isLoopback(host) && host !== "localhost")
    ports.log.warn(
      "access tokens cross the network in the clear: give --tls-cert and --tls-key, or put a proxy with TLS before it",
      { host },
    );
  const access = new TokenAccess(parseTokens(readText(tokens), tokens), ports.clock);
  const look = () => {
    try {
      access.replace(parseTokens(readText(tokens), tokens));
      ports.log.info("access tokens were read again", { file: tokens });
    } catch (error) {
      ports.log.error("access tokens could not be read again; those before stay", { file: tokens, error });
    }
  };
  return { access, close: watchText(tokens, look) };
}

/** Polled: files that a container mounts are replaced by a link, which a watch of the file does not see. @returns ends it */
function watchText(file: string, changed: () => void): () => void {
  watchFile(file, { interval: LOOK_MS, persistent: false }, changed);
  return () => unwatchFile(file, changed);
}

function readText(path: string): string {
  try {
    if (statSync(path).size > 1 << 20) throw new Error("it is larger than 1 MiB");
    return readFileSync(path, "utf8");
  } catch (cause) {
    const message = `${path} cannot be read: ${(cause as Error).message}. Check the path and its rights.`;
    throw new MillraceError("MILL_CONFIG", message, { path }, { cause });
  }
}
