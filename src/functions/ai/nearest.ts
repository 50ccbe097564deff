/**
 * The k best of many, for several queries at a time: one heap each, in two arrays for all. At its root is the worst that is kept, so that most of
 * what is offered costs one comparison.
 *
 *   N1  What is kept are the best by score, and of equal ones those at the lesser positions, in whatever order they are offered.
 */
export class Nearest {
  readonly #scores: Float64Array;
  readonly #positions: Int32Array;
  readonly #sizes: Int32Array;

  constructor(
    readonly queries: number,
    readonly k: number,
  ) {
    this.#scores = new Float64Array(queries * k);
    this.#positions = new Int32Array(queries * k);
    this.#sizes = new Int32Array(queries);
  }

  /** @param score more is better */
  offer(query: number, score: number, position: number): void {
    const { k } = this;
    const base = query * k;
    const size = this.#sizes[query]!;
    if (size < k) {
      this.#sizes[query] = size + 1;
      this.#up(base, size, score, position);
    } else if (this.#isWorse(base, score, position)) {
      this.#down(base, k, score, position);
    }
  }

  /** Whether what is kept there is worse than what is offered. */
  #isWorse(at: number, score: number, position: number): boolean {
    const kept = this.#scores[at]!;
    return kept < score || (kept === score && this.#positions[at]! > position);
  }

  #put(at: number, score: number, position: number): void {
    this.#scores[at] = score;
    this.#positions[at] = position;
  }

  #up(base: number, place: number, score: number, position: number): void {
    let at = place;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (this.#isWorse(base + parent, score, position)) break;
      this.#put(base + at, this.#scores[base + parent]!, this.#positions[base + parent]!);
      at = parent;
    }
    this.#put(base + at, score, position);
  }

  #down(base: number, size: number, score: number, position: number): void {
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      const right = child + 1;
      const least =
        right < size && this.#isWorse(base + right, this.#scores[base + child]!, this.#positions[base + child]!)
          ? right
          : child;
      if (!this.#isWorse(base + least, score, position)) break;
      this.#put(base + at, this.#scores[base + least]!, this.#positions[base + least]!);
      at = least;
    }
    this.#put(base + at, score, position);
  }

  /** Takes all out, the best first, query by query; each has k once as many were offered. */
  sorted(): { readonly positions: Int32Array; readonly scores: Float64Array } {
    const { k, queries } = this;
    const positions = new Int32Array(queries * k);
    const scores = new Float64Array(queries * k);
    for (let query = 0; query < queries; query++) {
      const base = query * k;
      for (let left = k - 1; left >= 0; left--) {
        scores[base + left] = this.#scores[base]!;
        positions[base + left] = this.#positions[base]!;
        this.#down(base, left, this.#scores[base + left]!, this.#positions[base + left]!);
      }
    }
    return { positions, scores };
  }
}
