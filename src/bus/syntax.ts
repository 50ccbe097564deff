/**
 * What a subject, a subscription's pattern, a name and a key may look like, for every bus alike.
 *
 * Narrower than NATS allows: printable ASCII without spaces, and `*` and `>` only as whole tokens, so that a subject
 * is one string in a log line, a shell and a client in any language. The layout of our subjects is in `subjects.ts`.
 */
import { MillraceError } from "../base/errors.js";
import { limits } from "../base/limits.js";

/** `!` to `~` without `*`, `.` and `>`. */
const TOKEN = "[!-)+\\-/-=?-~]+";
const SUBJECT = new RegExp(`^${TOKEN}(?:\\.${TOKEN})*$`);
const PATTERN = new RegExp(`^(?:(?:${TOKEN}|\\*)(?:\\.(?:${TOKEN}|\\*))*(?:\\.>)?|>)$`);
const NAME = /^[a-zA-Z0-9_-]{1,128}$/;
const KEY_TOKEN = "[a-zA-Z0-9_=/-]+";
const KEY = new RegExp(`^${KEY_TOKEN}(?:\\.${KEY_TOKEN})*$`);

/** @throws {MillraceError} `MILL_BUS_SUBJECT` when nothing can be published to `subject`. */
export function checkSubject(subject: string): void {
  if (subject.length > limits.busSubjectCharsMax || !SUBJECT.test(subject)) {
    refuse("subject", subject, "dot-separated tokens of printable ASCII without spaces, `*` or `>`");
  }
}

/** @throws {MillraceError} `MILL_BUS_SUBJECT` when nobody can subscribe to `pattern`. */
export function checkPattern(pattern: string): void {
  if (pattern.length > limits.busSubjectCharsMax || !PATTERN.test(pattern)) {
    refuse("subscription", pattern, "dot-separated tokens, `*` for one token, `>` for the rest as the last one");
  }
}

/** @throws {MillraceError} `MILL_BUS_SUBJECT` for a log or bucket name that NATS or a file system would not take. */
export function checkName(kind: "log" | "bucket" | "queue group", name: string): void {
  if (!NAME.test(name)) refuse(kind, name, "1 to 128 of [a-zA-Z0-9_-]");
}

/** @throws {MillraceError} `MILL_BUS_SUBJECT` */
export function checkKey(key: string): void {
  if (key.length > limits.busSubjectCharsMax || !KEY.test(key)) {
    refuse("key", key, "dot-separated tokens of [a-zA-Z0-9_=/-]");
  }
}

/** @throws {MillraceError} `MILL_FRAME_TOO_LARGE` for a payload over what any bus has to carry (B3). */
export function checkPayload(subject: string, payload: Uint8Array): void {
  if (payload.byteLength <= limits.frameBytesMax) return;
  throw new MillraceError(
    "MILL_FRAME_TOO_LARGE",
    `message of ${payload.byteLength} bytes on ${subject} is over the limit of ${limits.frameBytesMax}. Send smaller batches, or a reference to an object.`,
    { subject, bytes: payload.byteLength, limit: limits.frameBytesMax },
  );
}

export function hasWildcard(pattern: string): boolean {
  return (
    pattern === "*" || pattern === ">" || pattern.includes(".*") || pattern.includes("*.") || pattern.endsWith(".>")
  );
}

/** Whether `pattern` (its tokens) matches `subject` (its tokens). */
export function matches(pattern: readonly string[], subject: readonly string[]): boolean {
  for (const [i, token] of pattern.entries()) {
    if (token === ">") return subject.length > i;
    if (i >= subject.length || (token !== "*" && token !== subject[i])) return false;
  }
  return pattern.length === subject.length;
}

function refuse(kind: string, text: string, rule: string): never {
  const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  throw new MillraceError(
    "MILL_BUS_SUBJECT",
    `${kind} ${JSON.stringify(shown)} is not valid: write ${rule}, at most ${limits.busSubjectCharsMax} characters.`,
    { kind, text: shown },
  );
}
