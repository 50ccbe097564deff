import assert from "node:assert/strict";
import { decodeRows, parseKeys, RecognitionInput } from "../../../../../src/functions/ai/text-images/recognition.js";
import { textSettings } from "../../../../../src/functions/ai/text-images/settings.js";

const KEYS = parseKeys("a\nb\nc\n");

/** An answer in which each step has the given probabilities, by class: 0 nothing, a, b, c, space. */
const answerOf = (...steps: readonly Partial<Record<"0" | "a" | "b" | "c" | " ", number>>[]): Float32Array =>
  Float32Array.from(steps.flatMap((step) => ["0", "a", "b", "c", " "].map((key) => step[key as "a"] ?? 0)));

describe("functions/ai/text-images/recognition: CTC decoding", () => {
  const decode = (answer: Float32Array) => decodeRows(answer, 1, answer.length / KEYS.length, KEYS)[0]!;

  it("adds nothing and space around the key list (R1)", () => {
    assert.deepEqual(KEYS, ["", "a", "b", "c", " "]);
    assert.deepEqual(parseKeys("x\r\ny\r\n"), ["", "x", "y", " "]);
  });

  it("collapses repeats, and keeps a double letter that is parted by nothing", () => {
    const a = { a: 0.9 };
    const nothing = { "0": 0.99 };
    assert.equal(decode(answerOf(a, a, a)).text, "a");
    assert.equal(decode(answerOf(a, nothing, a)).text, "aa");
    assert.equal(decode(answerOf(a, { b: 0.8 }, nothing, { b: 0.8 }, { c: 1 })).text, "abbc");
  });

  it("takes the likeliest class where none has a half", () => {
    assert.equal(decode(answerOf({ "0": 0.3, a: 0.1, b: 0.35, c: 0.25 })).text, "b");
  });

  it("reads a space as soon as it is likely enough, once, and none at the ends", () => {
    const shy = { "0": 0.9, " ": textSettings.spaceProbabilityMin * 1.1 };
    const shyer = { "0": 0.95, " ": textSettings.spaceProbabilityMin * 0.9 };
    assert.equal(decode(answerOf(shy, { a: 1 }, shy, { " ": 0.9 }, shy, { b: 1 }, shy)).text, "a b");
    assert.equal(decode(answerOf({ a: 1 }, shyer, { b: 1 })).text, "ab");
  });

  it("means the probability of the letters kept, not of the spaces", () => {
    const { text, confidence } = decode(answerOf({ a: 0.9 }, { " ": 0.6 }, { b: 0.7 }));
    assert.equal(text, "a b");
    assert.ok(Math.abs(confidence - 0.8) < 1e-6);
  });

  it("gives an empty text and no confidence for nothing", () => {
    assert.deepEqual(decode(answerOf({ "0": 1 }, { "0": 1 })), { text: "", confidence: 0 });
  });

  it("decodes each row alone (R2)", () => {
    const [one, two] = [answerOf({ a: 1 }, { a: 1 }), answerOf({ a: 1 }, { c: 0.9 })];
    const both = decodeRows(Float32Array.of(...one, ...two), 2, 2, KEYS);
    assert.deepEqual(both, [decode(one), decode(two)]);
  });
});

describe("functions/ai/text-images/recognition: crops to input", () => {
  it("puts each crop's colours into planes, from -1 to 1", () => {
    const crop = (...pixels: number[]) => ({ data: Uint8Array.from(pixels), width: 2, height: 1 });
    const input = new RecognitionInput().prepare([crop(0, 51, 255, 0, 51, 255), crop(255, 255, 255, 0, 0, 0)]);
    const rounded = [...input].map((value) => Math.round(value * 1000) / 1000);
    assert.deepEqual(rounded, [-1, -1, -0.6, -0.6, 1, 1, 1, -1, 1, -1, 1, -1]);
  });
});
