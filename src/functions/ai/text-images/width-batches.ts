/** Groups crops of one width into batches for the recogniser. */
import { textSettings } from "./settings.js";

/** Indexes of crops, at most `recognitionRows` together, all of one width; narrow ones first. */
export function widthBatches(crops: readonly { readonly width: number }[]): number[][] {
  const byWidth = new Map<number, number[][]>();
  crops.forEach(({ width }, at) => {
    const groups = byWidth.get(width) ?? [];
    if (groups.length === 0) byWidth.set(width, groups);
    const open = groups.at(-1);
    if (open === undefined || open.length >= textSettings.recognitionRows) groups.push([at]);
    else open.push(at);
  });
  return [...byWidth].sort(([a], [b]) => a - b).flatMap(([, groups]) => groups);
}
