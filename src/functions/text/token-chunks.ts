/** Chunks of at most so many tokens, that end with a word where they can. */
import { wholeAfter, wholeBefore, wordEnd } from "./cuts.js";
import type { TokenCounter } from "./tokenizer.js";

/** Characters that are tried for one token; a chunk of a text with longer tokens has fewer of them. */
const CHARS_PER_TOKEN_MAX = 16;
/** Share of the tokens wanted from which on a chunk is full enough. */
const FULL = 0.9;

export class TokenChunks {
  /** Characters of one token, as the last chunk had them. */
  #charsPerToken = 4;

  constructor(
    private readonly counter: TokenCounter,
    private readonly size: number,
    private readonly overlap: number,
  ) {}

  /** End of the chunk that begins at `start`. One character is taken even if it has more tokens than a chunk may have. */
  end(text: string, start: number): number {
    const longest = Math.min(text.length, start + this.size * CHARS_PER_TOKEN_MAX);
    let fits = start;
    let over = longest + 1;
    let chars = Math.ceil(this.#charsPerToken * this.size);
    for (;;) {
      const end = this.#cut(text, start, fits, Math.min(start + chars, longest, over - 1));
      if (end <= fits || end >= over) break;
      const tokens = this.counter.count(text, start, end);
      if (tokens > 0) this.#charsPerToken = (end - start) / tokens;
      const aimed = Math.floor(this.#charsPerToken * this.size * ((1 + FULL) / 2));
      if (tokens <= this.size) {
        fits = end;
        if (tokens >= this.size * FULL || end === longest) break;
        chars = Math.max(aimed, end - start + 1);
      } else {
        over = end;
        // At least halved where the estimate is of no use: the tokens may all be at one place.
        chars = Math.min(aimed, Math.floor((end - start + fits - start) / 2));
      }
    }
    return fits > start ? fits : wholeAfter(text, start + 1);
  }

  #cut(text: string, start: number, fits: number, to: number): number {
    const half = start + Math.floor((to - start) / 2);
    return wordEnd(text, Math.max(half, fits), to);
  }

  /** Where the chunk after one from `start` to `end` begins. */
  next(text: string, start: number, end: number): number {
    let chars = Math.floor(this.#charsPerToken * this.overlap);
    while (chars > 0) {
      const from = wholeBefore(text, Math.max(end - chars, start + 1));
      if (from > start && this.counter.count(text, from, end) <= this.overlap) return from;
      chars = Math.floor(chars * 0.7);
    }
    return end;
  }
}
