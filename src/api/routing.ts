/** What a file of routes is, and what a route declares beside its schemas. */
import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import type { Principal, Role } from "./access.js";
import type { ApiOptions } from "./api-options.js";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Who may. Not there: everybody, also without a token. */
    readonly role?: Role;
    /** Only the coordinator that leads can answer. */
    readonly leader?: boolean;
  }
  interface FastifyRequest {
    principal: Principal | undefined;
  }
}

/** A server on which routes are declared with TypeBox schemas. */
export type ApiServer = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export type Routes = (app: ApiServer, options: ApiOptions) => void | Promise<void>;
