/** Batches with a number, the two ends of a channel, and what its taker saw. */
import type { RecordBatch } from "apache-arrow";
import type { ChannelItem } from "../../../src/actors/channel.js";
import { BusChannelReceiver } from "../../../src/actors/channel-receiver.js";
import { BusChannelSender } from "../../../src/actors/channel-sender.js";
import type { ChannelId, JobId, Namespace } from "../../../src/base/ids.js";
import type { Ports } from "../../../src/base/ports.js";
import type { Bus } from "../../../src/bus/bus.js";
import { jobSubjects } from "../../../src/bus/subjects.js";
import { batchFromRows, columnOf } from "../../../src/types/batches.js";
import { type Columns, t } from "../../../src/types/columns.js";

export const columns = { n: t.int32, body: t.binary };
export const CHANNEL = "a-0--b-0";
export const ATTEMPT = 2;
export const subjects = jobSubjects("test" as Namespace, "job" as JobId).channel(CHANNEL as ChannelId, ATTEMPT);
export const KiB = 1024;
export const MiB = 1024 * KiB;

export const batch = (n: number, bytes = 10): RecordBatch =>
  batchFromRows(columns, [{ n, body: new Uint8Array(bytes).fill(n) }]) as unknown as RecordBatch;

export const nOf = (one: RecordBatch): number => columnOf(one, "n").get(0) as number;

/** `3` for batch 3, `"barrier 2"`, `"end"`. */
export function shown(item: ChannelItem | undefined): number | string {
  if (item === undefined) return "end";
  return item.kind === "batch" ? nOf(item.batch) : `barrier ${item.checkpoint}`;
}

interface Differently {
  readonly columns?: Columns;
  readonly attempt?: number;
}

/** @param sender  what is different about it */
export function ends(from: Bus, to: Bus, ports: Pick<Ports, "clock" | "log">, sender: Differently = {}) {
  const options = { ports, channel: CHANNEL, attempt: ATTEMPT, subjects };
  return {
    sender: new BusChannelSender({ bus: from, columns, ...options, ...sender }),
    receiver: new BusChannelReceiver({ bus: to, columns, ...options }),
  };
}

export async function opened(from: Bus, to: Bus, ports: Pick<Ports, "clock" | "log">) {
  const both = ends(from, to, ports);
  await Promise.all([both.sender.open(), both.receiver.open()]);
  both.receiver.start(() => {});
  return both;
}
