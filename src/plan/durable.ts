/**
 * The durable exchanges of a plan, and what they need of it.
 *
 * A partition has one reader, so there are as many as the reader has parallel instances. Writers are the instances of the
 * operator before it.
 */
import { MillraceError } from "../base/errors.js";
import type { OperatorId, RegionId } from "../base/ids.js";
import type { Topology } from "../topology/nodes.js";
import type { Edge, Exchange } from "./chains.js";

export interface PlannedExchange {
  /** The operator that reads it. */
  readonly id: OperatorId;
  /** The operator that writes it. */
  readonly from: OperatorId;
  readonly writers: number;
  readonly partitions: number;
  /** How a writer's rows are shared out over the partitions. */
  readonly exchange: Exchange;
}

export function exchangesOf(edges: readonly Edge[], parallelism: ReadonlyMap<OperatorId, number>): PlannedExchange[] {
  return edges
    .filter(({ durable }) => durable)
    .map(({ from, to, exchange }) => ({
      id: to.id,
      from: from.id,
      writers: parallelism.get(from.id)!,
      partitions: parallelism.get(to.id)!,
      exchange,
    }));
}

/**
 * @param regionsOf the regions of an operator's instances
 * @throws {MillraceError} `MILL_CONFIG`: rows would not come through, or only by chance
 */
export function checkExchanges(
  topology: Topology,
  exchanges: readonly PlannedExchange[],
  regionsOf: (operator: OperatorId) => readonly RegionId[],
): void {
  const [first] = exchanges;
  if (first === undefined) return;
  if (topology.checkpointIntervalMs === 0) {
    throw new MillraceError(
      "MILL_CONFIG",
      `operator "${first.id}": a durable exchange hands rows over with each checkpoint, and checkpointIntervalMs is 0. Give it a time.`,
      { operator: first.id },
    );
  }
  const waiting = waitingInCircle(exchanges, regionsOf);
  if (waiting === undefined) return;
  throw new MillraceError(
    "MILL_CONFIG",
    `operator "${waiting.id}": what reads this durable exchange and what writes it also meet without one, so they would be one region, or wait for each other. Make the other way durable too.`,
    { operator: waiting.id },
  );
}

/** An exchange whose readers' regions are, over others or not, before its writers'. */
function waitingInCircle(
  exchanges: readonly PlannedExchange[],
  regionsOf: (operator: OperatorId) => readonly RegionId[],
): PlannedExchange | undefined {
  const left = new Set(exchanges);
  for (let ready = true; ready; ) {
    ready = false;
    for (const exchange of left) {
      const writers = regionsOf(exchange.from);
      const read = [...left].some(({ id }) => regionsOf(id).some((region) => writers.includes(region)));
      if (read) continue;
      left.delete(exchange);
      ready = true;
    }
  }
  return [...left][0];
}
