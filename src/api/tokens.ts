/**
 * Access tokens: `mrt_<id>_<secret>`. Only the SHA-256 of a whole token is kept, so a list of them lets nobody in. A secret has 256 random
 * bits, so one round of a fast hash is enough.
 *
 * Invariants:
 *   N1  What a token does is decided by the list as it is now: one that is taken out or has expired is refused at the next request.
 *   N2  Time and answer of a refusal are the same whatever is wrong with the token.
 *   N3  An address that fails too often is told to wait, at each further failure. A good token passes all the same: behind one address
 *       there may be many, and nobody is to shut others out.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import Type from "typebox";
import Value from "typebox/value";
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";
import type { Clock } from "../base/ports.js";
import type { Access, Credentials, Principal } from "./access.js";
import { Role } from "./schemas/basics.js";

const TokenEntry = Type.Object(
  {
    id: Type.String({ pattern: "^[a-z0-9]{8}$" }),
    name: Type.String({ pattern: "^[a-zA-Z0-9._@-]{1,64}$" }),
    role: Role,
    sha256: Type.String({ pattern: "^[0-9a-f]{64}$" }),
    /** Milliseconds since 1970. */
    expiresMs: Type.Optional(Type.Integer({ minimum: 0 })),
  },
  { additionalProperties: false },
);
export type TokenEntry = Type.Static<typeof TokenEntry>;

const TokenFile = Type.Object({ tokens: Type.Array(TokenEntry) }, { additionalProperties: false });

/** @param file for messages @throws {MillraceError} `MILL_CONFIG` */
export function parseTokens(text: string, file: string): TokenEntry[] {
  const wrong = (what: string, cause?: unknown) =>
    new MillraceError(
      "MILL_CONFIG",
      `the file of access tokens ${file} ${what}. Make entries with \`millrace token\`.`,
      { file },
      { cause },
    );
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong("is no JSON", cause);
  }
  const [first] = Value.Errors(TokenFile, value);
  if (first !== undefined) throw wrong(`is wrong at ${first.instancePath || "its top"}: ${first.message}`);
  const { tokens } = value as Type.Static<typeof TokenFile>;
  const ids = new Set(tokens.map(({ id }) => id));
  if (ids.size < tokens.length) throw wrong("has two tokens of one id");
  return tokens;
}

/** @returns the token, which nobody can read from its entry */
export function newToken(
  name: string,
  role: TokenEntry["role"],
  expiresMs?: number,
): { readonly token: string; readonly entry: TokenEntry } {
  const id = randomBytes(4).toString("hex");
  const token = `mrt_${id}_${randomBytes(32).toString("base64url")}`;
  const entry = {
    id,
    name,
    role,
    sha256: hashOf(token).toString("hex"),
    ...(expiresMs === undefined ? {} : { expiresMs }),
  };
  return { token, entry };
}

const hashOf = (token: string): Buffer => createHash("sha256").update(token).digest();
const NOBODY = Buffer.alloc(32);

interface Failures {
  count: number;
  sinceMs: number;
}

export class TokenAccess implements Access {
  #entries = new Map<string, TokenEntry>();
  #failures = new Map<string, Failures>();

  constructor(
    entries: readonly TokenEntry[],
    private readonly clock: Clock,
  ) {
    this.replace(entries);
  }

  /** N1 */
  replace(entries: readonly TokenEntry[]): void {
    this.#entries = new Map(entries.map((entry) => [entry.id, entry]));
  }

  identify({ authorization, address }: Credentials): Principal {
    const [, token = "", id = ""] = /^Bearer (mrt_([a-z0-9]{8})_[A-Za-z0-9_-]{43})$/i.exec(authorization ?? "") ?? [];
    const entry = this.#entries.get(id);
    const right = timingSafeEqual(hashOf(token), entry === undefined ? NOBODY : Buffer.from(entry.sha256, "hex"));
    const expired = entry?.expiresMs !== undefined && entry.expiresMs <= this.clock.nowMs();
    if (entry !== undefined && right && !expired) return { name: entry.name, role: entry.role };
    this.#demandPatience(address);
    this.#noteFailure(address);
    const what = authorization === undefined ? "brings no access token" : "brings an access token that is not known";
    throw new MillraceError(
      "MILL_REQUEST_UNAUTHENTICATED",
      `the request ${what}. Send \`Authorization: Bearer <token>\`.`,
    );
  }

  /** N3 */
  #demandPatience(address: string): void {
    const failed = this.#failures.get(address);
    if (failed === undefined) return;
    const leftMs = failed.sinceMs + limits.apiFailuresMs - this.clock.monotonicMs();
    if (leftMs <= 0) return void this.#failures.delete(address);
    if (failed.count < limits.apiFailuresMax) return;
    const message = `${address} has sent ${failed.count} wrong access tokens within a minute, and has to wait.`;
    throw new MillraceError("MILL_REQUEST_TOO_MANY", message, { retryAfterMs: leftMs });
  }

  #noteFailure(address: string): void {
    const now = this.clock.monotonicMs();
    const failed = this.#failures.get(address);
    if (failed !== undefined) failed.count++;
    else {
      // Bounded: the oldest goes, and may try again.
      if (this.#failures.size >= limits.apiFailingAddressesMax)
        this.#failures.delete(this.#failures.keys().next().value!);
      this.#failures.set(address, { count: 1, sinceMs: now });
    }
  }
}
