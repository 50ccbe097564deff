/**
 * The HTTP API of a coordinator, as the command line uses it. A client of its own, for the page's is another program; what comes back is
 * described where the coordinator tells it (`coordinator/describe.ts`).
 *
 *   H1  The token comes from the environment alone, and goes to no address but the one that was named.
 *   H2  A problem becomes the error that it tells of, with its code, and so the exit status that the same error has everywhere.
 *   H3  Every request ends: `REQUEST_MS_MAX`, or the caller's signal for a stream.
 *   H4  What changes something carries an `Idempotency-Key` of its own, and the same one when it is sent again: because nobody leads at
 *       the moment, or because its answer was lost on a connection that there was.
 */
import { randomUUID } from "node:crypto";
import { errorOfProblem, PROBLEM_TYPE } from "../../api/problem.js";
import { MillraceError } from "../../base/errors.js";
import type { Clock } from "../../base/ports.js";
import { realClock } from "../../base/real/ports.js";

export interface ApiFlags {
  readonly url?: string;
}

export interface ApiSettings {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | undefined;
}

const DEFAULT_URL = "http://127.0.0.1:8080";
const REQUEST_MS_MAX = 30_000;
/** Items of a page: as many as the API gives. */
const PAGE_ITEMS = "1000";
/** Of a change. Another coordinator leads within 3 s. */
const TRIES_MAX = 5;
const PAUSE_MS = 1_000;
/** The connection was there, and broke: the change may have been made. */
const LOST: ReadonlySet<string> = new Set(["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"]);

type Environment = Readonly<Record<string, string | undefined>>;
type Query = Readonly<Record<string, string | undefined>>;

/** @throws {MillraceError} `MILL_CONFIG` */
export function apiSettings(flags: ApiFlags, env: Environment): ApiSettings {
  const given = flags.url ?? (env.MILLRACE_URL || DEFAULT_URL);
  const parsed = URL.canParse(given) ? new URL(given) : undefined;
  // Not shown: what cannot be parsed, or has a user in it, may hold a secret.
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
    throw new MillraceError(
      "MILL_CONFIG",
      "the coordinator's address cannot be used. Write --url or MILLRACE_URL as http://host:port or https://host:port; the token goes into MILLRACE_TOKEN.",
    );
  return { url: `${parsed.origin}${parsed.pathname.replace(/\/+$/, "")}`, token: env.MILLRACE_TOKEN || undefined };
}

export interface ServerSentEvent {
  readonly id: string;
  readonly data: string;
}

/** A value, and the ETag that guards changes of it. */
export interface Tagged<T> {
  readonly value: T;
  readonly etag: string | undefined;
}

/** What a change may go with. */
export interface ChangeOptions {
  readonly body?: object;
  /** The ETag that was read: refused with `MILL_REQUEST_STALE` if somebody else has changed it since. */
  readonly ifMatch?: string | undefined;
}

export class ApiClient {
  constructor(
    private readonly settings: ApiSettings,
    private readonly clock: Pick<Clock, "sleep"> = realClock,
  ) {}

  get url(): string {
    return this.settings.url;
  }

  async get<T>(path: string, query: Query = {}): Promise<T> {
    return (await this.getTagged<T>(path, query)).value;
  }

  async getTagged<T>(path: string, query: Query = {}): Promise<Tagged<T>> {
    return this.#json<T>("GET", path, query);
  }

  /** H4 */
  async change<T>(method: "POST" | "PATCH", path: string, { body, ifMatch }: ChangeOptions = {}): Promise<T> {
    const headers = { "idempotency-key": randomUUID(), ...(ifMatch === undefined ? {} : { "if-match": ifMatch }) };
    for (let tries = 1; ; tries++) {
      try {
        return (await this.#json<T>(method, path, {}, headers, body)).value;
      } catch (error) {
        if (!MillraceError.is(error) || !mayPass(error) || tries === TRIES_MAX) throw error;
        await this.clock.sleep(PAUSE_MS);
      }
    }
  }

  /** A whole list, page by page. */
  async list<T>(path: string, query: Query = {}): Promise<T[]> {
    const all: T[] = [];
    for (let after: string | undefined; ; ) {
      const page = await this.get<{ items: T[]; next?: string }>(path, { ...query, limit: PAGE_ITEMS, after });
      all.push(...page.items);
      if (page.next === undefined) return all;
      after = page.next;
    }
  }

  /** Server-sent events behind the one of the id `after`; ends when the server ends it, fails when the connection breaks. */
  async *events(path: string, query: Query, after: string, signal: AbortSignal): AsyncGenerator<ServerSentEvent> {
    const headers = { accept: "text/event-stream", "last-event-id": after };
    const answer = await this.#fetch("GET", path, query, { headers, signal });
    const decoder = new TextDecoder();
    let rest = "";
    try {
      for await (const piece of answer.body ?? []) {
        const { events, left } = parseEvents(rest + decoder.decode(piece, { stream: true }));
        rest = left;
        yield* events;
      }
    } catch (cause) {
      throw this.#unreachable(cause);
    }
  }

  async #json<T>(
    method: string,
    path: string,
    query: Query,
    headers: Readonly<Record<string, string>> = {},
    body?: object,
  ): Promise<Tagged<T>> {
    const signal = AbortSignal.timeout(REQUEST_MS_MAX);
    const answer = await this.#fetch(method, path, query, {
      signal,
      headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    try {
      return { value: (await answer.json()) as T, etag: answer.headers.get("etag") ?? undefined };
    } catch (cause) {
      throw this.#notOurs(answer, cause);
    }
  }

  /** @returns an answer that is no error */
  async #fetch(method: string, path: string, query: Query, init: RequestInit): Promise<Response> {
    const { url, token } = this.settings;
    const filters = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const search = filters.length === 0 ? "" : `?${new URLSearchParams(filters)}`;
    const headers = { ...init.headers, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
    let answer: Response;
    try {
      // H1: a redirect could lead anywhere.
      answer = await fetch(`${url}${path}${search}`, { ...init, method, headers, redirect: "error" });
    } catch (cause) {
      throw this.#unreachable(cause);
    }
    if (answer.ok) return answer;
    if (!(answer.headers.get("content-type") ?? "").startsWith(PROBLEM_TYPE)) throw this.#notOurs(answer);
    const problem = (await answer.json().catch(() => ({}))) as Parameters<typeof errorOfProblem>[0];
    throw errorOf(problem, this.settings); // H2
  }

  #unreachable(cause: unknown): MillraceError {
    const { name, message, cause: inner } = cause as Error;
    const why =
      name === "TimeoutError"
        ? `no answer within ${REQUEST_MS_MAX / 1000} s`
        : ((inner as NodeJS.ErrnoException)?.code ?? (inner as Error)?.message ?? message);
    return new MillraceError(
      "MILL_COORDINATOR_UNREACHABLE",
      `no coordinator answers at ${this.url} (${why}). Start one with \`millrace coordinator\`, or name it with --url or MILLRACE_URL.`,
      { url: this.url, reason: why },
      { cause },
    );
  }

  #notOurs({ status }: Response, cause?: unknown): MillraceError {
    return new MillraceError(
      "MILL_COORDINATOR_UNREACHABLE",
      `what answers at ${this.url} (HTTP ${status}) is no coordinator, or something stands between. Correct --url or MILLRACE_URL.`,
      { url: this.url, status },
      { cause },
    );
  }
}

/** As the flags of a command and the environment say. @throws as `apiSettings` */
export const clientOf = (flags: ApiFlags): ApiClient => new ApiClient(apiSettings(flags, process.env));

/** H2, with the next step of somebody at the command line. */
export function errorOf(problem: Parameters<typeof errorOfProblem>[0], { url, token }: ApiSettings): MillraceError {
  const error = errorOfProblem(problem);
  if (error.code !== "MILL_REQUEST_UNAUTHENTICATED") return error;
  const message =
    token === undefined
      ? `${url} wants an access token. Set MILLRACE_TOKEN to yours; \`millrace token create\` makes one where the coordinator's list is.`
      : `${url} does not know the access token in MILLRACE_TOKEN: it is another cluster's, has expired, or was revoked. Set it to one that is known there.`;
  return new MillraceError(error.code, message, error.facts, { cause: error });
}

const mayPass = ({ code, facts }: MillraceError): boolean =>
  code === "MILL_NO_LEADER" || (code === "MILL_COORDINATOR_UNREACHABLE" && LOST.has(String(facts.reason)));

/** A part of a path from what a user wrote. */
export const part = (text: string): string => encodeURIComponent(text);

/** Whole events of a stream's text so far. Comments keep a quiet stream open, and say nothing. */
export function parseEvents(text: string): { readonly events: ServerSentEvent[]; readonly left: string } {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
  const left = blocks.pop()!;
  const events = blocks.flatMap((block) => {
    const fields = block.split("\n").map((line) => /^(\w+): ?(.*)$/.exec(line));
    const of = (name: string) => fields.flatMap((field) => (field?.[1] === name ? [field[2]!] : []));
    const data = of("data");
    return data.length === 0 ? [] : [{ id: of("id").at(-1) ?? "", data: data.join("\n") }];
  });
  return { events, left };
}
