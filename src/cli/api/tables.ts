/** Lists as text for people: columns that line up, and texts of others that cannot steer a terminal. Pure. */
import { sizeText } from "../../topology/resources.js";

export interface Column<T> {
  readonly title: string;
  /** Numbers are told by their digits and line up at the right. */
  readonly of: (row: T) => string | number;
}

/** @param nothing what is said of an empty list */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[], nothing: string): string {
  if (rows.length === 0) return `${nothing}\n`;
  const cells = rows.map((row) => columns.map(({ of }) => of(row)));
  const texts = [columns.map(({ title }) => title), ...cells.map((row) => row.map((cell) => plain(String(cell))))];
  const right = columns.map((_, i) => cells.every((row) => typeof row[i] === "number"));
  const widths = columns.map((_, i) => Math.max(...texts.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row.map((text, i) => (right[i] ? text.padStart(widths[i]!) : text.padEnd(widths[i]!))).join("  ");
  return texts.map((row) => `${line(row).trimEnd()}\n`).join("");
}

/** Messages may come from anywhere: without what would move the cursor, colour the screen, or begin a line. */
export function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]+/gu, " ");
}

/** To three digits. */
export function rate(perSecond: number): number {
  return perSecond >= 100 ? Math.round(perSecond) : Number(perSecond.toPrecision(3));
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}%`;
}

export function bytes(count: number): string {
  return count === 0 ? "0" : sizeText(count);
}

/** @param atMs 0: not (yet) */
export function time(atMs: number): string {
  return atMs === 0 ? "-" : new Date(atMs).toISOString().replace("T", " ").slice(0, 19);
}

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
] as const;

export function duration(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const [size, unit] = UNITS.find(([size]) => seconds >= 2 * size) ?? [1, "s"];
  return `${Math.floor(seconds / size)} ${unit}`;
}
