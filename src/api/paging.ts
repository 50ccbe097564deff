/** Lists are given page by page: in the order of their keys, so that what comes and goes between two pages moves nothing else. */
import { MillraceError } from "../base/errors.js";

export interface PageQuery {
  readonly limit?: number;
  readonly after?: string;
}

export interface Page<T> {
  readonly items: T[];
  /** Give it as `after` for the next page; not there: this was the last one. */
  readonly next?: string;
}

export const PAGE_ITEMS = 100;
export const PAGE_ITEMS_MAX = 1_000;

/** @param items of a whole list, in any order @param keyOf unique */
export function pageOf<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
  { limit = PAGE_ITEMS, after }: PageQuery,
): Page<T> {
  const from = after === undefined ? "" : keyAfter(after);
  const left: { readonly key: string; readonly item: T }[] = [];
  for (const item of items) {
    const key = keyOf(item);
    if (key > from) left.push({ key, item });
  }
  left.sort((a, b) => (a.key < b.key ? -1 : 1));
  const page = left.slice(0, limit);
  const more = left.length > limit;
  return { items: page.map(({ item }) => item), ...(more ? { next: tokenOf(page.at(-1)!.key) } : {}) };
}

function tokenOf(key: string): string {
  return Buffer.from(key, "utf8").toString("base64url");
}

function keyAfter(token: string): string {
  const key = Buffer.from(token, "base64url").toString("utf8");
  if (key === "" || tokenOf(key) !== token)
    throw new MillraceError(
      "MILL_REQUEST_INVALID",
      "after is no place in this list. Take `next` of the page before, as it is.",
    );
  return key;
}
