/** Rows of a batch by number. */
import type { RecordBatch, TypeMap } from "apache-arrow";
import { concatBatches } from "./concat.js";

/** One row for each entry of `rows`, in that order; an entry may come again. Neighbours are taken as slices. */
export function takeRows<T extends TypeMap>(batch: RecordBatch<T>, rows: Int32Array): RecordBatch<T> {
  const slices: RecordBatch<T>[] = [];
  for (let i = 0; i < rows.length; ) {
    let end = i + 1;
    while (end < rows.length && rows[end] === rows[end - 1]! + 1) end++;
    slices.push(batch.slice(rows[i]!, rows[i]! + (end - i)));
    i = end;
  }
  return slices.length === 0 ? batch.slice(0, 0) : concatBatches(slices);
}
