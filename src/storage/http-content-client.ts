/**
 * One request for content: allowed hosts and addresses only, redirects by hand, a bounded number of answers a host.
 * Invariants H1, H5 and H6 of `http-content.ts` are kept here.
 */

import { isIP } from "node:net";
import type { Agent, buildConnector, Dispatcher } from "undici";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import { shown } from "./content-checks.js";
import {
  type AddressRule,
  addressRule,
  guardedLookup,
  hostMatches,
  isHostPattern,
  type Resolve,
  requireAllowed,
  systemResolve,
} from "./http-content-addresses.js";
import { type Asked, connectionFailure, failure } from "./http-content-errors.js";
import { HostLanes } from "./http-content-waits.js";

export interface HttpClientSettings {
  readonly allowedHosts: readonly string[] | undefined;
  readonly allowPrivateAddresses: boolean | readonly string[];
  readonly connectTimeoutMs: number;
  readonly answerTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly concurrencyPerHost: number;
  readonly resolve: Resolve | undefined;
}

export interface HttpAsk {
  readonly method: "GET" | "HEAD";
  readonly uri: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Bytes of a redirect's body that are read so that its connection can be used again. */
const DRAIN_BYTES = 16 * 1024;

export class HttpContentClient {
  #agent: Promise<Agent> | undefined;
  #lanes: HostLanes;
  #allows: AddressRule;

  constructor(private readonly settings: HttpClientSettings) {
    this.#lanes = new HostLanes(settings.concurrencyPerHost);
    this.#allows = addressRule(settings.allowPrivateAddresses);
    const bad = settings.allowedHosts?.find((pattern) => !isHostPattern(pattern));
    if (bad === undefined) return;
    throw new MillraceError(
      "MILL_CONFIG",
      `allowedHosts: ${JSON.stringify(bad)} is none. Give names such as "example.com", "*.example.com" or "example.com:8443".`,
    );
  }

  /**
   * @returns the first answer that is no redirect; its caller reads its body or closes it
   * @throws {MillraceError} `MILL_CONTENT_ADDRESS`, `MILL_CONTENT_REFUSED`, `MILL_STORE_*`; `Transient`; the signal's reason
   */
  async ask(ask: HttpAsk): Promise<HttpBody> {
    const first = urlOf(ask.uri);
    let asked: Required<Asked> = { uri: ask.uri, url: first };
    for (let hop = 0; hop <= limits.httpRedirectsMax; hop++) {
      const answer = await this.#one(ask, asked, first);
      if (!REDIRECTS.has(answer.status)) return answer;
      await answer.drain();
      asked = { uri: ask.uri, url: redirectOf(answer, asked) };
    }
    throw failure(
      "MILL_CONTENT_REFUSED",
      asked,
      `it redirects more than ${limits.httpRedirectsMax} times. Check the address.`,
    );
  }

  async close(): Promise<void> {
    await (await this.#agent)?.destroy();
  }

  async #one({ method, headers, signal }: HttpAsk, asked: Required<Asked>, first: URL): Promise<HttpBody> {
    const { url } = asked;
    this.#checkHost(asked);
    const { answerTimeoutMs: headersTimeout, idleTimeoutMs: bodyTimeout } = this.settings;
    this.#agent ??= this.#open();
    const agent = await this.#agent;
    const leave = await this.#lanes.enter(url.host, signal);
    try {
      const answer = await agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method,
        headers: { ...headers, ...loginOf(first, url) },
        signal,
        headersTimeout,
        bodyTimeout,
      });
      return new HttpBody(answer, asked, signal, leave);
    } catch (cause) {
      leave();
      signal.throwIfAborted();
      throw connectionFailure(asked, cause);
    }
  }

  #checkHost(asked: Required<Asked>): void {
    const { allowedHosts } = this.settings;
    if (allowedHosts === undefined || allowedHosts.some((pattern) => hostMatches(asked.url, pattern))) return;
    throw failure(
      "MILL_CONTENT_REFUSED",
      asked,
      `the host ${asked.url.host} is none of those allowed (${allowedHosts.join(", ")}). Add it to allowedHosts if content may come from there.`,
    );
  }

  async #open(): Promise<Agent> {
    const undici = await import("undici");
    const { connectTimeoutMs: timeout, resolve = systemResolve } = this.settings;
    const lookup = guardedLookup(resolve, this.#allows);
    const connect = undici.buildConnector({ timeout, lookup } as buildConnector.BuildOptions);
    return new undici.Agent({
      keepAliveTimeout: limits.httpKeepAliveMs,
      connections: this.settings.concurrencyPerHost,
      connect: (options, done) => {
        try {
          // What is an address already is not looked up.
          if (isIP(options.hostname) !== 0) requireAllowed(options.hostname, options.hostname, this.#allows);
        } catch (error) {
          return done(error as Error, null);
        }
        connect(options, done);
      },
    });
  }
}

/** An answer whose body nobody has read yet. */
export class HttpBody {
  constructor(
    private readonly answer: Dispatcher.ResponseData,
    readonly asked: Required<Asked>,
    private readonly signal: AbortSignal,
    leave: () => void,
  ) {
    this.answer.body.on("error", () => {}); // whoever reads it is told; else nobody wants to know
    this.answer.body.once("close", leave); // also where an answer comes that nobody waits for any more
  }

  get status(): number {
    return this.answer.statusCode;
  }

  header(name: string): string | undefined {
    const value = this.answer.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** The body as it comes. Ending the loop early closes the connection. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of this.answer.body) yield piece as Uint8Array;
    } catch (cause) {
      this.signal.throwIfAborted();
      throw connectionFailure(this.asked, cause);
    } finally {
      this.close();
    }
  }

  /** The beginning of the body, as text; what cannot be read is left out. */
  async start(bytesMax: number): Promise<string> {
    let text = "";
    try {
      for await (const piece of this.pieces()) {
        text += Buffer.from(piece).toString("latin1");
        if (text.length >= bytesMax) break;
      }
    } catch {
      this.signal.throwIfAborted();
    }
    return text;
  }

  /** Done with the answer; the connection can be used again if little is left of the body. */
  async drain(): Promise<void> {
    try {
      if (Number(this.header("content-length") ?? Number.NaN) <= DRAIN_BYTES) {
        for await (const _ of this.answer.body);
      }
    } catch {
      this.signal.throwIfAborted();
    } finally {
      this.close();
    }
  }

  close(): void {
    this.answer.body.destroy();
  }
}

function urlOf(uri: string): URL {
  if (URL.canParse(uri) && /^https?:$/.test(new URL(uri).protocol)) return new URL(uri);
  throw new MillraceError("MILL_CONTENT_ADDRESS", `"${shown(uri)}" is no http:// or https:// address. Correct it.`, {
    uri: shown(uri),
  });
}

function redirectOf(answer: HttpBody, asked: Required<Asked>): URL {
  const location = answer.header("location") ?? "";
  if (location === "" || !URL.canParse(location, asked.url.href)) {
    throw failure("MILL_STORE_FAILED", asked, `it redirects (status ${answer.status}) to nowhere. Check the address.`);
  }
  const next = new URL(location, asked.url.href);
  if (/^https?:$/.test(next.protocol)) return next;
  throw failure(
    "MILL_CONTENT_REFUSED",
    asked,
    `it redirects to an address of ${next.protocol}, which is not followed.`,
  );
}

/** H5: what stands in a redirect is not used at all. */
function loginOf(first: URL, url: URL): Record<string, string> {
  if (url.origin !== first.origin || (first.username === "" && first.password === "")) return {};
  const login = `${plain(first.username)}:${plain(first.password)}`;
  return { authorization: `Basic ${Buffer.from(login).toString("base64")}` };
}

function plain(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
