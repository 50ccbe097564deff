/**
 * How a batch finds its channels. `hash`: rows with equal keys always meet the same receiver, the owner of their key group;
 * `rebalance` takes turns by batch; `forward` has one receiver.
 */
import type { RecordBatch } from "apache-arrow";
import { limits } from "../base/limits.js";
import { keyGroupOf, ownerOf } from "../checkpoint/key-groups.js";
import type { Exchange } from "../plan/plan.js";
import { concatBatches } from "../types/concat.js";
import { sliceRows, taken } from "../types/lineage.js";
import { forked, type Gate } from "./gate.js";
import type { Emit } from "./operator.js";
import { rowKeys } from "./row-keys.js";

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

/** The receiver of each row: the owner of its key's group. */
export function receiverOf(batch: RecordBatch, keys: readonly string[], receivers: number): (row: number) => number {
  const keyOf = rowKeys(batch, keys);
  return (row) => ownerOf(keyGroupOf(keyOf(row), limits.keyGroups), receivers, limits.keyGroups);
}

/** The batch in parts of one receiver each, with its number; rows keep their order. */
export function partsByHash(batch: RecordBatch, keys: readonly string[], receivers: number): [number, RecordBatch][] {
  const receiverAt = receiverOf(batch, keys, receivers);
  const parts: RecordBatch[][] = Array.from({ length: receivers }, () => []);
  for (let from = 0, receiver = receiverAt(0); from < batch.numRows; ) {
    let [to, next] = [from + 1, receiver];
    while (to < batch.numRows) {
      next = receiverAt(to);
      if (next !== receiver) break;
      to++;
    }
    parts[receiver]!.push(sliceRows(batch, from, to));
    from = to;
    receiver = next;
  }
  return parts.flatMap((slices, i): [number, RecordBatch][] => {
    if (slices.length < 2) return slices.map((slice) => [i, slice]);
    return [[i, taken(concatBatches(slices), batch, i)]];
  });
}
