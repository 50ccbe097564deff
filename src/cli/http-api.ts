/** The HTTP API of a coordinator process: settings, tokens from their file, certificate, and the page. */
import { existsSync, readFileSync, statSync, unwatchFile, watchFile } from "node:fs";
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
}

export interface HttpSettings {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly tokens?: string;
  readonly tls?: { readonly cert: string; readonly key: string };
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
  return {
    host: host.replace(/^\[|\]$/g, ""),
    port: Number(port),
    ...(tokens === undefined ? {} : { tokens }),
    ...(cert === undefined || key === undefined ? {} : { tls: { cert: readText(cert), key: readText(key) } }),
  };
}

type Served = Omit<ApiOptions, "host" | "port" | "tls" | "access" | "version" | "pages">;

/** @throws {MillraceError} `MILL_CONFIG`: address, token file or certificate */
export async function serveApi(settings: HttpSettings, served: Served): Promise<Api> {
  const { host, port, tls } = settings;
  const { access, close } = accessOf(settings, served.ports);
  const pages = join(packageRoot, "dist", "dashboard");
  try {
    const api = await openApi({
      ...served,
      ...{ host, port, access, version: readVersion() },
      ...(tls === undefined ? {} : { tls }),
      ...(existsSync(pages) ? { pages } : {}),
    });
    return {
      url: api.url,
      lead: (leads) => api.lead(leads),
      async close() {
        close();
        await api.close();
      },
    };
  } catch (error) {
    close();
    throw error;
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
  // Polled: files that a container mounts are replaced by a link, which a watch of the file does not see.
  const look = () => {
    try {
      access.replace(parseTokens(readText(tokens), tokens));
      ports.log.info("access tokens were read again", { file: tokens });
    } catch (error) {
      ports.log.error("access tokens could not be read again; those before stay", { file: tokens, error });
    }
  };
  watchFile(tokens, { interval: LOOK_MS, persistent: false }, look);
  return { access, close: () => unwatchFile(tokens, look) };
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
