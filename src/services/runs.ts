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

/**
 * Runs of at most `rowsMax` neighbours of one bucket and one affinity, in order; all rows are in one of them.
 *
 * @param cacheIds what is in each row, where answers are shared: equal rows are to meet at one instance. Those with an affinity of their
 *   own do so anyway
 */
export function runsOf(service: Service, rows: RecordBatch, cacheIds: readonly string[] = []): Run[] {
  const { batch, affinityBy, instances } = service;
  const { rowsMax, bucketBy } = batch;
  const bucketOf = keyOf(rows, bucketBy);
  const byContent = cacheIds.length > 0 && affinityBy.length === 0 && instances > 1;
  const affinityOf = byContent ? (row: number) => cacheIds[row]! : keyOf(rows, affinityBy);
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
