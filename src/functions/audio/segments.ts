/**
 * From the probability of speech in each window of a sound to segments of speech: two thresholds, so that one weak window does not cut
 * a word in two; a shortest segment; a shortest silence; padding. After `get_speech_timestamps` of Silero VAD.
 */

export interface SegmentRules {
  /** Probability from which on speech begins, and below which it ends. */
  readonly threshold: number;
  readonly endThreshold: number;
  readonly minSpeechMs: number;
  readonly minSilenceMs: number;
  /** Added on both sides, as far as there is silence. */
  readonly padMs: number;
}

export interface Segment {
  readonly startMs: number;
  readonly endMs: number;
  /** Mean probability of its windows, padding left out. */
  readonly confidence: number;
}

/**
 * @param windowMs length of the windows that follow each other
 * @param durationMs of the sound; the last window may reach beyond it
 */
export function speechSegments(
  probabilities: ArrayLike<number>,
  windowMs: number,
  durationMs: number,
  rules: SegmentRules,
): Segment[] {
  const found = runsOfSpeech(probabilities, windowMs, rules)
    .map(([first, last]) => ({
      startMs: first * windowMs,
      endMs: Math.min(last * windowMs, durationMs),
      confidence: mean(probabilities, first, last),
    }))
    .filter(({ startMs, endMs }) => endMs - startMs >= rules.minSpeechMs);
  return found.map((segment, i) => {
    const before = found[i - 1]?.endMs;
    const after = found[i + 1]?.startMs;
    // Where two would overlap, they meet in the middle.
    const earliest = before === undefined ? 0 : (before + segment.startMs) / 2;
    const latest = after === undefined ? durationMs : (segment.endMs + after) / 2;
    return {
      startMs: Math.max(earliest, segment.startMs - rules.padMs),
      endMs: Math.min(latest, segment.endMs + rules.padMs),
      confidence: segment.confidence,
    };
  });
}

/** First window of each, and the one after its last. */
function runsOfSpeech(probabilities: ArrayLike<number>, windowMs: number, rules: SegmentRules): [number, number][] {
  const runs: [number, number][] = [];
  let first = -1;
  let silentFrom = -1;
  for (let i = 0; i < probabilities.length; i++) {
    const probability = probabilities[i]!;
    if (first < 0) {
      if (probability >= rules.threshold) first = i;
      continue;
    }
    if (probability >= rules.threshold) silentFrom = -1;
    else if (probability < rules.endThreshold && silentFrom < 0) silentFrom = i;
    if (silentFrom >= 0 && (i + 1 - silentFrom) * windowMs >= rules.minSilenceMs) {
      runs.push([first, silentFrom]);
      first = -1;
      silentFrom = -1;
    }
  }
  if (first >= 0) runs.push([first, silentFrom < 0 ? probabilities.length : silentFrom]);
  return runs;
}

function mean(values: ArrayLike<number>, first: number, last: number): number {
  let sum = 0;
  for (let i = first; i < last; i++) sum += values[i]!;
  return sum / (last - first);
}
