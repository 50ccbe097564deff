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
  // Most of a long list is on another page: only what may be on this one is put in order.
  const first: { readonly key: string; readonly item: T }[] = [];
  for (const item of items) {
    const key = keyOf(item);
    if (key <= from || (first.length > limit && key >= first[limit]!.key)) continue;
    first.splice(placeOf(first, key), 0, { key, item });
    if (first.length > limit + 1) first.pop();
  }
  const page = first.slice(0, limit);
  const more = first.length > limit;
  return { items: page.map(({ item }) => item), ...(more ? { next: tokenOf(page.at(-1)!.key) } : {}) };
}

/** Where a key belongs among others that are in order. */
function placeOf(ordered: readonly { readonly key: string }[], key: string): number {
  let [low, high] = [0, ordered.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ordered[middle]!.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
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
