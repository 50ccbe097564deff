/**
 * Text recognition around the PaddleOCR v4 recogniser: crops to its input, its answer to text.
 *
 * The model answers, per step of eight columns, how likely each character is (softmax), with class 0 as "nothing
 * here". Greedy CTC decoding (Graves et al. 2006): take the likeliest class per step, drop repeats, drop class 0.
 *
 *   R1  The classes are: 0 nothing, then the key list in order, then the space.
 *   R2  A row's text and confidence depend on that row alone.
 */
import type { Crop } from "./crops.js";
import { textSettings } from "./settings.js";

/** The text that was read in one crop. */
export interface Recognised {
  readonly text: string;
  /** Mean probability of the characters that were kept, 0..1; 0 for an empty text. */
  readonly confidence: number;
}

/** Reads the key list: one character a line; class 0 and the space are added around it (R1). */
export function parseKeys(file: string): string[] {
  const keys = file.split(/\r?\n/);
  if (keys.at(-1) === "") keys.pop();
  return ["", ...keys, " "];
}

/** Keeps one input buffer and reuses it. */
export class RecognitionInput {
  #buffer = new Float32Array(0);

  /**
   * The model's input [crops, 3, height, width] for crops of one size.
   * @returns a view of a buffer that the next call overwrites
   */
  prepare(crops: readonly Pick<Crop, "data" | "width" | "height">[]): Float32Array {
    const { width, height } = crops[0]!;
    const plane = width * height;
    const length = crops.length * plane * 3;
    if (this.#buffer.length < length) this.#buffer = new Float32Array(length);
    const to = this.#buffer.subarray(0, length);
    crops.forEach(({ data }, n) => {
      const base = n * plane * 3;
      for (let at = base, from = 0; from < plane * 3; at++, from += 3) {
        to[at] = data[from]! * (1 / 127.5) - 1;
        to[at + plane] = data[from + 1]! * (1 / 127.5) - 1;
        to[at + 2 * plane] = data[from + 2]! * (1 / 127.5) - 1;
      }
    });
    return to;
  }
}

/** The text of each row of the model's answer [rows, steps, keys.length]. */
export function decodeRows(answer: Float32Array, rows: number, steps: number, keys: readonly string[]): Recognised[] {
  return Array.from({ length: rows }, (_, row) => decodeRow(answer, row * steps * keys.length, steps, keys));
}

function decodeRow(answer: Float32Array, base: number, steps: number, keys: readonly string[]): Recognised {
  const classes = keys.length;
  const space = classes - 1;
  let text = "";
  let sum = 0;
  let count = 0;
  let previous = 0;
  for (let step = 0; step < steps; step++) {
    const from = base + step * classes;
    const best = likeliest(answer, from, classes);
    if (best === previous || best === 0) {
      if (answer[from + space]! >= textSettings.spaceProbabilityMin && !text.endsWith(" ")) text += " ";
    } else if (best !== space) {
      text += keys[best]!;
      sum += answer[from + best]!;
      count++;
    } else if (!text.endsWith(" ")) {
      text += " ";
    }
    previous = best;
  }
  return { text: text.trim(), confidence: count === 0 ? 0 : sum / count };
}

/** Probabilities of one step sum to one: a class above a half is the likeliest, whatever follows. */
function likeliest(answer: Float32Array, from: number, classes: number): number {
  let best = 0;
  let value = answer[from]!;
  for (let at = 1; at < classes && value <= 0.5; at++) {
    const here = answer[from + at]!;
    if (here > value) {
      value = here;
      best = at;
    }
  }
  return best;
}
