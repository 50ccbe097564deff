import assert from "node:assert/strict";
import { type SegmentRules, speechSegments } from "../../../../src/functions/audio/segments.js";

const rules: SegmentRules = { threshold: 0.5, endThreshold: 0.35, minSpeechMs: 0, minSilenceMs: 0, padMs: 0 };

/** Windows of 10 ms, each a digit: tenths of the probability. */
function found(digits: string, changed: Partial<SegmentRules> = {}): string {
  const probabilities = [...digits].map((digit) => Number(digit) / 10);
  return speechSegments(probabilities, 10, digits.length * 10, { ...rules, ...changed })
    .map(({ startMs, endMs }) => `${startMs}-${endMs}`)
    .join(" ");
}

describe("functions/audio/segments: from probabilities to segments", () => {
  it("speech begins at the threshold and ends below the lower one", () => {
    assert.equal(found("0059400"), "20-50");
    assert.equal(found("0044400"), "");
  });

  it("speech that goes on to the end ends with the sound", () => {
    assert.equal(found("0099"), "20-40");
  });

  it("silence that is too short does not end speech, and speech that is too short is none", () => {
    assert.equal(found("0990990", { minSilenceMs: 20 }), "10-60");
    assert.equal(found("099009999900", { minSilenceMs: 20, minSpeechMs: 30 }), "50-100");
  });

  it("padding goes no further than the sound, and neighbours meet in the middle", () => {
    assert.equal(found("0990099900", { padMs: 100 }), "0-40 40-100");
    assert.equal(found("0009990000", { padMs: 10 }), "20-70");
  });

  it("the confidence is the mean of the windows, padding left out", () => {
    const [segment] = speechSegments([0, 0.6, 0.8, 0], 10, 40, { ...rules, padMs: 10 });
    assert.ok(Math.abs(segment!.confidence - 0.7) < 1e-9);
  });
});
