/**
 * The trace that a batch's rows belong to, kept beside the batch like its lineage: functions of users make new batches and need
 * not know. Between processes it travels in the header of the frame, not in the Arrow message: it is of this run of the rows, and
 * no snapshot holds it.
 */
import type { RecordBatch } from "apache-arrow";

const traces = new WeakMap<RecordBatch, string>();
/** Most processes trace nothing, or one batch in a hundred: until the first of them nobody looks. */
let any = false;

/** As in a `traceparent` header; empty: the batch is not traced. */
export function traceOf(batch: RecordBatch): string {
  return any ? (traces.get(batch) ?? "") : "";
}

/** @returns the batch itself */
export function withTrace<B extends RecordBatch>(batch: B, traceparent: string): B {
  if (traceparent === "") return batch;
  any = true;
  traces.set(batch, traceparent);
  return batch;
}

/** Of rows that were made from those of `input`. A function may hand out one object for several inputs: the last one counts. */
export function traced<B extends RecordBatch>(output: B, input: RecordBatch): B {
  if (!any || (output as RecordBatch) === input) return output;
  const trace = traces.get(input);
  if (trace === undefined) traces.delete(output);
  else traces.set(output, trace);
  return output;
}

/** Of rows put together: the first that is traced. */
export function firstTrace(batches: Iterable<RecordBatch>): string {
  if (!any) return "";
  for (const batch of batches) {
    const trace = traces.get(batch);
    if (trace !== undefined) return trace;
  }
  return "";
}
