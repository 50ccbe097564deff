/**
 * Sentences of a text, by `Intl.Segmenter`, which takes quadratic time in the length of what it is given: so it is given windows.
 */
import { wholeBefore } from "./cuts.js";

/** A window that holds no whole sentence is doubled, up to the longest sentence that is wanted. */
const WINDOW = 2_048;

/** Ends of the sentences, in order, the text's last. A sentence longer than `charsMax` is cut. Spaces belong to the sentence before. */
export function* sentenceEnds(text: string, locale: string, charsMax: number): Generator<number> {
  const segmenter = new Intl.Segmenter(locale, { granularity: "sentence" });
  let start = 0;
  let window = Math.min(WINDOW, charsMax);
  while (start < text.length) {
    const end = wholeBefore(text, Math.min(start + window, text.length));
    const last = end === text.length;
    let whole = start;
    for (const { index, segment } of segmenter.segment(text.slice(start, end))) {
      const segmentEnd = start + index + segment.length;
      if (segmentEnd === end && !last) break; // it may go on behind the window
      yield segmentEnd;
      whole = segmentEnd;
    }
    if (whole > start) window = Math.min(WINDOW, charsMax);
    else if (window < charsMax) window = Math.min(window * 2, charsMax);
    else {
      yield end;
      whole = end;
    }
    start = whole;
  }
}
