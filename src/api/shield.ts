/**
 * What stands before every route: whose pages may ask, how much may be asked at a time, and what answers tell browsers.
 *
 * Invariants:
 *   B1  A page of another site reads nothing and changes nothing: no header lets it, its changes are refused by their `Origin`, and a name that
 *       leads to this machine (DNS rebinding) is no name of a server that listens on loopback alone.
 *   B2  Requests under way, and those of one principal in a second, are bounded; who is over gets 429 and when to come again.
 *   B3  A body is what it seems: one that is compressed is refused, so nothing small becomes large.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import { isLoopback } from "./access.js";
import type { ApiOptions } from "./api-options.js";
import { changesSomething } from "./audit.js";

const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS = "authorization, content-type, if-match, idempotency-key, last-event-id";
const EXPOSED = "etag, location, retry-after";

/** Of answers that are no page: should a browser ever show one, it runs and loads nothing. */
const NO_PAGE = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export function raiseShield(app: FastifyInstance, options: ApiOptions): void {
  const { cors = [], tls, ports } = options;
  let underWay = 0;
  app.addHook("onRequest", async (request, reply) => {
    demandHost(request, options);
    demandOrigin(request, cors);
    demandPlainBody(request);
    if (underWay >= limits.apiRequestsMax) {
      const message = `${underWay} requests are under way at this coordinator, which is the most it takes at a time. Ask again, or ask another.`;
      throw new MillraceError("MILL_REQUEST_TOO_MANY", message);
    }
    underWay++;
    reply.raw.once("close", () => {
      underWay--;
    });
    return openTo(cors, request, reply);
  });
  app.addHook("onSend", async (_request, reply, payload) => {
    // What is sent from files has its headers where Fastify does not look.
    const standard = (name: string, value: string) => {
      if (!reply.hasHeader(name) && !reply.raw.hasHeader(name)) reply.header(name, value);
    };
    reply.header("x-content-type-options", "nosniff");
    standard("cache-control", "no-store");
    standard("content-security-policy", NO_PAGE);
    standard("referrer-policy", "no-referrer");
    standard("x-frame-options", "DENY");
    standard("cross-origin-opener-policy", "same-origin");
    standard("cross-origin-resource-policy", cors.length === 0 ? "same-origin" : "cross-origin");
    if (tls !== undefined) standard("strict-transport-security", "max-age=31536000");
    return payload;
  });
  const pace = new Pace(ports.clock);
  app.addHook("preValidation", async ({ principal }) => {
    if (principal !== undefined) pace.count(principal.name);
  });
}

/** B2; of principals, who are bounded by the list of tokens. */
export class Pace {
  #seconds = new Map<string, { count: number; endMs: number }>();

  constructor(private readonly clock: Clock) {}

  /** @throws {MillraceError} `MILL_REQUEST_TOO_MANY` */
  count(name: string): void {
    const now = this.clock.monotonicMs();
    const second = this.#seconds.get(name);
    if (second === undefined || second.endMs <= now) {
      this.#seconds.set(name, { count: 1, endMs: now + 1_000 });
      return;
    }
    second.count++;
    if (second.count <= limits.apiRequestsPerSecondMax) return;
    const message = `"${name}" has sent more than ${limits.apiRequestsPerSecondMax} requests within a second. Ask for whole lists, or follow /v1/events/stream.`;
    throw new MillraceError("MILL_REQUEST_TOO_MANY", message, { retryAfterMs: second.endMs - now });
  }
}

const LOCAL_NAMES: ReadonlySet<string> = new Set(["localhost", "[::1]"]);

/** B1. A server that others can reach takes tokens, which a page of another site does not have. */
function demandHost({ headers }: FastifyRequest, { host, hosts = [] }: ApiOptions): void {
  if (!isLoopback(host) && host !== "localhost") return;
  const name = (headers.host ?? "").replace(/:\d+$/, "").toLowerCase();
  if (LOCAL_NAMES.has(name) || /^127(\.\d{1,3}){3}$/.test(name) || hosts.includes(name)) return;
  const message = `a server on loopback is not known as "${name}". Ask for localhost, or name it with --hosts.`;
  throw new MillraceError("MILL_REQUEST_FORBIDDEN", message);
}

/** B1. Browsers send a plain POST of any page without asking first; the page only cannot read what comes of it. */
function demandOrigin({ headers, method }: FastifyRequest, cors: readonly string[]): void {
  const { origin, host } = headers;
  if (origin === undefined || !changesSomething(method) || cors.includes(origin)) return;
  if (origin === `http://${host}` || origin === `https://${host}`) return;
  const message = `pages of ${origin} may not change anything here. Name the origin with --cors if they are yours.`;
  throw new MillraceError("MILL_REQUEST_FORBIDDEN", message);
}

/** B3 */
function demandPlainBody({ headers }: FastifyRequest): void {
  const encoding = headers["content-encoding"];
  if (encoding === undefined || encoding === "identity") return;
  throw new MillraceError("MILL_REQUEST_INVALID", "bodies are taken as they are: send it without Content-Encoding.");
}

/** For the origins that were named; all others get no header that would open anything. */
function openTo(cors: readonly string[], request: FastifyRequest, reply: FastifyReply): FastifyReply | undefined {
  if (cors.length === 0) return undefined;
  reply.header("vary", "origin");
  const { origin } = request.headers;
  if (origin === undefined || !cors.includes(origin)) return undefined;
  reply.header("access-control-allow-origin", origin).header("access-control-expose-headers", EXPOSED);
  if (request.method !== "OPTIONS" || request.headers["access-control-request-method"] === undefined) return undefined;
  reply.header("access-control-allow-methods", METHODS).header("access-control-allow-headers", HEADERS);
  return reply.header("access-control-max-age", "600").code(204).send();
}
