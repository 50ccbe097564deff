/**
 * The HTTP server of a coordinator: what every request goes through, before and after its route.
 *
 * Invariants:
 *   A1  A route is reached only by who may: the role that it declares is checked before its body is read.
 *   A2  A route that needs the leader is answered by the leader, whichever coordinator was asked.
 *   A3  An error is a problem detail with a code of the table; an unforeseen one says nothing of itself, and is logged.
 *   A4  What changes something is written to the audit log with who and what, also where it was refused.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type ErrorCode, MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Subscription } from "../bus/bus.js";
import { clusterSubjects } from "../bus/subjects.js";
import { demandRole, type Principal, type Role } from "./access.js";
import type { ApiOptions } from "./api-options.js";
import { keepAudit } from "./audit.js";
import { answerHops, askLeader, type Hop, type HopAnswer, headersOfAnswer, headersOfRequest } from "./leader-hop.js";
import { methodsAt } from "./methods.js";
import { describeApi } from "./openapi.js";
import { servePages } from "./pages.js";
import { errorOf, errorOfProblem, PROBLEM_TYPE, problemOf } from "./problem.js";
import { allRoutes } from "./routes/all.js";
import { raiseShield } from "./shield.js";
import { holdToSchemas } from "./validation.js";

export interface Api {
  /** `http://host:port`, of where it listens. */
  readonly url: string;
  /** From now on this process answers for others too, or not any more. */
  lead(leads: boolean): Promise<void>;
  /** New connections get this certificate. */
  renew(tls: { readonly cert: string; readonly key: string }): void;
  close(): Promise<void>;
}

/** Says that a request comes from another coordinator; known to this process alone. */
const HOP_HEADER = "x-millrace-hop";

/** @throws {MillraceError} `MILL_CONFIG`: it cannot listen there */
export async function openApi(options: ApiOptions): Promise<Api> {
  const server = await buildServer(options);
  const { app } = server;
  try {
    await app.listen({ host: options.host, port: options.port });
  } catch (cause) {
    await app.close();
    const message = `the HTTP API cannot listen on ${options.host}:${options.port}: ${(cause as Error).message}. Choose another --http.`;
    throw new MillraceError("MILL_CONFIG", message, {}, { cause });
  }
  const { port } = app.server.address() as { readonly port: number };
  const host = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `${options.tls === undefined ? "http" : "https"}://${host}:${port}`,
    lead: (leads) => server.lead(leads),
    renew: (tls) => (app.server as unknown as SecureServer).setSecureContext(tls),
    close: () => server.close(),
  };
}

export interface BuiltServer {
  readonly app: FastifyInstance;
  /** For the reference. */
  readonly routes: readonly { readonly method: string; readonly url: string; readonly role: Role | undefined }[];
  lead(leads: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Without a socket: tests ask it by `app.inject`. */
export async function buildServer(options: ApiOptions): Promise<BuiltServer> {
  const { bus, ports, namespace } = options;
  const subject = clusterSubjects(namespace).coordinatorApi;
  const app = Fastify({
    logger: false,
    bodyLimit: limits.apiBodyBytesMax,
    requestTimeout: limits.apiRequestTimeoutMs,
    connectionTimeout: limits.apiConnectionTimeoutMs,
    keepAliveTimeout: limits.apiKeepAliveMs,
    forceCloseConnections: true,
    // A name that is too long is for its schema to refuse: the router would say that there is no such route. The head is bounded.
    routerOptions: { maxParamLength: limits.apiHeadBytesMax },
    // Whoever asks is whoever the socket says: a proxy's headers are anybody's.
    trustProxy: false,
    clientErrorHandler: refuseUnread,
    frameworkErrors: (cause, request, reply) => sendProblem(options, cause, request, reply), // paths that cannot be decoded
    ...(options.tls === undefined ? { http: HTTP } : { https: { ...HTTP, ...options.tls } }),
  }) as unknown as FastifyInstance;
  app.server.headersTimeout = limits.apiHeadersTimeoutMs;
  app.server.maxConnections = limits.apiConnectionsMax;
  const hopSecret = randomBytes(24);

  const routes: BuiltServer["routes"][number][] = [];
  app.addHook("onRoute", ({ method, url, config }) => {
    for (const one of [method].flat()) routes.push({ method: one, url, role: config?.role });
  });
  holdToSchemas(app);
  app.decorateRequest("principal", undefined);
  keepAudit(app, options, ({ headers }) => headers[HOP_HEADER] !== undefined); // A4
  raiseShield(app, options);
  app.addHook("onRequest", async (request, reply) => {
    if (request.is404) throw notFound(routes, request, reply); // nobody reads its body
  });
  app.addHook("onRequest", async (request) => {
    request.principal = hopped(request, hopSecret) ?? principalOf(options, request);
    const { role } = request.routeOptions.config;
    if (role !== undefined && request.principal !== undefined) demandRole(request.principal, role); // A1
  });
  app.addHook("preHandler", async (request, reply) => {
    if (request.routeOptions.config.leader !== true || options.leader() !== undefined) return;
    const answer = await askLeader(bus, subject, hopOf(request)); // A2
    request.refusal = codeOf(answer);
    return reply.code(answer.header.status).headers(answer.header.headers).send(Buffer.from(answer.body));
  });
  app.setErrorHandler((cause, request, reply) => sendProblem(options, cause, request, reply));
  app.setNotFoundHandler((request, reply) => sendProblem(options, notFound(routes, request, reply), request, reply));

  await describeApi(app, options);
  await allRoutes(app.withTypeProvider<TypeBoxTypeProvider>(), options);
  if (options.pages !== undefined) await servePages(app, options.pages);
  await app.ready();

  let hops: Subscription | undefined;
  return {
    app,
    routes,
    async lead(leads) {
      if (leads) hops ??= await answerHops(bus, subject, ports.log, (hop) => answerHop(app, hop, hopSecret));
      else {
        hops?.unsubscribe();
        hops = undefined;
      }
    },
    async close() {
      hops?.unsubscribe();
      await app.close();
    },
  };
}

function notFound(routes: BuiltServer["routes"], { method, url }: FastifyRequest, reply: FastifyReply): MillraceError {
  const path = url.split("?")[0]!;
  const methods = methodsAt(routes, path);
  if (methods.length === 0) {
    const message = `there is nothing at ${method} ${path}. See /docs for what there is.`;
    return new MillraceError("MILL_REQUEST_NOT_FOUND", message);
  }
  reply.header("allow", methods.join(", "));
  const message = `${path} does not take ${method}. It takes ${methods.join(", ")}.`;
  return new MillraceError("MILL_REQUEST_METHOD", message);
}

/** Connections are looked at so often for heads and bodies that are late. */
const HTTP = { connectionsCheckingInterval: 2_000, maxHeaderSize: limits.apiHeadBytesMax };

interface SecureServer {
  setSecureContext(tls: { readonly cert: string; readonly key: string }): void;
}

/** What could not even be read as a request: the connection ends with it. */
function refuseUnread(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || socket.destroyed || !socket.writable) return void socket.destroy();
  const [status, name, what] = UNREAD[error.code ?? ""] ?? NO_REQUEST;
  const body = JSON.stringify({ ...problemOf(new MillraceError("MILL_REQUEST_INVALID", what)), status });
  const head = [
    `HTTP/1.1 ${status} ${name}`,
    `content-type: ${PROBLEM_TYPE}`,
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  socket.end(`${head.join("\r\n")}\r\nconnection: close\r\n\r\n${body}`, () => socket.destroy());
}

type Unread = readonly [status: number, name: string, what: string];
const NO_REQUEST: Unread = [400, "Bad Request", "this is no request of HTTP/1.1."];
const UNREAD: Readonly<Record<string, Unread>> = {
  HPE_HEADER_OVERFLOW: [431, "Request Header Fields Too Large", "the head of the request is too large."],
  ERR_HTTP_REQUEST_TIMEOUT: [408, "Request Timeout", "the request did not come in time."],
};

function principalOf(options: ApiOptions, request: FastifyRequest): Principal | undefined {
  const { role } = request.routeOptions.config;
  if (role === undefined) return undefined; // health, documentation, pages: nothing of the cluster is in them
  return options.access.identify({ authorization: request.headers.authorization, address: request.ip });
}

function hopped(request: FastifyRequest, secret: Buffer): Principal | undefined {
  const given = request.headers[HOP_HEADER];
  if (typeof given !== "string") return undefined;
  const [key = "", name = "", role = ""] = given.split(" ");
  const bytes = Buffer.from(key, "hex");
  const known = bytes.length === secret.length && timingSafeEqual(bytes, secret);
  if (!known)
    throw new MillraceError(
      "MILL_REQUEST_FORBIDDEN",
      `the header ${HOP_HEADER} is the coordinators' own. Leave it out.`,
    );
  return { name: decodeURIComponent(name), role: role as Role };
}

function hopOf(request: FastifyRequest): Hop {
  const { method, url, headers, principal, body } = request;
  const text = body === undefined || body === null ? "" : JSON.stringify(body);
  const { name: who = "anonymous", role = "viewer" } = principal ?? {};
  const header = { method, url, headers: headersOfRequest(headers), principal: who, role };
  return { header, body: Buffer.from(text) };
}

/** Of a problem. */
function codeOf({ header, body }: HopAnswer): ErrorCode | undefined {
  if (header.headers["content-type"]?.startsWith(PROBLEM_TYPE) !== true) return undefined;
  return errorOfProblem(JSON.parse(Buffer.from(body).toString("utf8"))).code;
}

async function answerHop(app: FastifyInstance, { header, body }: Hop, secret: Buffer): Promise<HopAnswer> {
  const { method, url, headers, principal, role } = header;
  const who = `${secret.toString("hex")} ${encodeURIComponent(principal)} ${role}`;
  const answer = await app.inject({
    method: method as "GET",
    url,
    headers: { ...headers, [HOP_HEADER]: who },
    ...(body.length === 0 ? {} : { payload: Buffer.from(body) }),
  });
  return { header: { status: answer.statusCode, headers: headersOfAnswer(answer.headers) }, body: answer.rawPayload };
}

function sendProblem(options: ApiOptions, cause: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const error = errorOf(cause);
  const problem = problemOf(error);
  request.refusal = problem.code;
  if (problem.status >= 500)
    options.ports.log.error("a request failed", { method: request.method, url: request.url, error });
  if (problem.status === 401) reply.header("www-authenticate", 'Bearer realm="millrace"');
  if (problem.status === 503 || problem.status === 429) reply.header("retry-after", String(retryAfterS(error)));
  return reply.code(problem.status).type(PROBLEM_TYPE).send(JSON.stringify(problem));
}

function retryAfterS(error: MillraceError): number {
  const { retryAfterMs } = error.facts as { readonly retryAfterMs?: unknown };
  return typeof retryAfterMs === "number" ? Math.max(Math.ceil(retryAfterMs / 1000), 1) : 1;
}
