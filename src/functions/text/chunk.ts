/**
 * Cuts a text into chunks.
 *
 * Invariants:
 *   T1  `text.slice(start, end)` is the chunk; chunks come in order, and without overlap their texts together are the text.
 *   T2  No chunk begins or ends within a surrogate pair.
 *   T3  The time is linear in the text's length, whatever its content.
 */
import { wholeBefore } from "./cuts.js";
import { sentenceEnds } from "./sentences.js";

export interface Chunk {
  readonly start: number;
  readonly end: number;
}

/** `size` code units each. Where that would cut a pair, one less. */
export function* characterChunks(text: string, size: number, overlap: number): Generator<Chunk> {
  for (let start = 0; start < text.length; ) {
    const end = wholeBefore(text, Math.min(start + size, text.length));
    yield { start, end };
    if (end === text.length) return;
    const next = wholeBefore(text, end - overlap);
    start = next > start ? next : end;
  }
}

/** `size` sentences each. */
export function* sentenceChunks(
  text: string,
  size: number,
  overlap: number,
  locale: string,
  sentenceCharsMax: number,
): Generator<Chunk> {
  /** Begins of the sentences that are held, and the end of the last. */
  let places = [0];
  for (const end of sentenceEnds(text, locale, sentenceCharsMax)) {
    places.push(end);
    if (places.length <= size) continue;
    yield { start: places[0]!, end };
    places = places.slice(size - overlap);
  }
  // What is held beyond the overlap was in no chunk yet.
  const held = places.length - 1;
  if (held > (places[0] === 0 ? 0 : overlap)) yield { start: places[0]!, end: places.at(-1)! };
}

export interface TokenWindow {
  end(text: string, start: number): number;
  next(text: string, start: number, end: number): number;
}

export function* tokenChunks(text: string, window: TokenWindow): Generator<Chunk> {
  for (let start = 0; start < text.length; ) {
    const end = window.end(text, start);
    yield { start, end };
    if (end === text.length) return;
    start = window.next(text, start, end);
  }
}
