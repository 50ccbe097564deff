/**
 * A model server that is spoken to over HTTP: where it is, the key it wants, and what its refusals mean.
 *
 * Invariants:
 *   E1  The key comes from an environment variable of the instance, goes into one header, and stands in no message, fact or
 *       log, also where the server repeats it.
 *   E2  A status becomes the code that says what to do: later again, as told (BUSY); later again (UNREACHABLE, FAILED);
 *       not as it is (REFUSED); in halves (OUT_OF_MEMORY). What is no answer of the protocol is INVALID.
 *   E3  A call that is traced carries its span as `traceparent`, so that what the server tells of it belongs to the same trace. One that
 *       is not carries none: the server decides for itself.
 */
import { type ErrorCode, MillraceError } from "../../base/errors.js";
import { limits } from "../../base/limits.js";
import type { Clock } from "../../base/ports.js";
import { retryAfterMs } from "../../base/retry-after.js";
import { keepSecret } from "../../base/secrets.js";
import type { HandlerContext } from "../../topology/service.js";
import { type HttpAnswer, type HttpClient, openHttpClient, shownUrl } from "./http.js";
import { outOfMemory, saysOutOfMemory } from "./out-of-memory.js";

/** What the handlers that call a server over HTTP have in common. */
export interface EndpointSettings {
  /** Where the server is, without user and password. A query is kept. */
  readonly url: string;
  /** Environment variable of the instances' machines that holds the server's key. Default: no key is sent. */
  readonly apiKeyEnv?: string;
  /** Header that the key goes into as it is. Default: `Authorization`, after the word Bearer. */
  readonly apiKeyHeader?: string;
  /** Further headers, none of them secret: they stand in the topology. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Silence of the server, before its answer or within it, after which a call has failed, ms. Default 120,000. */
  readonly idleTimeoutMs?: number;
  /** Bytes of one answer. Default 256 MiB. */
  readonly answerBytesMax?: number;
}

/** What a call is bounded by: a `CallContext`, or what stands in for it while an instance comes up. */
export interface CallBounds {
  readonly signal: AbortSignal;
  readonly timeLeftMs: number;
  readonly traceparent?: string;
}

const SECRET_HEADER = /^(authorization|proxy-authorization|cookie|api-key|x-api-key)$/i;

/** Refuses while the topology is loaded what can be refused without the server. */
export function checkEndpoint(kind: string, settings: EndpointSettings): void {
  const bad = (what: string) => new MillraceError("MILL_CONFIG", `${kind}({ ... }): ${what}`);
  if (!URL.canParse(settings.url) || !/^https?:$/.test(new URL(settings.url).protocol)) {
    throw bad(`url ${JSON.stringify(settings.url)} is none; give one that begins with http:// or https://.`);
  }
  const { username, password } = new URL(settings.url);
  if (username !== "" || password !== "") {
    throw bad(
      "the url holds a user or password. Put the secret into an environment variable and name it in apiKeyEnv.",
    );
  }
  const secret = Object.keys(settings.headers ?? {}).find((name) => SECRET_HEADER.test(name));
  if (secret !== undefined) {
    throw bad(`the header ${secret} is a secret. Put it into an environment variable and name that in apiKeyEnv.`);
  }
}

export async function openEndpoint(settings: EndpointSettings, context: HandlerContext): Promise<Endpoint> {
  const name = settings.apiKeyEnv;
  const key = name === undefined ? undefined : context.env(name);
  if (name !== undefined && (key === undefined || key === "")) {
    throw new MillraceError(
      "MILL_CONFIG",
      `service "${context.service}": the environment variable ${name}, which holds the key for ${shownUrl(new URL(settings.url))}, is not set where its instance runs. Set it for the worker there.`,
      { service: context.service, variable: name },
    );
  }
  keepSecret(key);
  const http = await openHttpClient({
    connectTimeoutMs: limits.endpointConnectTimeoutMs,
    idleTimeoutMs: settings.idleTimeoutMs ?? limits.endpointIdleTimeoutMs,
  });
  return new Endpoint(settings, key, context.service, http, context.clock);
}

export interface EndpointRequest {
  /** Added to the path of the URL. */
  readonly path: string;
  /** Present: it is posted. */
  readonly body?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Endpoint {
  readonly #headers: Readonly<Record<string, string>>;

  constructor(
    private readonly settings: EndpointSettings,
    private readonly key: string | undefined,
    private readonly service: string,
    private readonly http: HttpClient,
    private readonly clock: Clock,
  ) {
    const { apiKeyHeader, headers } = settings;
    const authorization =
      apiKeyHeader === undefined ? { authorization: `Bearer ${key}` } : { [apiKeyHeader]: key ?? "" };
    this.#headers = { "user-agent": "millrace", ...headers, ...(key === undefined ? {} : authorization) };
  }

  /** @returns an answer with a status of 200 to 299, its body not read yet */
  async send({ path, body, headers }: EndpointRequest, bounds: CallBounds): Promise<HttpAnswer> {
    const url = this.#urlOf(path);
    const { traceparent = "" } = bounds;
    const answer = await this.http.send({
      method: body === undefined ? "GET" : "POST",
      url,
      headers: { ...this.#headers, ...headers, ...(traceparent === "" ? {} : { traceparent }) },
      ...(body === undefined ? {} : { body }),
      signal: bounds.signal,
      timeLeftMs: bounds.timeLeftMs,
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    const words = await this.#wordsOf(answer);
    bounds.signal.throwIfAborted();
    throw this.#refusal(url, answer, words);
  }

  /** The body in pieces, at most as many bytes as an answer may have. */
  pieces(answer: HttpAnswer): AsyncIterable<Uint8Array> {
    return answer.pieces(this.settings.answerBytesMax ?? limits.endpointAnswerBytesMax);
  }

  async bytes(answer: HttpAnswer): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for await (const part of this.pieces(answer)) parts.push(part);
    return Buffer.concat(parts);
  }

  /** @throws {MillraceError} `MILL_ENDPOINT_INVALID` for a body that is no JSON */
  async json(answer: HttpAnswer, path: string): Promise<unknown> {
    const type = answer.header("content-type") ?? "no content type";
    const text = Buffer.from(await this.bytes(answer)).toString("utf8");
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw this.invalid(path, `it is no JSON (${type}) and begins with "${text.slice(0, 80)}"`, cause);
    }
  }

  /** An answer that is none of the protocol. */
  invalid(path: string, what: string, cause?: unknown): MillraceError {
    const url = shownUrl(this.#urlOf(path));
    return new MillraceError(
      "MILL_ENDPOINT_INVALID",
      `service "${this.service}": ${url} gave an answer that cannot be used: ${this.#short(what)}. Check that the URL and the kind of handler are this server's.`,
      { service: this.service, url },
      { cause },
    );
  }

  /** An answer that ended, without an error, before it was whole. */
  brokenOff(path: string): MillraceError {
    const url = shownUrl(this.#urlOf(path));
    return new MillraceError(
      "MILL_ENDPOINT_UNREACHABLE",
      `service "${this.service}": ${url} ended its answer before it was whole. It is tried again later.`,
      { service: this.service, url },
    );
  }

  /** What an error inside an answer says, where the server had begun it with 200 already. */
  failed(path: string, status: number, words: string): MillraceError {
    return this.#refusal(this.#urlOf(path), { status, header: () => undefined }, this.#short(words));
  }

  close(): Promise<void> {
    return this.http.close();
  }

  #urlOf(path: string): URL {
    const url = new URL(this.settings.url);
    url.pathname = `${url.pathname.replace(/\/+$/, "")}/${path}`;
    return url;
  }

  #refusal(url: URL, answer: Pick<HttpAnswer, "status" | "header">, words: string): MillraceError {
    const { status } = answer;
    const shown = shownUrl(url);
    const said = words === "" ? "" : `: ${words}`;
    if (saysOutOfMemory(words)) return outOfMemory(`${shown} (status ${status})`, words, this.service);
    const [code, next] = meaningOf(status, words, this.settings.apiKeyEnv, answer.header("location"));
    const waitMs = code === "MILL_ENDPOINT_REFUSED" ? undefined : retryAfterMs(answer, this.clock.nowMs());
    return new MillraceError(code, `service "${this.service}": ${shown} answered ${status}${said}. ${next}`, {
      service: this.service,
      url: shown,
      status,
      ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }),
    });
  }

  /** The server's own words on what went wrong, shortened. An answer that breaks off has none. */
  async #wordsOf(answer: HttpAnswer): Promise<string> {
    const parts: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const part of answer.pieces(Number.POSITIVE_INFINITY)) {
        parts.push(part);
        bytes += part.length;
        if (bytes >= limits.endpointErrorBytesMax) break;
      }
    } catch {
      // What came is what there is; the status alone says enough.
    }
    const text = Buffer.concat(parts).toString("utf8").slice(0, limits.endpointErrorBytesMax);
    return this.#short(wordsIn(text));
  }

  #short(text: string): string {
    const line = text.replace(/\s+/g, " ").trim().replace(/\.$/, "");
    const clean = this.key === undefined ? line : line.replaceAll(this.key, "***"); // E1
    const max = limits.endpointErrorCharsMax;
    return clean.length > max ? `${clean.slice(0, max)}...` : clean;
  }
}

/** Open Inference and OpenAI servers, and what stands before them, each put their words elsewhere. */
function wordsIn(text: string): string {
  try {
    const { error, detail, message } = JSON.parse(text) as Record<string, unknown>;
    const words = (error as { message?: unknown } | undefined)?.message ?? error ?? detail ?? message ?? text;
    return typeof words === "string" ? words : JSON.stringify(words);
  } catch {
    return text.trimStart().startsWith("<") ? "an HTML page" : text;
  }
}

function meaningOf(status: number, words: string, apiKeyEnv = "", location = ""): [ErrorCode, string] {
  const again = "It is tried again later.";
  if ([429, 503, 529].includes(status)) return ["MILL_ENDPOINT_BUSY", again];
  // Servers of the Open Inference Protocol say so with 400 while they load a model anew.
  if (status === 400 && /not ready/i.test(words)) return ["MILL_ENDPOINT_BUSY", again];
  if ([408, 502, 504].includes(status)) return ["MILL_ENDPOINT_UNREACHABLE", again];
  if (status >= 500 || status === 425 || status === 409)
    return ["MILL_ENDPOINT_FAILED", `See the server's log. ${again}`];
  if (status >= 300 && status < 400) {
    const to = URL.canParse(location) ? shownUrl(new URL(location)) : "elsewhere";
    return ["MILL_ENDPOINT_REFUSED", `It points to ${to}; give the URL that answers itself.`];
  }
  return ["MILL_ENDPOINT_REFUSED", nextStep(status, apiKeyEnv)];
}

function nextStep(status: number, apiKeyEnv: string): string {
  switch (status) {
    case 401:
    case 403:
      return apiKeyEnv === ""
        ? "Name the environment variable that holds its key in apiKeyEnv."
        : `Check the key in ${apiKeyEnv}, where the instance runs, and what it may do.`;
    case 404:
      return "Check the URL and the name of the model.";
    case 413:
      return "Make the batches smaller (batch.rowsMax, batch.bytesMax).";
    default:
      return "Correct what is sent, or leave the row out.";
  }
}
