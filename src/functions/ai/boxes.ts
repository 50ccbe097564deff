/**
 * Boxes out of the numbers that detectors answer with: the usual layouts, and non-maximum suppression.
 *
 *   N1  Of boxes that overlap by more than `iouMax`, the one with the highest score is kept; equal ones in the order of the model.
 *   N2  What one image costs is bounded: only the `candidatesMax` best boxes are compared with one another.
 */
import { Nearest } from "./nearest.js";

/** In pixels of the model's input. */
export interface RawBox {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  /** Number of the label. */
  readonly label: number;
  readonly score: number;
}

export interface BoxRules {
  readonly scoreMin: number;
  readonly iouMax: number;
  readonly detectionsMax: number;
  readonly candidatesMax: number;
  /** Boxes of two labels suppress one another, too. */
  readonly acrossLabels: boolean;
}

/** What four numbers of a box are. */
export type Corners = "cxcywh" | "xyxy" | "xywh" | "yxyx";

export function cornersOf(
  numbers: readonly number[],
  corners: Corners,
): Pick<RawBox, "left" | "top" | "right" | "bottom"> {
  const [a = 0, b = 0, c = 0, d = 0] = numbers;
  switch (corners) {
    case "cxcywh":
      return { left: a - c / 2, top: b - d / 2, right: a + c / 2, bottom: b + d / 2 };
    case "xywh":
      return { left: a, top: b, right: a + c, bottom: b + d };
    case "yxyx":
      return { left: b, top: a, right: d, bottom: c };
    default:
      return { left: a, top: b, right: c, bottom: d };
  }
}

export interface Scored {
  readonly count: number;
  /** The best label of a box, and its score; what is no number is below every `scoreMin`. */
  best(box: number): { readonly label: number; readonly score: number };
  box(box: number): Pick<RawBox, "left" | "top" | "right" | "bottom">;
}

/** The boxes of one image, the best first. */
export function keptBoxes(scored: Scored, rules: BoxRules): RawBox[] {
  const { scoreMin, candidatesMax, detectionsMax } = rules;
  const labels = new Int32Array(scored.count);
  const passing: number[] = [];
  const scores: number[] = [];
  for (let i = 0; i < scored.count; i++) {
    const { label, score } = scored.best(i);
    labels[i] = label;
    if (!(score >= scoreMin)) continue;
    passing.push(i);
    scores.push(score);
  }
  const best = new Nearest(1, Math.min(candidatesMax, passing.length));
  if (best.k > 0) for (const [i, score] of scores.entries()) best.offer(0, score, i);
  const candidates = best.sorted();
  const kept: RawBox[] = [];
  for (const [i, at] of candidates.positions.entries()) {
    if (kept.length === detectionsMax) break;
    const number = passing[at]!;
    const box = { ...scored.box(number), label: labels[number]!, score: candidates.scores[i]! };
    if (!(box.right > box.left && box.bottom > box.top)) continue; // also where a side is no number
    const covered = kept.some(
      (other) => (rules.acrossLabels || other.label === box.label) && iou(other, box) > rules.iouMax,
    );
    if (!covered) kept.push(box);
  }
  return kept;
}

/** Area that both have, of the area that any has. */
export function iou(a: Omit<RawBox, "label" | "score">, b: Omit<RawBox, "label" | "score">): number {
  const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (!(width > 0 && height > 0)) return 0;
  const area = (box: typeof a) => (box.right - box.left) * (box.bottom - box.top);
  const both = width * height;
  return both / (area(a) + area(b) - both);
}

/** One row of a YOLO model's answer, boxes `cxcywh`. @param stride numbers of one box; `step` between two numbers of it, `next` between two boxes */
export function yoloScored(data: Float32Array, { count, labels, objectness, step, next }: YoloLayout): Scored {
  const first = objectness ? 5 : 4;
  return {
    count,
    best(box) {
      const base = box * next;
      let label = 0;
      let score = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < labels; i++) {
        const here = data[base + (first + i) * step]!;
        if (here > score) [label, score] = [i, here];
      }
      return { label, score: objectness ? score * data[base + 4 * step]! : score };
    },
    box: (box) =>
      cornersOf(
        [0, 1, 2, 3].map((i) => data[box * next + i * step]!),
        "cxcywh",
      ),
  };
}

export interface YoloLayout {
  readonly count: number;
  readonly labels: number;
  readonly objectness: boolean;
  readonly step: number;
  readonly next: number;
}

/** How an answer [4 + labels, boxes], or [boxes, 4 + labels], with or without objectness, is laid out; undefined: it is none of these. */
export function yoloLayout(dims: readonly number[], labels: number): YoloLayout | undefined {
  const [rows, columns] = dims;
  if (dims.length !== 2 || rows === undefined || columns === undefined) return undefined;
  for (const objectness of [false, true]) {
    const numbers = labels + (objectness ? 5 : 4);
    if (rows === numbers) return { count: columns, labels, objectness, step: columns, next: 1 };
    if (columns === numbers) return { count: rows, labels, objectness, step: 1, next: numbers };
  }
  return undefined;
}
