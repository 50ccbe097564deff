/** What a function of a user is handed with a batch: where the batch is traced, its log says of which trace, and so can what it calls. */
import type { RecordBatch } from "apache-arrow";
import type { OperatorContext } from "../topology/operator-context.js";
import { traceOf } from "../types/batch-trace.js";

export function contextOf(context: OperatorContext, batch: RecordBatch): OperatorContext {
  const trace = traceOf(batch);
  return trace === "" ? context : { ...context, traceparent: trace, log: context.log.child({ trace }) };
}
