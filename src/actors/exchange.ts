/**
 * How a batch finds its channels. Rows with equal keys always meet the same receiver; `rebalance` takes turns by
 * batch; `forward` has one receiver.
 */
import type { RecordBatch } from "apache-arrow";
import type { Exchange } from "../plan/plan.js";
import { columnOf } from "../types/batches.js";
import { concatBatches } from "../types/concat.js";
import { forked, type Gate } from "./gate.js";
import type { Emit } from "./operator.js";

/** @param receivers ways to each receiver, in the order of their subtasks */
export function exchange(kind: Exchange, receivers: readonly Emit[], keys: readonly string[], gate: Gate): Emit {
  if (kind === "hash") {
    return (batch) => {
      const parts = partsByHash(batch, keys, receivers.length);
      return forked(
        gate,
        parts.map(
          ([receiver, part]) =>
            () =>
              receivers[receiver]!(part),
        ),
      );
    };
  }
  let turn = 0;
  return (batch) => receivers[turn++ % receivers.length]!(batch);
}

/** The batch in parts of one receiver each, with its number; rows keep their order. */
export function partsByHash(batch: RecordBatch, keys: readonly string[], receivers: number): [number, RecordBatch][] {
  const columns = keys.map((key) => columnOf(batch, key));
  const receiverOf = (row: number) => hash(columns.map((column) => String(column.get(row))).join("\u0000")) % receivers;
  const parts: RecordBatch[][] = Array.from({ length: receivers }, () => []);
  for (let from = 0; from < batch.numRows; ) {
    const receiver = receiverOf(from);
    let to = from + 1;
    while (to < batch.numRows && receiverOf(to) === receiver) to++;
    parts[receiver]!.push(batch.slice(from, to));
    from = to;
  }
  return parts.flatMap((slices, i): [number, RecordBatch][] => (slices.length > 0 ? [[i, concatBatches(slices)]] : []));
}

/** FNV-1a, 32 bits, over UTF-16 code units: the same in every process. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
