/**
 * The audit log: every request that would change something, with who, what, from where and how it ended; refused ones, too.
 *
 * A record is made when its answer has ended, or its connection: what was done is written also where nobody waited for the answer.
 * Not in it: bodies. A route names the few fields of its body that say what was asked for; parameters of jobs may hold secrets.
 */
import { finished } from "node:stream";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { ErrorCode } from "../base/errors.js";
import type { Ports } from "../base/ports.js";

export interface AuditRecord {
  /** When its answer ended; milliseconds since 1970. */
  readonly atMs: number;
  /** Name of the access token; `anonymous`: there are none; `unknown`: the request had no good one. */
  readonly who: string;
  readonly role: string;
  readonly address: string;
  readonly method: string;
  readonly path: string;
  /** As in the OpenAPI document; empty: there is no such route. */
  readonly operation: string;
  readonly asked: Readonly<Record<string, unknown>>;
  readonly status: number;
  /** Error code of one that was refused or failed. */
  readonly code: ErrorCode | "";
  /** The answer was sent whole. */
  readonly answered: boolean;
}

declare module "fastify" {
  interface FastifyContextConfig {
    /** Fields of the body that the audit log has. `false`: it changes nothing, whatever its method. */
    readonly audited?: readonly string[] | false;
  }
  interface FastifyRequest {
    /** Code of the problem that it was answered with. */
    refusal: ErrorCode | undefined;
  }
}

const CHANGES: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH", "DELETE"]);
const PATH_CHARS_MAX = 1_024;

export const changesSomething = (method: string): boolean => CHANGES.has(method);

interface AuditOptions {
  readonly ports: Ports;
  audit?(record: AuditRecord): void;
}

/** @param isHop whether the request came in at another coordinator, which has it in its own log */
export function keepAudit(
  app: FastifyInstance,
  options: AuditOptions,
  isHop: (request: FastifyRequest) => boolean,
): void {
  const { ports } = options;
  app.decorateRequest("refusal", undefined);
  app.addHook("onRequest", async (request, reply) => {
    const { audited } = request.routeOptions.config;
    if (!changesSomething(request.method) || audited === false || isHop(request)) return;
    finished(reply.raw, (error) => {
      const record = recordOf(request, reply.raw.statusCode, error == null, ports.clock.nowMs());
      ports.log.info("audit", { ...record });
      try {
        options.audit?.(record);
      } catch (cause) {
        ports.log.error("a change could not be written to the audit log", { ...record, error: cause });
      }
    });
  });
}

function recordOf(request: FastifyRequest, status: number, answered: boolean, nowMs: number): AuditRecord {
  const { config, schema } = request.routeOptions;
  const { operationId = "" } = (schema ?? {}) as { readonly operationId?: string };
  const body = (request.body ?? {}) as Record<string, unknown>;
  const fields = (config.audited || []).filter((name) => Object.hasOwn(body, name));
  return {
    atMs: nowMs,
    who: request.principal?.name ?? "unknown",
    role: request.principal?.role ?? "",
    address: request.ip,
    method: request.method,
    path: request.url.split("?")[0]!.slice(0, PATH_CHARS_MAX),
    operation: operationId,
    asked: Object.fromEntries(fields.map((name) => [name, body[name]])),
    status,
    code: request.refusal ?? "",
    answered,
  };
}
