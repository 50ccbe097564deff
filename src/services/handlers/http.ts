/**
 * The door to HTTP for handlers: one request, its answer in pieces as they come, and the ways it fails as our errors.
 *
 * The real client keeps connections open between calls (undici, the library behind Node's `fetch`; why it and not `fetch`:
 * a limit for silence and one for connecting). It is made in an instance, in `load`, and loads undici only there.
 *
 * Not here: what a status means (`endpoint.ts`), and trying again (the service's client does that).
 *
 * Invariants:
 *   H1  No wait without an end: for the connection, for the first byte, between two pieces, and never past `timeLeftMs`.
 *   H2  An aborted request ends with the signal's reason, and its connection is closed.
 *   H3  No answer is held beyond `bytesMax`.
 */
import type { Agent, Dispatcher } from "undici";
import { connectionReason } from "../../base/connection-reason.js";
import { MillraceError } from "../../base/errors.js";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
  /** Infinity: no limit. */
  readonly timeLeftMs: number;
}

export interface HttpAnswer {
  readonly status: number;
  /** The value of a header, by its name in lower case; the first one where there are several. */
  header(name: string): string | undefined;
  /** The body as it comes. Ending the loop early closes the connection. */
  pieces(bytesMax: number): AsyncIterable<Uint8Array>;
}

export interface HttpClient {
  /** @throws {MillraceError} `MILL_ENDPOINT_UNREACHABLE`, `MILL_ENDPOINT_INVALID` for what is no HTTP; the signal's reason */
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface HttpClientOptions {
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export async function openHttpClient(options: HttpClientOptions): Promise<HttpClient> {
  const { Agent } = await import("undici");
  return new UndiciClient(new Agent({ connect: { timeout: options.connectTimeoutMs } }), options.idleTimeoutMs);
}

class UndiciClient implements HttpClient {
  constructor(
    private readonly agent: Agent,
    private readonly idleTimeoutMs: number,
  ) {}

  async send(request: HttpRequest): Promise<HttpAnswer> {
    const { url, signal, timeLeftMs } = request;
    signal.throwIfAborted();
    // H1. For undici 0 is no limit, so no time left is the shortest one.
    const silenceMs = Math.max(1, Math.ceil(Math.min(this.idleTimeoutMs, timeLeftMs)));
    try {
      const answer = await this.agent.request({
        origin: url.origin,
        path: `${url.pathname}${url.search}`,
        method: request.method,
        headers: request.headers,
        body: request.body ?? null,
        signal,
        headersTimeout: silenceMs,
        bodyTimeout: silenceMs,
      });
      return new UndiciAnswer(answer, request, silenceMs);
    } catch (cause) {
      throw failureOf(cause, request, silenceMs);
    }
  }

  close(): Promise<void> {
    return this.agent.destroy();
  }
}

class UndiciAnswer implements HttpAnswer {
  constructor(
    private readonly answer: Dispatcher.ResponseData,
    private readonly request: HttpRequest,
    private readonly silenceMs: number,
  ) {}

  get status(): number {
    return this.answer.statusCode;
  }

  header(name: string): string | undefined {
    const value = this.answer.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  async *pieces(bytesMax: number): AsyncGenerator<Uint8Array> {
    let bytes = 0;
    try {
      for await (const piece of this.answer.body) {
        bytes += (piece as Uint8Array).length;
        if (bytes > bytesMax) throw tooLarge(this.request.url, bytesMax);
        yield piece as Uint8Array;
      }
    } catch (cause) {
      throw failureOf(cause, this.request, this.silenceMs);
    }
  }
}

/** Without user, password and query: each may hold a secret. */
export function shownUrl(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function tooLarge(url: URL, bytesMax: number): MillraceError {
  return new MillraceError(
    "MILL_ENDPOINT_INVALID",
    `${shownUrl(url)}: its answer is longer than ${bytesMax} bytes. Make the batches smaller (batch.rowsMax), or check that the URL is the model server's.`,
    { url: shownUrl(url), bytesMax },
  );
}

function failureOf(cause: unknown, { url, signal }: HttpRequest, silenceMs: number): unknown {
  if (signal.aborted) return signal.reason; // H2
  if (MillraceError.is(cause)) return cause;
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const where = shownUrl(url);
  if (code.startsWith("HPE_")) {
    const text = `${where} does not speak HTTP (${message}). Check the URL, its port, and whether it needs https.`;
    return new MillraceError("MILL_ENDPOINT_INVALID", text, { url: where }, { cause });
  }
  const text = `${where}: ${reasonOf(code, message, silenceMs)}. Check the URL and that the server runs and can be reached from the instance.`;
  return new MillraceError("MILL_ENDPOINT_UNREACHABLE", text, { url: where }, { cause });
}

function reasonOf(code: string, message: string, silenceMs: number): string {
  switch (code) {
    case "UND_ERR_HEADERS_TIMEOUT":
      return `no answer for ${silenceMs} ms`;
    case "UND_ERR_BODY_TIMEOUT":
      return `its answer stopped halfway, and nothing more came for ${silenceMs} ms`;
    case "UND_ERR_CONNECT_TIMEOUT":
      return "no connection came about in time";
    default:
      return connectionReason({ code, message });
  }
}
