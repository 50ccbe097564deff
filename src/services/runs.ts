/** How rows are cut into requests: runs of neighbours that may share a call of the service. Pure. */
import type { RecordBatch } from "apache-arrow";
import type { Service } from "../topology/service.js";
import { columnOf } from "../types/batches.js";

export interface Run {
  readonly start: number;
  readonly rows: number;
  /** Rows of different runs meet in a call only where this is equal. */
  readonly bucket: string;
  /** Runs with the same go to the same instance, if that can be; empty: to any. */
  readonly affinity: string;
}

/** Runs of at most `rowsMax` neighbours of one bucket and one affinity, in order; all rows are in one of them. */
export function runsOf({ batch: { rowsMax, bucketBy }, affinityBy }: Service, rows: RecordBatch): Run[] {
  const bucketOf = keyOf(rows, bucketBy);
  const affinityOf = keyOf(rows, affinityBy);
  const runs: Run[] = [];
  for (let start = 0; start < rows.numRows; ) {
    const [bucket, affinity] = [bucketOf(start), affinityOf(start)];
    let end = start + 1;
    const meets = (row: number) => bucketOf(row) === bucket && affinityOf(row) === affinity;
    while (end < start + rowsMax && end < rows.numRows && meets(end)) end++;
    runs.push({ start, rows: end - start, bucket, affinity });
    start = end;
  }
  return runs;
}

function keyOf(rows: RecordBatch, columns: readonly string[]): (row: number) => string {
  if (columns.length === 0) return () => "";
  const vectors = columns.map((name) => columnOf(rows, name));
  return (row) => vectors.map((vector) => String(vector.get(row))).join("/");
}
