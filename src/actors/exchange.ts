/**
 * How a batch finds its channels. Rows with equal keys always meet the same receiver; `rebalance` takes turns by
 * batch; `forward` has one receiver.
 */
import type { RecordBatch } from "apache-arrow";
import type { Exchange } from "../plan/plan.js";
import { columnOf } from "../types/batches.js";
import { concatBatches } from "../types/concat.js";
import type { ChannelSender } from "./channels.js";
import type { Emit } from "./operator.js";

/** @param senders one per receiver, in the order of the receivers' subtasks */
export function exchange(kind: Exchange, senders: readonly ChannelSender[], keys: readonly string[]): Emit {
  if (kind === "hash") return (batch) => sendByHash(batch, senders, keys);
  let turn = 0;
  return (batch) => senders[turn++ % senders.length]!.send(batch);
}

async function sendByHash(
  batch: RecordBatch,
  senders: readonly ChannelSender[],
  keys: readonly string[],
): Promise<void> {
  const columns = keys.map((key) => columnOf(batch, key));
  const parts: RecordBatch[][] = senders.map(() => []);
  for (let from = 0; from < batch.numRows; ) {
    const receiver = receiverOf(from);
    let to = from + 1;
    while (to < batch.numRows && receiverOf(to) === receiver) to++;
    parts[receiver]!.push(batch.slice(from, to));
    from = to;
  }
  for (const [i, slices] of parts.entries()) {
    if (slices.length > 0) await senders[i]!.send(concatBatches(slices));
  }

  function receiverOf(row: number): number {
    return hash(columns.map((column) => String(column.get(row))).join("\u0000")) % senders.length;
  }
}

/** FNV-1a, 32 bits, over UTF-16 code units: the same in every process. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
