/**
 * Places where a text may be cut: never within a surrogate pair, and in a word only where there is no other place.
 * Positions count UTF-16 code units, as strings do; a text may have any content, lone surrogates too.
 */

/** The last place up to `at` that is in no surrogate pair. */
export function wholeBefore(text: string, at: number): number {
  return isInPair(text, at) ? at - 1 : at;
}

/** The first place from `at` on that is in no surrogate pair. */
export function wholeAfter(text: string, at: number): number {
  return isInPair(text, at) ? at + 1 : at;
}

function isInPair(text: string, at: number): boolean {
  return isBetween(text.charCodeAt(at - 1), 0xd800, 0xdbff) && isBetween(text.charCodeAt(at), 0xdc00, 0xdfff);
}

function isBetween(unit: number, first: number, last: number): boolean {
  return unit >= first && unit <= last; // not true of NaN, which is what lies outside the text
}

/** The last place in `(from, to]` that is before a space and after something else; `to`, out of a pair, where there is none. */
export function wordEnd(text: string, from: number, to: number): number {
  if (to >= text.length || isSpace(text.charCodeAt(to))) return to;
  for (let at = to; at > from + 1; at--) {
    if (isSpace(text.charCodeAt(at)) && !isSpace(text.charCodeAt(at - 1))) return at;
  }
  return wholeBefore(text, to);
}

/** Space, tab and ends of lines; and the spaces of general punctuation, the ideographic one, and the one that does not break. */
function isSpace(unit: number): boolean {
  return unit === 0x20 || isBetween(unit, 9, 13) || unit === 0xa0 || isBetween(unit, 0x2000, 0x200a) || unit === 0x3000;
}
