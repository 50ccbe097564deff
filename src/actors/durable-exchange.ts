/**
 * The two ends of a durable exchange in actors. To the actor that writes, it is a sink at the end of a chain; to the one that
 * reads, a source whose split is fixed: partition p belongs to instance p for ever, because keys do.
 */
import type { RecordBatch } from "apache-arrow";
import { invariant } from "../base/errors.js";
import type { OperatorId } from "../base/ids.js";
import { type Exchange, exchangeWriterId } from "../connectors/exchange.js";
import { exchangeSource, partitionSplit } from "../connectors/exchange-source.js";
import { openExchangeWriter, type Routed } from "../connectors/exchange-writer.js";
import type { PlannedExchange } from "../plan/plan.js";
import type { SinkWriter, Source } from "../topology/endpoints.js";
import type { DurableNode } from "../topology/nodes.js";
import type { ActorOptions } from "./actor-options.js";
import { partsByHash } from "./exchange.js";
import type { Assignments } from "./source-reader.js";

/** What of an actor's options the exchange needs. */
type Options = Pick<ActorOptions, "plan" | "topology" | "actor" | "bus" | "subjects" | "ports" | "content" | "seedFor">;

export function openDurableWriter(options: Options, node: DurableNode): Promise<SinkWriter> {
  const planned = plannedOf(options, node.id);
  const { subtask } = options.actor;
  const exchange = exchangeOf(options, node, planned);
  return openExchangeWriter({ exchange, operator: planned.from, subtask, route: routeOf(options, planned) });
}

export function durableReader(
  options: Options,
  node: DurableNode,
): { readonly source: Source; readonly assignments: Assignments } {
  const exchange = exchangeOf(options, node, plannedOf(options, node.id));
  const own = partitionSplit(exchange, options.actor.subtask);
  return { source: exchangeSource(exchange), assignments: (number) => (number === 1n ? own : undefined) };
}

function plannedOf({ plan }: Options, id: OperatorId): PlannedExchange {
  const planned = plan.exchanges.find((exchange) => exchange.id === id);
  invariant(planned !== undefined, "the plan knows every durable exchange");
  return planned;
}

function exchangeOf(
  { bus, subjects, ports, content, seedFor }: Options,
  node: DurableNode,
  planned: PlannedExchange,
): Exchange {
  return {
    id: node.id,
    columns: node.columns,
    bytesMax: node.bytesMax,
    content,
    partitions: planned.partitions,
    writers: Array.from({ length: planned.writers }, (_, subtask) => exchangeWriterId(planned.from, subtask)),
    ...(seedFor && { seed: (partition, number) => seedFor(node.id, partition, number) }),
    log: (partition) => bus.log(subjects.exchangeLog(node.id, partition), { bytesMax: node.bytesMax }),
    ports,
  };
}

/** As a pipelined exchange of the same kind shares rows out. */
function routeOf(
  { topology, actor }: Options,
  { from, partitions, exchange }: PlannedExchange,
): (batch: RecordBatch) => Routed[] {
  if (exchange === "forward") return (batch) => [{ partition: actor.subtask, batch }];
  if (exchange === "rebalance") {
    let turn = actor.subtask;
    return (batch) => [{ partition: turn++ % partitions, batch }];
  }
  const node = topology.operators.find(({ id }) => id === from);
  const keys = node?.kind === "keyBy" ? node.keys : [];
  return (batch) => partsByHash(batch, keys, partitions).map(([partition, part]) => ({ partition, batch: part }));
}
