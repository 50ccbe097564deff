/** What part of an object an answer holds, and whether it is the one that was asked for. */
import type { MillraceError } from "../base/errors.js";
import type { HttpBody } from "./http-content-client.js";
import { failure } from "./http-content-errors.js";

/** Bytes of an object, from the first to the one before `to`. */
export interface Span {
  readonly from: number;
  /** Infinity: to its end. */
  readonly to: number;
}

export interface Part extends Span {
  /** Bytes of the whole object; undefined: not said. */
  readonly total: number | undefined;
  /** Says whether two answers are of the same version; undefined: nothing does. */
  readonly validator: string | undefined;
}

/** Of an answer with status 200 or 206. @throws {MillraceError} it is not what was asked for */
export function partOf(answer: HttpBody, wanted: Span): Part {
  const { asked } = answer;
  const encoding = answer.header("content-encoding")?.trim().toLowerCase() ?? "";
  if (encoding !== "" && encoding !== "identity") {
    throw failure(
      "MILL_CONTENT_REFUSED",
      asked,
      `the server sends it packed (${encoding.slice(0, 40)}), though that was not asked for; it is not unpacked. Ask for an address that gives it as it is.`,
    );
  }
  return answer.status === 206 ? partial(answer, wanted) : whole(answer);
}

function whole(answer: HttpBody): Part {
  const total = lengthOf(answer);
  return { from: 0, to: total ?? Number.POSITIVE_INFINITY, total, validator: validatorOf(answer) };
}

function partial(answer: HttpBody, wanted: Span): Part {
  const said = answer.header("content-range") ?? "none";
  const [, first = "", last = "", all = ""] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(said.trim()) ?? [];
  const [from, to] = [Number(first || Number.NaN), Number(last || Number.NaN) + 1];
  const total = all === "*" ? undefined : Number(all || Number.NaN);
  const length = lengthOf(answer);
  const fits =
    from === wanted.from && // NaN is nothing
    to > from &&
    to <= wanted.to &&
    (total === undefined || to <= total) &&
    (length === undefined || length === to - from);
  if (fits) return { from, to, total, validator: validatorOf(answer) };
  throw failure(
    "MILL_STORE_FAILED",
    answer.asked,
    `bytes from ${wanted.from} on were asked for, and the answer says it has others (${said.slice(0, 80)}). The server is at fault.`,
  );
}

/** Whether the range begins behind the end of the object. */
export function isBehindEnd(answer: HttpBody, wanted: Span): boolean {
  const [, total] = /^bytes \*\/(\d+)$/i.exec(answer.header("content-range")?.trim() ?? "") ?? [];
  return total === undefined || Number(total) <= wanted.from;
}

/** @returns why the second answer cannot go on where the first one broke off; undefined: it can */
export function otherVersion(answer: HttpBody, begun: Part, now: Part): MillraceError | undefined {
  const sameSize = begun.total === undefined || now.total === undefined || begun.total === now.total;
  if (sameSize && begun.validator === now.validator) return undefined;
  return failure(
    "MILL_SOURCE_CHANGED",
    answer.asked,
    "it has changed while it was read. Run the job again when its input is at rest.",
  );
}

export function lengthOf(answer: Pick<HttpBody, "header">): number | undefined {
  const said = answer.header("content-length")?.trim() ?? "";
  return /^\d+$/.test(said) ? Number(said) : undefined;
}

/** A strong ETag, or a date; what is weak says nothing of bytes. */
export function validatorOf(answer: Pick<HttpBody, "header">): string | undefined {
  const etag = answer.header("etag")?.trim() ?? "";
  return /^".*"$/.test(etag) ? etag : answer.header("last-modified")?.trim();
}
