/**
 * Connected regions of a map at or above a threshold, 8-connected, by runs: each row is cut into runs, runs that touch
 * are united (union by smallest index), and of each region only the ends of its runs are kept, because nothing else can
 * be a corner of its convex hull.
 */
import type { Point } from "./rectangles.js";

/** Corners of the outermost pixels of each region, row by row from the top; regions in the order of their first pixels. */
export function components(map: Float32Array, width: number, height: number, threshold: number): Point[][] {
  const starts: number[] = [];
  const ends: number[] = []; // exclusive
  const rows: number[] = [];
  const parents: number[] = [];
  const rootOf = (run: number): number => {
    let root = run;
    while (parents[root] !== root) root = parents[root]!;
    parents[run] = root;
    return root;
  };

  let above = 0; // first run of the row above
  for (let y = 0; y < height; y++) {
    const first = starts.length;
    const row = y * width;
    for (let x = 0; x < width; x++) {
      if (map[row + x]! < threshold) continue;
      const start = x;
      do x++;
      while (x < width && map[row + x]! >= threshold);
      const run = starts.length;
      starts.push(start);
      ends.push(x);
      rows.push(y);
      parents.push(run);
      while (above < first && ends[above]! < start) above++;
      for (let other = above; other < first && starts[other]! <= x; other++) {
        const [a, b] = [rootOf(other), rootOf(run)];
        if (a < b) parents[b] = a;
        else parents[a] = b;
      }
    }
    above = first;
  }

  const regions = new Map<number, Point[]>();
  for (let run = 0; run < starts.length; run++) {
    const root = rootOf(run);
    const points = regions.get(root) ?? [];
    if (points.length === 0) regions.set(root, points);
    const y = rows[run]!;
    points.push([starts[run]!, y], [starts[run]!, y + 1], [ends[run]!, y], [ends[run]!, y + 1]);
  }
  return [...regions.values()];
}
