/**
 * Requests that are sent again because their answer was lost: the same key, by the same principal, names the same thing. What was asked is
 * noted in the store before anything is done, so that it holds whichever coordinator is asked the second time.
 */
import { createHash } from "node:crypto";
import Type from "typebox";
import { MillraceError } from "../base/errors.js";
import { requestKey } from "../storage/keys.js";
import type { ObjectStore } from "../storage/object-store.js";
import type { Principal } from "./access.js";

export const IdempotencyKey = Type.Object({
  "idempotency-key": Type.Optional(
    Type.String({
      pattern: "^[!-~]{1,128}$",
      description:
        "Chosen by the client: asked again with the same key, the same is meant, and nothing is begun twice.",
    }),
  ),
});

export interface AskedOnce {
  /** Hex; the same for the same key of the same principal. */
  readonly hash: string;
  /** When it was asked first. */
  readonly atMs: number;
}

interface Noted {
  /** SHA-256 of what was asked. */
  readonly request: string;
  readonly atMs: number;
}

export interface Asked {
  readonly principal: Principal | undefined;
  readonly key: string | undefined;
  /** Names the route and what it is about. */
  readonly what: string;
  readonly body: unknown;
}

/** @returns undefined: no key was given @throws {MillraceError} `MILL_REQUEST_CONFLICT`: the key was used for something else */
export async function askedOnce(store: ObjectStore, asked: Asked, nowMs: number): Promise<AskedOnce | undefined> {
  const { principal, key, what, body } = asked;
  if (key === undefined) return undefined;
  const hash = sha256(`${principal?.name ?? "anonymous"}\n${key}`);
  const mine: Noted = { request: sha256(`${what}\n${canonical(body)}`), atMs: Math.round(nowMs) };
  const made = await store.create(requestKey(hash), Buffer.from(JSON.stringify(mine)));
  const noted = made.created ? mine : (JSON.parse(Buffer.from(made.existing).toString("utf8")) as Noted);
  if (noted.request === mine.request) return { hash, atMs: noted.atMs };
  const message =
    "this Idempotency-Key was used for another request before. Take another key, or send what was sent then.";
  throw new MillraceError("MILL_REQUEST_CONFLICT", message);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** The order in which a client writes the parts of an object says nothing. */
function canonical(value: unknown): string {
  const sorted = (_: string, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part;
  return JSON.stringify(value, sorted) ?? "";
}
