/** Who may do what. How tokens are kept and found: `tokens.ts`. */
import { MillraceError } from "../base/errors.js";

/**
 * viewer: sees everything but content of records. operator: changes what runs. submitter: sends code, which runs on the workers.
 * admin: all of it.
 */
export const ROLES = ["viewer", "operator", "submitter", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Who asks. */
export interface Principal {
  /** Name of the access token, or `anonymous`. */
  readonly name: string;
  readonly role: Role;
}

/** What came with a request. */
export interface Credentials {
  /** The header `authorization`, if there is one. */
  readonly authorization: string | undefined;
  /** Of the other side, as the socket has it. */
  readonly address: string;
}

export interface Access {
  /** @throws {MillraceError} `MILL_REQUEST_UNAUTHENTICATED`, `MILL_REQUEST_FORBIDDEN`, `MILL_REQUEST_TOO_MANY` */
  identify(credentials: Credentials): Principal;
}

/** What each role may do besides itself. */
const INCLUDES: Readonly<Record<Role, readonly Role[]>> = {
  viewer: [],
  operator: ["viewer"],
  submitter: ["viewer"],
  admin: ["viewer", "operator", "submitter"],
};

export function mayAct(principal: Principal, needed: Role): boolean {
  return principal.role === needed || INCLUDES[principal.role].includes(needed);
}

/** @throws {MillraceError} `MILL_REQUEST_FORBIDDEN` */
export function demandRole(principal: Principal, needed: Role): void {
  if (mayAct(principal, needed)) return;
  const message = `this takes the role ${needed}; the access token "${principal.name}" has the role ${principal.role}.`;
  throw new MillraceError("MILL_REQUEST_FORBIDDEN", message);
}

const LOOPBACK = /^(127\.|::1$|::ffff:127\.)/;

export function isLoopback(address: string): boolean {
  return LOOPBACK.test(address);
}

/** Without tokens everybody on this machine may do everything, and nobody else anything. */
export const openOnLoopback: Access = {
  identify({ address }) {
    if (isLoopback(address)) return { name: "anonymous", role: "admin" };
    const message = `the coordinator has no access tokens, so it takes requests from its own machine only, and this one came from ${address}. Start it with --tokens.`;
    throw new MillraceError("MILL_REQUEST_FORBIDDEN", message);
  },
};
