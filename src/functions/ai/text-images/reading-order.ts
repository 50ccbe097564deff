/**
 * Boxes with text to lines in the order in which a person reads them.
 *
 * The page's skew is measured from its long boxes and taken out first; then everything is upright. Boxes that overlap
 * in height form a row. Where a white gutter runs down through several rows with *wide* boxes on both sides, the rows
 * are columns of prose: what is above comes first, then the left column whole, then the right one, then what is below.
 * Where the boxes beside a gutter are narrow (amounts, answers in a form) it is a table, and a row is one line.
 *
 *   O1  Every box with text is in exactly one line.
 *   O2  The order of the input does not matter.
 */
import type { Quad } from "./rectangles.js";

/** A box whose text was read. */
export interface ReadBox {
  readonly quad: Quad;
  readonly text: string;
  readonly confidence: number;
}

/** One line of text on a page. */
export interface TextLine {
  readonly text: string;
  readonly confidence: number;
  /** Four corners clockwise from top-left, in pixels of the page. */
  readonly quad: Quad;
}

/** A box on the upright page. */
interface Upright {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly read: ReadBox;
}

/** Boxes of prose are at least this many times as wide as high. */
const PROSE_ASPECT = 5.5;
/** Fewer boxes than this on a side are no column. */
const COLUMN_BOXES_MIN = 4;
/** A gutter is at least this many line heights wide. */
const GUTTER_MIN = 0.3;
/** A gap of more than this many line heights ends a column that stands alone. */
const COLUMN_GAP = 2.2;

/**
 * Puts the boxes of one page into lines, and the lines into the order in which people read them: columns one after another, and skewed pages as if
 * they were straight. Boxes without text are left out.
 */
export function readingOrder(boxes: readonly ReadBox[]): TextLine[] {
  const angle = skew(boxes);
  const upright = boxes
    .filter((box) => box.text !== "")
    .map((box) => straighten(box, -angle))
    .sort((a, b) => a.top - b.top || a.left - b.left || a.right - b.right || compare(a.read.text, b.read.text));
  return order(upright).map((line) => joined(line, angle));
}

/** The lines as one text, a line each. */
export function plainText(lines: readonly TextLine[]): string {
  return lines.map((line) => line.text).join("\n");
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Radians by which lines of text fall to the right: the median over boxes, each weighing as much as it is long. */
export function skew(boxes: readonly ReadBox[]): number {
  const angles = boxes
    .map(({ quad: [x0, y0, x1, y1, x2, y2, x3, y3] }) => {
      const [dx, dy] = [x1 - x0 + x2 - x3, y1 - y0 + y2 - y3];
      return { angle: Math.atan2(dy, dx), length: Math.hypot(dx, dy) / 2, height: Math.hypot(x3 - x0, y3 - y0) };
    })
    .filter(({ length, height }) => length > 3 * height)
    .sort((a, b) => a.angle - b.angle);
  const half = angles.reduce((total, { length }) => total + length, 0) / 2;
  let passed = 0;
  for (const { angle, length } of angles) {
    passed += length;
    if (passed >= half) return angle;
  }
  return 0;
}

function turned(x: number, y: number, angle: number): [number, number] {
  return [x * Math.cos(angle) - y * Math.sin(angle), x * Math.sin(angle) + y * Math.cos(angle)];
}

function straighten(read: ReadBox, angle: number): Upright {
  const corners = [0, 2, 4, 6].map((at) => turned(read.quad[at]!, read.quad[at + 1]!, angle));
  // The middles of the sides: corners of a box that is still a little turned would make it taller than its text.
  const side = (a: number, b: number, axis: 0 | 1): number => (corners[a]![axis] + corners[b]![axis]) / 2;
  return { left: side(0, 3, 0), right: side(1, 2, 0), top: side(0, 1, 1), bottom: side(2, 3, 1), read };
}

const heightOf = (box: Upright): number => box.bottom - box.top;
const middleOf = (box: Upright): number => (box.top + box.bottom) / 2;

/** Rows from top to bottom; each from left to right. Boxes come sorted from the top. */
function rowsOf(boxes: readonly Upright[]): Upright[][] {
  const rows: { top: number; bottom: number; boxes: Upright[] }[] = [];
  for (const box of [...boxes].sort((a, b) => middleOf(a) - middleOf(b))) {
    const row = rows.at(-1);
    const shared = row === undefined ? 0 : Math.min(row.bottom, box.bottom) - Math.max(row.top, box.top);
    if (row !== undefined && shared > 0.5 * Math.min(row.bottom - row.top, heightOf(box))) {
      row.boxes.push(box);
      const count = row.boxes.length;
      // The mean, not the union: a union would creep down a page of staggered boxes.
      row.top += (box.top - row.top) / count;
      row.bottom += (box.bottom - row.bottom) / count;
    } else {
      rows.push({ top: box.top, bottom: box.bottom, boxes: [box] });
    }
  }
  return rows.map((row) => row.boxes.sort((a, b) => a.left - b.left));
}

function order(boxes: readonly Upright[]): Upright[][] {
  const columns = findColumns(boxes);
  if (columns === undefined) return rowsOf(boxes);
  return [columns.above, columns.left, columns.right, columns.below].flatMap(order);
}

interface Columns {
  readonly above: Upright[];
  readonly left: Upright[];
  readonly right: Upright[];
  readonly below: Upright[];
}

/**
 * The pair of columns that holds most boxes, if there is one. A gutter ends where a box of the right column begins, so
 * it is looked for just left of every box; the lines of two columns need not stand at the same height.
 */
function findColumns(boxes: readonly Upright[]): Columns | undefined {
  if (boxes.length < 2 * COLUMN_BOXES_MIN) return undefined;
  let best: Columns | undefined;
  for (const box of boxes) {
    const found = columnsBeside(box.left - GUTTER_MIN * heightOf(box), middleOf(box), boxes);
    if (found === undefined) continue;
    if (best === undefined || found.left.length + found.right.length > best.left.length + best.right.length)
      best = found;
  }
  return best;
}

/** The columns left and right of `x` around the height `y`, bounded by the nearest boxes that cross `x`. */
function columnsBeside(x: number, y: number, boxes: readonly Upright[]): Columns | undefined {
  const crossing = boxes.filter((box) => box.left < x && box.right > x).map(middleOf);
  const from = Math.max(Number.NEGATIVE_INFINITY, ...crossing.filter((middle) => middle < y));
  const to = Math.min(Number.POSITIVE_INFINITY, ...crossing.filter((middle) => middle > y));
  const inside = boxes.filter((box) => middleOf(box) > from && middleOf(box) < to);
  const [left, right] = trimmed(
    inside.filter((box) => box.right <= x),
    inside.filter((box) => box.left >= x),
  );
  if (!isProse(left) || !isProse(right)) return undefined;
  const members = new Set([...left, ...right]);
  const top = Math.min(...[...members].map(middleOf));
  const rest = boxes.filter((box) => !members.has(box));
  return {
    above: rest.filter((box) => middleOf(box) < top),
    left,
    right,
    below: rest.filter((box) => middleOf(box) >= top),
  };
}

function isProse(column: readonly Upright[]): boolean {
  if (column.length < COLUMN_BOXES_MIN) return false;
  const wide = column.filter((box) => box.right - box.left >= PROSE_ASPECT * heightOf(box));
  return wide.length >= column.length * 0.7 && rowsOf(column).length >= column.length * 0.8;
}

/** Cuts off what stands above or below the other column behind a gap: it does not belong to the pair. */
function trimmed(left: Upright[], right: Upright[]): [Upright[], Upright[]] {
  if (left.length === 0 || right.length === 0) return [left, right];
  const cut = (column: Upright[], other: readonly Upright[]): Upright[] => {
    const [otherTop, otherBottom] = [
      Math.min(...other.map((box) => box.top)),
      Math.max(...other.map((box) => box.bottom)),
    ];
    const rows = rowsOf(column).flat();
    let first = 0;
    let last = rows.length;
    for (let at = 1; at < rows.length; at++) {
      const [before, after] = [rows[at - 1]!, rows[at]!];
      if (after.top - before.bottom <= COLUMN_GAP * Math.min(heightOf(before), heightOf(after))) continue;
      if (before.bottom < otherTop) first = at;
      if (after.top > otherBottom) last = Math.min(last, at);
    }
    return rows.slice(first, last);
  };
  return [cut(left, right), cut(right, left)];
}

function joined(row: readonly Upright[], angle: number): TextLine {
  const characters = row.reduce((total, box) => total + box.read.text.length, 0);
  const confidence = row.reduce((total, box) => total + box.read.confidence * box.read.text.length, 0) / characters;
  const left = Math.min(...row.map((box) => box.left));
  const right = Math.max(...row.map((box) => box.right));
  const top = Math.min(...row.map((box) => box.top));
  const bottom = Math.max(...row.map((box) => box.bottom));
  const corners: [number, number][] = [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
  return {
    text: row.map((box) => box.read.text).join(" "),
    confidence,
    quad: corners.flatMap(([x, y]) => turned(x, y, angle)) as unknown as Quad,
  };
}
